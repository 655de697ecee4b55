/* retention - see retention.h. */
#include "batchd/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/segment_pool.h"
#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/log.h"

/* Return true if space is so short that segments go before retain_us. */
static bool
pressed(const struct store *s, int64_t free_bytes)
{
	return s->bytes + s->conf.segment_bytes > s->conf.max_bytes / 4 * 3 ||
	       (free_bytes >= 0 &&
	        (uint64_t)free_bytes < 2 * s->conf.min_free_bytes);
}

/* Count the segments, from the oldest on, that may be deleted. */
static size_t
count_doomed(const struct store *s, uint64_t lowest, int64_t free_bytes)
{
	int64_t now_us = (int64_t)clock_mono_us();
	bool now = pressed(s, free_bytes);
	size_t n = 0;

	/* A segment was completed when the one after it was created. */
	while (
	    n + 1 < s->segment_count &&
	    s->segments[n + 1].first_offset <= lowest &&
	    (now || s->segments[n + 1].since_us + s->conf.retain_us <= now_us))
		n++;
	return n;
}

/*
 * Return the bytes of a last segment that is not being filled and that no sink
 * needs.  It goes when the next segment follows it.  If it did not make room
 * for that one, the log would stay full when max_bytes was lowered below it.
 */
static uint64_t
freed_later(const struct store *s, size_t doomed_count, uint64_t lowest)
{
	bool is_filled = s->file >= 0;

	return !is_filled && doomed_count + 1 == s->segment_count &&
	               lowest >= s->next_offset
	           ? s->segments[doomed_count].bytes
	           : 0;
}

bool
retention_begin(struct store *s, uint64_t lowest)
{
	int64_t free_bytes = s->disk->free_bytes(s->disk);
	struct retention *t = &s->retention;
	uint64_t freed = 0, *doomed;
	size_t n;

	if (s->retention_running)
		return false;
	n = count_doomed(s, lowest, free_bytes);
	doomed = realloc(t->doomed, (n + 1) * sizeof *doomed);
	if (!doomed)
		return false; /* the next tick tries again */
	*t = (struct retention){.doomed = doomed, .doomed_count = n};
	for (size_t i = 0; i < n; i++) {
		doomed[i] = s->segments[i].first_offset;
		freed += s->segments[i].bytes;
	}
	segment_pool_plan(s, n, freed, freed_later(s, n, lowest), free_bytes);
	if (n == 0 && !s->spare_plan.make)
		return false;
	s->retention_running = true;
	return true;
}

void
retention_run(struct store *s)
{
	struct disk *d = s->disk;
	struct retention *t = &s->retention;
	char name[SEGMENT_NAME_BYTES];
	int rc = 0, recycled = 0;

	for (size_t i = 0; i < t->doomed_count && (rc == 0 || rc == -ENOENT);
	     i++) {
		bool recycles = i == 0 && s->spare_plan.recycle;

		segment_name(t->doomed[i], name);
		rc = recycles ? d->rename(d, name, SPARE_NAME)
		              : d->unlink(d, name);
		if (recycles)
			recycled = rc;
		if (rc < 0)
			log_warn("cannot delete a segment file=%s err=%s", name,
			         log_quote(error_text(rc)));
		/* One that is gone must not keep those after it. */
		if (rc == 0 || rc == -ENOENT)
			t->deleted++;
	}
	if (t->deleted > 0) {
		rc = d->sync_dir(d, "");
		if (rc < 0)
			log_warn("cannot sync the directory of the log err=%s",
			         log_quote(error_text(rc)));
	}
	segment_pool_provide(s, recycled);
}

void
retention_end(struct store *s)
{
	const struct retention *t = &s->retention;

	s->retention_running = false;
	for (size_t i = 0; i < t->deleted; i++)
		s->bytes -= s->segments[i].bytes;
	s->segment_count -= t->deleted;
	if (t->deleted > 0)
		memmove(s->segments, s->segments + t->deleted,
		        s->segment_count * sizeof *s->segments);
	segment_pool_finish(s);
}
