/* scan - see scan.h. */
#include "batchd/scan.h"

#include <errno.h>
#include <stdlib.h>

#include "libbase/error.h"

/* Larger than the largest record, so that it can hold any of them. */
#define WINDOW_BYTES (256 * KIB)

_Static_assert(WINDOW_BYTES > RECORD_HEADER + FRAME_BODY_MAX + RECORD_ALIGN,
               "a window holds any record");

void
scan_start(struct scan *s, struct disk *disk, int file, uint64_t seed)
{
	s->disk = disk;
	s->file = file;
	s->seed = seed;
	s->at = SEGMENT_HEADER;
	s->window_bytes = 0;
	s->grown = false;
}

void
scan_fini(struct scan *s)
{
	free(s->window);
	*s = (struct scan){.file = -1};
}

void
scan_forget(struct scan *s)
{
	s->window_bytes = 0;
}

/* Read the window again, from s->at on. */
static int
scan_load(struct scan *s)
{
	ssize_t n;

	if (!s->window)
		s->window = malloc(WINDOW_BYTES);
	if (!s->window)
		return -ENOMEM;
	s->window_bytes = 0;
	n = disk_read(s->disk, s->file, s->window, WINDOW_BYTES, s->at);
	if (n < 0)
		return (int)n;
	s->window_at = s->at;
	s->window_bytes = (size_t)n;
	s->grown = false;
	return 0;
}

int
scan_peek(struct scan *s, struct record *r, const uint8_t **body)
{
	int rc;

	for (int fresh = 0;; fresh++) {
		if (s->at >= s->window_at &&
		    s->at < s->window_at + s->window_bytes) {
			size_t skip = (size_t)(s->at - s->window_at);

			rc = record_read(s->window + skip,
			                 s->window_bytes - skip, s->seed, r);
			if (rc == 0)
				*body = s->window + skip + RECORD_HEADER;
			if (rc == 0 || (rc == -EBADMSG && !s->grown))
				return rc;
		}
		if (fresh)
			return s->window_bytes == 0 ? ERR_NO_MORE_RECORDS
			                            : -EBADMSG;
		rc = scan_load(s);
		if (rc < 0)
			return rc;
	}
}

void
scan_next(struct scan *s, const struct record *r)
{
	s->at += record_size(r->body_bytes);
}

int
scan_resync(struct scan *s, uint64_t offset, struct record *r)
{
	const uint8_t *body;
	int rc;

	do {
		s->at += RECORD_ALIGN;
		rc = scan_peek(s, r, &body);
		/*
		 * A lower offset is of the file's earlier use, or of a record
		 * that begins inside another.
		 */
		if (rc == 0 && r->offset < offset)
			rc = -EBADMSG;
	} while (rc == -EBADMSG || rc == ERR_RECORD_TRUNCATED);
	return rc;
}

int
scan_find(struct scan *s, uint64_t offset, struct record *r)
{
	const uint8_t *body;
	int rc = scan_peek(s, r, &body);

	if (rc == 0 && r->offset < offset)
		rc = -EBADMSG;
	return rc == -EBADMSG ? scan_resync(s, offset, r) : rc;
}

int
scan_durable(struct scan *s, uint64_t offset, uint64_t *durable)
{
	uint64_t at = s->at;
	struct record r;
	int rc = scan_find(s, offset, &r);

	while (rc == 0 && r.durable <= offset) {
		scan_next(s, &r);
		rc = scan_find(s, offset, &r);
	}
	if (rc == 0)
		*durable = r.durable;
	s->at = at;
	return rc;
}
