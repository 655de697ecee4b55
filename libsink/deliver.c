/* deliver - see deliver.h. */
#include "libsink/deliver.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libbase/error.h"
#include "libsink/back_off.h"
#include "libsink/dead_lettering.h"
#include "libsink/split_points.h"
#include "libsink/stop.h"

/* Failures in a row with the same code before a batch is halved. */
#define TOO_MUCH_FAILURES 4

/* Pieces of one size that are stored before twice the size is tried. */
#define FITTING_PIECES 16

void
deliver_close(struct deliver *d)
{
	if (d->open)
		d->sink->close(d->state);
	d->open = false;
}

void
deliver_fini(struct deliver *d)
{
	deliver_close(d);
	split_journal_fini(&d->log_splits.journal);
	split_journal_fini(&d->retry_splits.journal);
}

static enum sink_result
try_start(struct deliver *d, const char *stream, bool *found,
          uint64_t *position, struct sink_error *error)
{
	enum sink_result result = SINK_DONE;
	bool was_open = d->open;

	(void)stop_hanging(true);
	if (!was_open) {
		/* Set before the call, so that a half open state is closed. */
		d->open = true;
		result = d->sink->open(d->state, d->common, d->conf, error);
	}
	/* The first stream that a sink is asked for is that of the log. */
	if (result == SINK_DONE && !was_open && strcmp(stream, d->log) != 0)
		result =
		    d->sink->position(d->state, d->log, found, position, error);
	*found = false;
	if (result == SINK_DONE)
		result =
		    d->sink->position(d->state, stream, found, position, error);
	(void)stop_hanging(false);
	if (result != SINK_DONE)
		deliver_close(d);
	return result;
}

static int
find_position(struct deliver *d, const char *stream, bool *found,
              uint64_t *position)
{
	for (;;) {
		struct sink_error error = {0};
		enum sink_result result =
		    try_start(d, stream, found, position, &error);
		int rc;

		if (result == SINK_DONE)
			return 0;
		rc = back_off_wait(d, result, &error);
		if (rc < 0)
			return rc;
	}
}

int
deliver_start(struct deliver *d, const char *stream, bool *found,
              uint64_t *position)
{
	if (strcmp(stream, d->log) != 0)
		deliver_close(d);
	(void)snprintf(d->log, sizeof d->log, "%s", stream);
	split_journal_fini(&d->log_splits.journal);
	return find_position(d, stream, found, position);
}

int
deliver_start_retry(struct deliver *d, const char *stream, bool *found,
                    uint64_t *position)
{
	split_journal_fini(&d->retry_splits.journal);
	return find_position(d, stream, found, position);
}

/* A piece was stored.  After many pieces at the limit, try twice the size. */
static void
grow_limit(struct deliver *d, size_t count)
{
	d->too_much = 0;
	if (d->most == 0 || count < d->most || ++d->fitting < FITTING_PIECES)
		return;
	d->fitting = 0;
	d->most = d->most < SINK_BATCH_EVENTS_MAX ? d->most * 2 : 0;
}

static void
stored(struct deliver *d, struct delivery *w, const struct batch *piece,
       size_t duplicates)
{
	assert(duplicates <= piece->count);
	back_off_end(d);
	grow_limit(d, piece->count);
	d->stats->events += piece->count - duplicates;
	d->stats->duplicates += duplicates;
	w->b.position = piece->next_offset;
	bisection_pass(&w->b);
}

/*
 * A write has failed.  Return true if the next one should have fewer events.  A
 * first failure must repeat itself, since it may be temporary.  Once a limit
 * was met, each further failure counts as that limit.
 */
static bool
exceeds_limit(struct deliver *d, size_t count, const struct sink_error *error)
{
	if (!error->too_much) {
		d->too_much = 0;
		return false;
	}
	if (d->too_much == 0 || strcmp(d->too_much_code, error->code) != 0) {
		d->too_much = 0;
		memcpy(d->too_much_code, error->code, sizeof error->code);
	}
	d->too_much++;
	return count > 1 && (d->most > 0 || d->too_much >= TOO_MUCH_FAILURES);
}

/* Make the next piece half as large as one that has `count` events. */
static int
write_less(struct deliver *d, struct delivery *w, size_t count)
{
	unsigned suppressed;

	d->most = count / 2;
	d->fitting = 0;
	if (log_allow(&d->fewer_limit, &suppressed))
		log_warn("the store does not take this much at once, writing "
		         "fewer events=%zu suppressed=%u; lower batch_events, "
		         "or raise the store's limit",
		         d->most, suppressed);
	return split_points_limit(d, w);
}

static void
log_moved(const struct batch *batch, bool found, uint64_t position)
{
	log_error("the store's position is not what this sink left; another "
	          "writer has this sink's name, or the store was restored "
	          "from an older copy "
	          "stream=%s expected=%" PRIu64 " found=%s position=%" PRIu64,
	          batch->stream, batch->position, found ? "yes" : "no",
	          position);
}

/*
 * Ask the store for its position after a write whose result is unknown.  If
 * that is the end of the piece, the piece is stored.  If it is the start, the
 * piece is written again.  Returns ERR_POSITION_MOVED for any other position.
 */
static int
reconcile(struct deliver *d, struct delivery *w, const struct batch *piece,
          bool fenced)
{
	uint64_t position = 0;
	bool found;
	int rc = find_position(d, piece->stream, &found, &position);

	if (rc < 0)
		return rc;
	if (found && position == piece->next_offset) {
		/* The store has not reported which of them are duplicates. */
		stored(d, w, piece, 0);
		return 0;
	}
	if (!fenced && (!found || position == piece->position))
		return 0;
	log_moved(piece, found, position);
	return ERR_POSITION_MOVED;
}

