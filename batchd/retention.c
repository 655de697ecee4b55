/*
 * retention - delete what every sink has, and keep one segment ready ahead of
 * the append, so that an append never waits for space and never meets a full
 * disk: the spare is allocated before any event is promised a place in it.
 */
#include "batchd/segment_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/error.h"
#include "libbase/log.h"

#define START_SEGMENT_BYTES (4 * MIB)

/* Bytes written at once while filling a segment with zeros. */
#define ZERO_BLOCK (1 * MIB)

/* Whether segments must go although retain_us has not passed. */
static bool
pressed(const struct store *s, int64_t free_bytes)
{
	return s->bytes + s->conf.segment_bytes > s->conf.max_bytes / 4 * 3 ||
	       (free_bytes >= 0 &&
	        (uint64_t)free_bytes < 2 * s->conf.min_free_bytes);
}

/* How many segments from the oldest on may go. */
static size_t
count_doomed(const struct store *s, uint64_t lowest, int64_t now_us,
             int64_t free_bytes)
{
	bool now = pressed(s, free_bytes);
	size_t n = 0;

	/* A segment was closed when the one behind it was created. */
	while (n + 1 < s->segment_count &&
	       s->segments[n + 1].first_offset <= lowest &&
	       (now ||
	        s->segments[n + 1].created_us + s->conf.retain_us <= now_us))
		n++;
	return n;
}

/* Whether the settings and the disk allow one more segment. */
static bool
may_make(struct store *s, uint64_t freed, int64_t free_bytes)
{
	uint64_t need = s->conf.segment_bytes;

	if (s->bytes - freed + need > s->conf.max_bytes) {
		(void)snprintf(s->full_reason, sizeof s->full_reason,
		               "the log has reached max_bytes = %" PRIu64,
		               s->conf.max_bytes);
		return false;
	}
	if (free_bytes >= 0 &&
	    (uint64_t)free_bytes + freed < s->conf.min_free_bytes + need) {
		(void)snprintf(s->full_reason, sizeof s->full_reason,
		               "the disk has %" PRId64
		               " bytes left, min_free_bytes = %" PRIu64,
		               free_bytes, s->conf.min_free_bytes);
		return false;
	}
	return true;
}

bool
retention_begin(struct store *s, uint64_t lowest, int64_t now_us)
{
	int64_t free_bytes = s->disk->free_bytes(s->disk);
	struct retention *t = &s->retention;
	uint64_t freed = 0, *doomed;
	size_t n;

	if (s->retention_running)
		return false;
	n = count_doomed(s, lowest, now_us, free_bytes);
	doomed = realloc(t->doomed, (n + 1) * sizeof *doomed);
	if (!doomed)
		return false; /* the next tick tries again */
	*t = (struct retention){.doomed = doomed, .doomed_count = n};
	for (size_t i = 0; i < n; i++) {
		doomed[i] = s->segments[i].first_offset;
		freed += s->segments[i].bytes;
	}
	/* Until it is renamed, a claimed spare still bears its name. */
	if (!s->spare_ready && !s->filling->roll &&
	    !(s->writing && s->writing->roll)) {
		t->recycle =
		    n > 0 && s->segments[0].bytes == s->conf.segment_bytes;
		t->make = !t->recycle && may_make(s, freed, free_bytes);
		t->make_bytes = s->conf.segment_bytes;
		/* The first one after a start is small: a start is quick. */
		if (s->file < 0 && t->make &&
		    t->make_bytes > START_SEGMENT_BYTES)
			t->make_bytes = START_SEGMENT_BYTES;
		t->zero = !s->fills_fast;
	}
	if (n == 0 && !t->make)
		return false;
	s->retention_running = true;
	return true;
}

/* Fill the file with zeros: its blocks are then allocated and written. */
static int
write_zeros(struct disk *d, int file, uint64_t bytes)
{
	uint8_t *zeros = calloc(1, ZERO_BLOCK);
	int rc = zeros ? 0 : -ENOMEM;

	for (uint64_t at = 0; rc == 0 && at < bytes; at += ZERO_BLOCK) {
		uint64_t left = bytes - at;

		rc = disk_write(d, file, zeros,
		                left < ZERO_BLOCK ? (size_t)left : ZERO_BLOCK,
		                at);
	}
	free(zeros);
	return rc;
}

static int
make_spare(struct disk *d, const struct retention *t)
{
	int rc, file = d->open(d, SPARE_NAME, true);

	if (file < 0)
		return file;
	rc = d->truncate(d, file, 0);
	if (rc == 0)
		rc = d->allocate(d, file, t->make_bytes);
	if (rc == 0 && t->zero)
		rc = write_zeros(d, file, t->make_bytes);
	if (rc == 0)
		rc = d->sync(d, file);
	d->close(d, file);
	if (rc == 0)
		rc = d->sync_dir(d, "");
	if (rc < 0)
		(void)d->unlink(d, SPARE_NAME); /* gives its blocks back */
	return rc;
}

void
retention_run(struct store *s)
{
	struct disk *d = s->disk;
	struct retention *t = &s->retention;
	char name[SEGMENT_NAME_BYTES];
	int rc = 0;

	for (size_t i = 0; i < t->doomed_count && rc == 0; i++) {
		segment_name(t->doomed[i], name);
		rc = i == 0 && t->recycle ? d->rename(d, name, SPARE_NAME)
		                          : d->unlink(d, name);
		if (rc < 0)
			log_warn("cannot delete a segment file=%s err=%s", name,
			         log_quote(error_text(rc)));
		else
			t->deleted++;
	}
	if (t->deleted > 0) {
		rc = d->sync_dir(d, "");
		if (rc < 0)
			log_warn("cannot sync the folder err=%s",
			         log_quote(error_text(rc)));
	}
	t->made = t->recycle && t->deleted > 0;
	if (t->make) {
		rc = make_spare(d, t);
		t->made = rc == 0;
		t->rc = rc;
	}
}

void
retention_end(struct store *s)
{
	struct retention *t = &s->retention;

	s->retention_running = false;
	for (size_t i = 0; i < t->deleted; i++)
		s->bytes -= s->segments[i].bytes;
	s->segment_count -= t->deleted;
	if (t->deleted > 0)
		memmove(s->segments, s->segments + t->deleted,
		        s->segment_count * sizeof *s->segments);
	if (t->made) {
		s->spare_ready = true;
		s->spare_bytes = t->make_bytes;
		s->bytes += t->make_bytes;
		s->full_reason[0] = '\0';
	} else if (t->make) {
		(void)snprintf(s->full_reason, sizeof s->full_reason,
		               "cannot prepare a segment: %s",
		               error_text(t->rc));
	}
}
