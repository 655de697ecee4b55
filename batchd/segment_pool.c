/* segment_pool - see segment_pool.h. */
#include "batchd/segment_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "libbase/error.h"

#define START_SEGMENT_BYTES (4 * MIB)

/* Bytes written at once while filling a segment with zeros. */
#define ZERO_BLOCK (1 * MIB)

/*
 * Return true if max_bytes allows one more segment after `freed` bytes were
 * freed.  Otherwise s->full_reason has the reason.
 */
static bool
has_budget(struct store *s, uint64_t freed)
{
	if (s->bytes - freed + s->conf.segment_bytes <= s->conf.max_bytes)
		return true;
	(void)snprintf(s->full_reason, sizeof s->full_reason,
	               "the log has reached max_bytes = %" PRIu64,
	               s->conf.max_bytes);
	return false;
}

/*
 * Return true if the disk has space for one more segment.  Otherwise
 * s->full_reason has the reason.
 */
static bool
has_space(struct store *s, uint64_t freed, int64_t free_bytes)
{
	uint64_t need = s->conf.segment_bytes;

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

void
segment_pool_plan(struct store *s, size_t doomed_count, uint64_t freed,
                  uint64_t later, int64_t free_bytes)
{
	struct spare_plan *p = &s->spare_plan;

	*p = (struct spare_plan){.make_bytes = s->conf.segment_bytes,
	                         .zero = !s->fills_fast};
	/* Until a claimed spare is renamed, its file has the spare's name. */
	if (s->spare_ready || s->filling->roll ||
	    (s->writing && s->writing->roll))
		return;
	/* The budget may be smaller than at the last start. */
	if (!has_budget(s, freed + later))
		return;
	p->recycle =
	    doomed_count > 0 && s->segments[0].bytes == s->conf.segment_bytes;
	p->make = !p->recycle && has_space(s, freed, free_bytes);
	/* The first one is small, so that a start does not take long. */
	if (s->file < 0 && p->make && p->make_bytes > START_SEGMENT_BYTES)
		p->make_bytes = START_SEGMENT_BYTES;
}

/*
 * Write the whole file with zeros.  Blocks that were only reserved are marked
 * as unwritten, and the first write to each would make the next sync update
 * the file system's metadata, too.
 */
static int
write_zeros(struct disk *d, int file, uint64_t bytes)
{
	/* Not const: the program's file would have the zeros, too. */
	static uint8_t zeros[ZERO_BLOCK];
	int rc = 0;

	for (uint64_t at = 0; rc == 0 && at < bytes; at += ZERO_BLOCK) {
		uint64_t left = bytes - at;

		rc = disk_write(d, file, zeros,
		                left < ZERO_BLOCK ? (size_t)left : ZERO_BLOCK,
		                at);
	}
	return rc;
}

static int
make_spare(struct disk *d, const struct spare_plan *p)
{
	int rc, file = d->open(d, SPARE_NAME, true);

	if (file < 0)
		return file;
	rc = d->truncate(d, file, 0);
	if (rc == 0)
		rc = d->allocate(d, file, p->make_bytes);
	if (rc == 0 && p->zero)
		rc = write_zeros(d, file, p->make_bytes);
	if (rc == 0)
		rc = d->sync(d, file);
	d->close(d, file);
	if (rc == 0)
		rc = d->sync_dir(d, "");
	if (rc < 0)
		(void)d->unlink(d, SPARE_NAME); /* frees its blocks */
	return rc;
}

void
segment_pool_provide(struct store *s, int recycled)
{
	struct spare_plan *p = &s->spare_plan;

	p->rc = p->make ? make_spare(s->disk, p) : recycled;
	p->made = (p->make || p->recycle) && p->rc == 0;
}

void
segment_pool_finish(struct store *s)
{
	const struct spare_plan *p = &s->spare_plan;

	if (p->made) {
		s->spare_ready = true;
		s->spare_bytes = p->make_bytes;
		s->bytes += p->make_bytes;
		s->full_reason[0] = '\0';
	} else if (p->make || p->recycle) {
		(void)snprintf(s->full_reason, sizeof s->full_reason,
		               "cannot prepare a segment: %s",
		               error_text(p->rc));
	}
}