/*
 * If the same limit has stopped the piece several times and the piece cannot be
 * made smaller, put into error->text which events are pending and what an
 * operator can do, and return SINK_MISCONFIGURED.  Else return the result as it
 * is.
 */
static enum sink_result
explain_limit(const struct deliver *d, const struct delivery *w,
              const struct batch *piece, enum sink_result result,
              struct sink_error *error)
{
	const struct event *e = piece->events;
	char text[sizeof error->text];

	if (!error->too_much || d->too_much < TOO_MUCH_FAILURES ||
	    (piece->count > 1 && !split_points_may_be_stored(w)))
		return result;
	memcpy(text, error->text, sizeof text);
	if (piece->count == 1)
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "the event at offset %" PRIu64
		                 " (%zu bytes) fails even alone: raise the "
		                 "store's limit or timeout_ms: %.160s",
		                 batch_origin(piece, 0).offset,
		                 event_text_bytes(e), text);
	return sink_fail(error, SINK_MISCONFIGURED,
	                 "%zu events from offset %" PRIu64
	                 " may be stored already, and in smaller batches "
	                 "would be stored twice: raise the store's "
	                 "limit: %.140s",
	                 piece->count, batch_origin(piece, 0).offset, text);
}

/*
 * The piece is neither stored nor refused: close the store, wait, and go on
 * from the position that the store has then.  Returns 0, ERR_POSITION_MOVED as
 * deliver_batch, or what the wait gave up with.
 */
static int
interrupted(struct deliver *d, struct delivery *w, const struct batch *piece,
            enum sink_result result, struct sink_error *error)
{
	bool too_much = exceeds_limit(d, piece->count, error);
	size_t low = w->b.low;
	int rc = 0;

	deliver_close(d);
	if (d->sink->stable && error->too_much &&
	    (error->forgets || (!error->may_be_stored && !w->in_doubt)))
		rc = split_points_not_stored(d, w);
	if (rc < 0)
		return rc;
	result = explain_limit(d, w, piece, result, error);
	/* If it is fenced, its position decides at once; waiting does not help.
	 */
	if (result != SINK_FENCED)
		rc = back_off_wait(d, result, error);
	if (rc == 0)
		rc = reconcile(d, w, piece, result == SINK_FENCED);
	if (rc == 0 && too_much && !split_points_may_be_stored(w) &&
	    w->b.low == low)
		rc = write_less(d, w, piece->count);
	return rc;
}

static int
rejected(struct deliver *d, struct delivery *w, const struct batch *piece,
         const struct sink_error *error)
{
	enum sink_result result;
	struct sink_error failure = {0};
	size_t at[2], n;
	int rc;

	if (piece->count == 0)
		return back_off_wait(d, SINK_MISCONFIGURED, error);
	/*
	 * A store that refuses the piece now has refused it before, too, so it
	 * has stored nothing of it.
	 */
	w->unwritten = w->b.whole->offset + w->b.low;
	if (piece->count == 1)
		return dead_lettering_add(d, w, piece, error);
	if (dead_lettering_wants_probe(d, w)) {
		rc = dead_lettering_probe(d, w, piece, &result, &failure);
		if (rc == 0 && result != SINK_DONE)
			rc = interrupted(d, w, piece, result, &failure);
		return rc;
	}
	n = bisection_split(&w->b, piece->count, error->bad_event, at);
	return split_points_add(d, w, at, n);
}

/* Write the next piece, and do what its result asks for. */
static int
write_piece(struct deliver *d, struct delivery *w)
{
	struct batch piece = bisection_next(&w->b);
	struct sink_error error = {0};
	enum sink_result result;
	int rc = split_points_before_write(d, w, &piece);

	if (rc < 0)
		return rc;
	assert(d->open);
	result = d->sink->write(d->state, &piece, &error);
	switch (result) {
	case SINK_DONE:
		stored(d, w, &piece, error.duplicates);
		return 0;
	case SINK_REJECT:
		return rejected(d, w, &piece, &error);
	case SINK_UNREACHABLE:
	case SINK_MISCONFIGURED:
	case SINK_FENCED:
		break;
	}
	return interrupted(d, w, &piece, result, &error);
}

/*
 * Open the store for a batch of the log, after a retry has left it closed.  The
 * position must be where the log's batches left it.
 */
static int
reopen(struct deliver *d, const struct batch *batch)
{
	uint64_t position = 0;
	bool found;
	int rc = find_position(d, batch->stream, &found, &position);

	if (rc < 0 || !found || position == batch->position)
		return rc;
	log_moved(batch, found, position);
	return ERR_POSITION_MOVED;
}

int
deliver_batch(struct deliver *d, const struct batch *batch,
              const struct delivery_kept *kept)
{
	struct delivery w = {
	    .kept = kept, .splits = kept ? &d->retry_splits : &d->log_splits};
	int rc;

	d->stats->state = STATS_WRITING;
	rc = d->open ? 0 : reopen(d, batch);
	bisection_init(&w.b, batch);
	if (rc == 0)
		rc = dead_lettering_begin(d, &w);
	if (rc == 0)
		rc = split_points_begin(d, &w);
	while (rc == 0) {
		bisection_skip_left_out(&w.b);
		split_points_follow(d, &w);
		rc = split_points_limit(d, &w);
		if (rc < 0 || bisection_done(&w.b))
			break;
		rc = write_piece(d, &w);
		if (rc == 0 && d->calls.step && !bisection_done(&w.b))
			rc =
			    d->calls.step(d->calls.arg, batch->offset + w.b.low,
			                  w.b.position);
	}
	bisection_fini(&w.b);
	if (rc == 0)
		d->stats->batches++;
	return rc;
}
