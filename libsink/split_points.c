/* split_points - see split_points.h. */
#include "libsink/split_points.h"

#include <string.h>

#include "libsink/back_off.h"

/*
 * The key of a batch in the journal.  Dead letters that are retried come in
 * batches that may have other ends the next time, so one key covers all split
 * points of their file.
 */
static uint64_t
journal_key(const struct delivery *w)
{
	return w->kept ? UINT64_MAX : w->b.whole->next_offset;
}

/* The journal cannot be read or written: report it, and wait. */
static int
journal_failed(struct deliver *d, int rc)
{
	return back_off_wait_for_file(d, "cannot write split journal in",
	                              d->dlq->dir, rc);
}

/* Put on disk what must be there before the next piece is written. */
static int
journal_write(struct deliver *d, const struct delivery *w, const uint64_t *at,
              size_t n, uint64_t unwritten)
{
	int rc;

	if (!d->sink->stable)
		return 0;
	while ((rc = split_journal_add(&w->splits->journal, journal_key(w), at,
	                               n, unwritten)) < 0) {
		rc = journal_failed(d, rc);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
journal_read(struct deliver *d, const struct delivery *w)
{
	struct split_state *s = w->splits;
	const char *stream = w->b.whole->stream;
	int rc;

	while (!s->journal.stream || strcmp(s->journal.stream, stream) != 0) {
		rc = split_journal_read(&s->journal, d->dlq->dir, d->sink->name,
		                        stream);
		s->had_splits = s->journal.found;
		if (rc < 0)
			rc = journal_failed(d, rc);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
split_points_begin(struct deliver *d, struct delivery *w)
{
	const struct batch *batch = w->b.whole;
	const struct split_journal *journal = &w->splits->journal;
	const uint64_t next = batch->next_offset;
	bool again;
	int rc;

	if (!d->sink->stable || batch->count == 0) {
		w->unwritten = batch->offset;
		return 0;
	}
	rc = journal_read(d, w);
	/* The end of a batch of retried dead letters is a split point, too. */
	if (rc == 0 && w->kept &&
	    split_journal_next(journal, UINT64_MAX, next - 1) != next)
		rc =
		    journal_write(d, w, &next, 1,
		                  split_journal_unwritten(journal, UINT64_MAX));
	/*
	 * If the batch was sent before, perhaps to another process, all of it
	 * may be stored that is not known to be unwritten.  If an earlier run
	 * has left split points, the file of dead letters was read before.
	 */
	again = w->kept ? w->splits->had_splits : batch->again;
	w->unwritten = again ? split_journal_unwritten(journal, journal_key(w))
	                     : batch->offset;
	return rc;
}

bool
split_points_may_be_stored(const struct delivery *w)
{
	return w->b.whole->offset + w->b.low < w->unwritten;
}

int
split_points_before_write(struct deliver *d, struct delivery *w,
                          const struct batch *piece)
{
	uint64_t next = piece->next_offset;

	w->in_doubt = split_points_may_be_stored(w);
	if (!d->sink->stable || piece->count == 0)
		return 0;
	if (w->unwritten < next)
		w->unwritten = next;
	if (split_journal_unwritten(&w->splits->journal, journal_key(w)) >=
	    next)
		return 0;
	return journal_write(d, w, NULL, 0, next);
}

int
split_points_not_stored(struct deliver *d, struct delivery *w)
{
	w->unwritten = w->b.whole->offset + w->b.low;
	return journal_write(d, w, NULL, 0, w->unwritten);
}

void
split_points_follow(const struct deliver *d, struct delivery *w)
{
	uint64_t offset = w->b.whole->offset, next;

	if (!d->sink->stable || w->b.depth == 0)
		return;
	next = split_journal_next(&w->splits->journal, journal_key(w),
	                          offset + w->b.low);
	if (next < offset + bisection_end(&w->b))
		bisection_push(&w->b, next - offset);
}

/*
 * Which pieces are unwritten is not recorded here.  That would cost one more
 * sync for each piece, and the store refuses an event for its content whenever
 * the event comes.
 */
int
split_points_add(struct deliver *d, const struct delivery *w, const size_t *at,
                 size_t n)
{
	uint64_t offsets[2] = {0};

	for (size_t i = 0; i < n; i++)
		offsets[i] = w->b.whole->offset + at[i];
	return journal_write(d, w, offsets, n, SPLIT_JOURNAL_UNKNOWN);
}

int
split_points_limit(struct deliver *d, struct delivery *w)
{
	uint64_t at;
	int rc;

	if (d->most == 0 || w->b.depth == 0 || split_points_may_be_stored(w) ||
	    bisection_end(&w->b) - w->b.low <= d->most)
		return 0;
	at = w->b.whole->offset + w->b.low + d->most;
	rc = journal_write(d, w, &at, 1, at);
	if (rc == 0)
		bisection_push(&w->b, w->b.low + d->most);
	return rc;
}
