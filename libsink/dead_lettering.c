/* dead_lettering - see dead_lettering.h. */
#include "libsink/dead_lettering.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libsink/back_off.h"
#include "libsink/split_points.h"

/*
 * Refused events that bisection finds in a batch before the sink's probe is
 * asked for all of them.  For a few events bisection with the store's hints
 * costs less than a probe.
 */
#define PROBE_AFTER 4
/* Most events that one probe looks at, which bounds what a failed one costs. */
#define PROBE_EVENTS 10000

/* The file for what the store refuses of the batch. */
static struct dlq_file *
target_file(const struct deliver *d, const struct delivery *w)
{
	return w->kept ? w->kept->file : d->dlq;
}

/*
 * The file cannot be written.  A batch of the log waits until it can.  A retry
 * of dead letters must not hold up the log for that, so it is suspended.
 */
static int
dlq_failed(struct deliver *d, const struct delivery *w, int rc)
{
	struct sink_error error = {0};
	unsigned suppressed;

	if (rc == ERR_DEAD_LETTERS_FULL)
		(void)sink_fail(&error, SINK_MISCONFIGURED,
		                "dead letters are at dead_max_bytes: run leat "
		                "dead retry, move the file away, or raise it");
	else
		(void)sink_fail(&error, SINK_MISCONFIGURED,
		                "cannot write the dead letters %s: %s",
		                target_file(d, w)->path, file_error(rc));
	if (!w->kept)
		return back_off_wait(d, SINK_MISCONFIGURED, &error);
	if (log_allow(&d->kept_limit, &suppressed))
		log_warn("retry of dead letters suspended err=%s "
		         "suppressed=%u",
		         log_quote(error.text), suppressed);
	return ERR_RETRY_SUSPENDED;
}

static struct dlq_record
make_record(const struct deliver *d, struct origin from,
            const struct event *event, const struct sink_error *why)
{
	return (struct dlq_record){
	    .stream = from.stream,
	    .offset = from.offset,
	    .sink = slice_of(d->sink->name),
	    .at_us = clock_wall_us(),
	    .code = slice_of(why->code),
	    .reason =
		slice_of(why->dead_letter[0] ? why->dead_letter : why->text),
	    .event = *event};
}

/*
 * The dead letters of `events` events are on disk.  `first` and `why` belong to
 * the first of them.
 */
static void
on_dead_lettered(struct deliver *d, const struct delivery *w,
                 struct origin first, size_t events,
                 const struct sink_error *why)
{
	unsigned suppressed;

	back_off_end(d);
	if (!w->kept)
		d->stats->dead_lettered += events;
	if (log_allow(w->kept ? &d->kept_limit : &d->dead_letter_limit,
	              &suppressed))
		log_warn("%s stream=%.*s offset=%" PRIu64
		         " events=%zu code=%s err=%s suppressed=%u",
		         w->kept ? "dead letter refused again"
		                 : "event dead-lettered",
		         (int)first.stream.bytes, first.stream.data,
		         first.offset, events, log_quote(why->code),
		         log_quote(why->text), suppressed);
}

/*
 * Put the dead letter on disk.  If there is no room and dead_full is `count`,
 * only count its event.  A dead letter that is being retried is never dropped.
 */
static int
add_or_drop(struct deliver *d, const struct delivery *w,
            const struct dlq_record *record)
{
	int rc = dlq_file_add(target_file(d, w), record);
	bool drop = d->common->dead_full == DEAD_FULL_COUNT && !w->kept;

	return rc == ERR_DEAD_LETTERS_FULL && drop
	           ? dlq_file_drop(d->dlq, record)
	           : rc;
}

static int
add_one(struct deliver *d, const struct delivery *w,
        const struct dlq_record *record)
{
	struct dlq_file *dlq = target_file(d, w);
	int rc = dlq_file_begin(dlq), ended;

	if (rc == 0)
		rc = add_or_drop(d, w, record);
	ended = dlq_file_end(dlq);
	return rc < 0 ? rc : ended;
}

int
dead_lettering_add(struct deliver *d, struct delivery *w,
                   const struct batch *piece, const struct sink_error *why)
{
	struct origin from = batch_origin(piece, 0);
	struct dlq_record record = make_record(d, from, &piece->events[0], why);
	int rc;

	while ((rc = add_one(d, w, &record)) < 0) {
		rc = dlq_failed(d, w, rc);
		if (rc < 0)
			return rc;
	}
	if (w->kept)
		w->kept->events[w->b.low] = true;
	on_dead_lettered(d, w, from, 1, why);
	w->b.refused++;
	bisection_pass(&w->b);
	return 0;
}

int
dead_lettering_await_file(struct deliver *d, int rc)
{
	return back_off_wait_for_file(d, "cannot read the dead letters",
	                              d->dlq->path, rc);
}

/* The file must have been counted once for the stream and the position. */
static int
have_file_counted(struct deliver *d, const struct batch *batch)
{
	int rc;

	dlq_file_follow(d->dlq, batch->stream);
	if (d->dlq->ahead_known)
		return 0;
	while ((rc = dlq_file_refresh(d->dlq)) < 0) {
		rc = dead_lettering_await_file(d, rc);
		if (rc < 0)
			return rc;
	}
	if (d->failures > 0)
		back_off_end(d);
	return 0;
}

/* Leave out what an earlier piece has found to be refused again. */
static int
leave_out_kept(struct delivery *w)
{
	for (size_t i = 0; i < w->b.whole->count; i++) {
		if (!w->kept->events[i])
			continue;
		if (bisection_leave_out_begin(&w->b) < 0)
			return -ENOMEM;
		bisection_leave_out(&w->b, i);
	}
	return 0;
}

/*
 * Events of the batch can have a dead letter from before: the sink crashed
 * after it had written the dead letter, and before the position had passed the
 * event; or the position was set back.  If such an event were stored now, a
 * retry would store it again.
 */
int
dead_lettering_begin(struct deliver *d, struct delivery *w)
{
	const uint64_t offset = w->b.whole->offset, *dead;
	size_t n;
	int rc;

	if (w->kept)
		return leave_out_kept(w);
	rc = have_file_counted(d, w->b.whole);
	if (rc < 0)
		return rc;
	dead = dlq_file_find(d->dlq, offset, offset + w->b.whole->count, &n);
	if (n == 0)
		return 0;
	if (bisection_leave_out_begin(&w->b) < 0)
		return -ENOMEM;
	log_info("skipping events that have dead letters already "
	         "offset=%" PRIu64 " events=%zu",
	         dead[0], n);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || dead[i] != dead[i - 1])
			bisection_leave_out(&w->b, dead[i] - offset);
	return 0;
}

/* The dead letters that come of one probe, which are synced together. */
struct probe_group {
	struct deliver *d;
	struct delivery *w;
	const struct batch *piece;
	size_t *indices; /* in the whole batch, of the events in the group */
	size_t count;
	size_t event, index; /* the last one: in the piece, in the batch */
	bool begun;
	int rc; /* the first error; dead letters before it are kept */
	struct sink_error why; /* of the first event */
};

static void
on_probe_refused(void *arg, size_t event, const struct sink_error *why)
{
	struct probe_group *g = arg;
	struct dlq_record record;

	assert(event < g->piece->count);
	if (g->rc < 0)
		return;
	if (!g->begun) {
		g->rc = dlq_file_begin(target_file(g->d, g->w));
		g->begun = true;
		g->why = *why;
	}
	while (g->event < event) {
		g->index++;
		g->event += !bisection_is_left_out(&g->w->b, g->index);
	}
	record = make_record(g->d, batch_origin(g->piece, event),
	                     &g->piece->events[event], why);
	if (g->rc == 0)
		g->rc = add_or_drop(g->d, g->w, &record);
	if (g->rc == 0)
		g->indices[g->count++] = g->index;
}

/* End the group.  Its dead letters are synced, or none of them is in the file.
 */
static int
end_group(struct probe_group *g)
{
	int rc = g->begun ? dlq_file_end(target_file(g->d, g->w)) : 0;

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < g->count; i++) {
		bisection_leave_out(&g->w->b, g->indices[i]);
		if (g->w->kept)
			g->w->kept->events[g->indices[i]] = true;
	}
	if (g->count > 0)
		on_dead_lettered(g->d, g->w,
		                 batch_origin(g->w->b.whole, g->indices[0]),
		                 g->count, &g->why);
	return g->rc;
}

/* Cut the next piece down to the events before index `end`. */
static int
end_piece_at(struct deliver *d, struct delivery *w, size_t end)
{
	if (end == bisection_end(&w->b))
		return 0;
	bisection_push(&w->b, end);
	return split_points_add(d, w, &end, 1);
}

/*
 * A probe reports its events only when it has finished with the store.  So the
 * dead-letter file is locked for the length of a write to it, and not while the
 * store works.
 */
static int
probe(struct deliver *d, struct delivery *w, const struct batch *piece,
      struct probe_group *g, enum sink_result *result, struct sink_error *error)
{
	struct sink_refused refused = {on_probe_refused, g};
	struct batch some = *piece;
	size_t looked = 0, end;
	int rc;

	if (some.count > PROBE_EVENTS)
		some.count = PROBE_EVENTS;
	*result = d->sink->probe(d->state, &some, &refused, &looked, error);
	/* If a probe fails or finds nothing, do not ask again for this piece.
	 */
	if (*result != SINK_DONE || looked == 0 ||
	    (looked == piece->count && g->count == 0 && g->rc == 0))
		w->b.pieces[w->b.depth - 1].no_probe = true;
	end = looked < piece->count ? bisection_index(&w->b, looked)
	                            : bisection_end(&w->b);
	rc = end_group(g);
	if (rc < 0) {
		*result = SINK_DONE;
		return dlq_failed(d, w, rc);
	}
	return *result == SINK_DONE && looked > 0 ? end_piece_at(d, w, end) : 0;
}

/*
 * After a crash, retried dead letters that were dead-lettered again are left
 * out of their batch, so the pieces that a probe makes of it would end
 * elsewhere the next time.  A stable sink must write the same pieces again.
 */
bool
dead_lettering_wants_probe(const struct deliver *d, const struct delivery *w)
{
	return d->sink->probe && !(w->kept && d->sink->stable) &&
	       w->b.refused >= PROBE_AFTER &&
	       !w->b.pieces[w->b.depth - 1].no_probe;
}

int
dead_lettering_probe(struct deliver *d, struct delivery *w,
                     const struct batch *piece, enum sink_result *result,
                     struct sink_error *error)
{
	struct probe_group g = {
	    .d = d, .w = w, .piece = piece, .index = w->b.low};
	int rc = bisection_leave_out_begin(&w->b);

	*result = SINK_DONE;
	g.indices = calloc(piece->count, sizeof *g.indices);
	if (rc == 0)
		rc =
		    g.indices ? probe(d, w, piece, &g, result, error) : -ENOMEM;
	free(g.indices);
	return rc;
}
