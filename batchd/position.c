/* position - see position.h. */
#include "batchd/position.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/error.h"

int
position_open(struct position *p, struct store *store, const char *name)
{
	int rc;

	*p = (struct position){.store = store,
	                       .rewinds = {.interval_ms = 10000, .burst = 5}};
	rc = cursor_open(&p->cursor, store->disk, name, store->stream);
	if (rc == -ENOENT)
		return 0;
	if (rc == -EBADMSG) {
		log_error("cursor is damaged; the sink starts at the oldest "
		          "event kept, unless its store has a position sink=%s",
		          name);
		return 0;
	}
	if (rc == ERR_OTHER_LOG)
		log_error("cursor is of another log; restore the log that it "
		          "belongs to, or remove the cursor sink=%s",
		          name);
	else if (rc < 0)
		log_error("cannot open a cursor sink=%s err=%s", name,
		          log_quote(error_text(rc)));
	return rc;
}

/* Skip what the log does not have up to `to`, as --accept-gap allows. */
static void
skip_gap(struct position *p, uint64_t to)
{
	log_warn(
	    "skipping missing events (--accept-gap) sink=%s offsets=%" PRIu64
	    "..%" PRIu64,
	    p->cursor.name, p->cursor.now.committed, to);
	position_skip(p, to);
}

void
position_accept_gap(struct position *p)
{
	uint64_t first = store_first_offset(p->store);

	if (p->cursor.file >= 0 && p->cursor.now.committed < first)
		skip_gap(p, first);
}

int
position_start(struct position *p, bool newest)
{
	struct store *s = p->store;
	uint64_t at = newest ? s->synced_offset : store_first_offset(s);
	char name[FRAME_NAME_MAX + 1];
	int rc;

	p->max_sent_offset = s->synced_offset;
	if (p->cursor.file >= 0)
		return 0;
	memcpy(name, p->cursor.name, sizeof name);
	rc = cursor_create(&p->cursor, s->disk, name, s->stream, at);
	if (rc < 0)
		log_error("cannot create a cursor sink=%s err=%s", name,
		          log_quote(error_text(rc)));
	else
		log_info("new cursor sink=%s offset=%" PRIu64, name, at);
	return rc;
}

void
position_close(struct position *p)
{
	cursor_close(&p->cursor, p->store->disk);
}

/* --- a sink subscribes --- */

/*
 * Return true if the position `at` must be rejected.  Either
 * (a) it is past the end of the log;
 * (b) it is past the end that the log had when batchd started, and this sink
 *     has been sent nothing up to there since; or
 * (c) this sink has reported a position of one of these kinds before, and its
 *     position has not been set back to the cursor or before it since.
 *
 * In cases (b) and (c) the log has grown past the position meanwhile, but with
 * other events than those that the store has under these offsets.  If the
 * position were accepted, the sink would skip them silently (I7).
 *
 * With accept_gap, (b) and (c) are accepted, and *missed is set: the sink does
 * not get the log's events up to there.  (a) is rejected even then, since the
 * log has no such offset yet.
 */
static bool
is_rejected(struct position *p, uint64_t at, bool accept_gap, bool *missed)
{
	struct cursor *c = &p->cursor;
	bool never_sent = at > p->max_sent_offset && at > c->now.committed;

	*missed = false;
	if (at > p->store->synced_offset || (never_sent && !accept_gap)) {
		cursor_set_rejected_position(c, at);
		return true;
	}
	if (c->now.rejected_position == 0 && !never_sent)
		return false;
	*missed = at > c->now.committed;
	if (*missed && !accept_gap)
		return true;
	cursor_set_rejected_position(c, 0);
	return false;
}

/*
 * Move the cursor to the position `from` of a store.  Events before it that
 * were skipped, or before a new cursor, were not: the store has received them.
 * Those from there on remain skipped if there are no others: a store learns of
 * them only with the next batch.
 */
static void
move_to(struct position *p, uint64_t from, bool skipped)
{
	struct cursor *c = &p->cursor;
	uint64_t committed = c->now.committed;
	unsigned suppressed;

	if (skipped)
		cursor_set(c, ranges_last(&c->now.skipped)->from,
		           c->now.in_flight_end);
	else if (cursor_is_new(c))
		cursor_set(c, 0, CURSOR_NO_BATCH);
	/* A sink that does so again and again is faulty: limit the lines. */
	else if (from < committed && log_allow(&p->rewinds, &suppressed))
		log_warn("store has gone back; sending events again sink=%s "
		         "from=%" PRIu64 " cursor=%" PRIu64 " suppressed=%u",
		         c->name, from, committed, suppressed);
	if (from != c->now.committed)
		cursor_set(c, from,
		           skipped ? c->now.in_flight_end : CURSOR_NO_BATCH);
	if (skipped)
		position_skip(p, committed);
}

enum frame_error
position_subscribe(struct position *p, const struct frame *subscribe,
                   bool accept_gap, const char **text)
{
	struct cursor *c = &p->cursor;
	bool has_position = subscribe->subscribe.has_position;
	uint64_t first = store_first_offset(p->store);
	uint64_t from =
	    has_position ? subscribe->subscribe.position : c->now.committed;
	bool skipped = !cursor_is_new(c) && cursor_has_skipped(c, from);
	uint64_t at = skipped ? c->now.committed : from;
	bool missed;

	if (at < first && accept_gap)
		at = first;
	if (at < first) {
		*text = "the store's position is before the oldest event kept; "
			"batchd --accept-gap skips the events between";
		return ERROR_TOO_OLD;
	}
	if (is_rejected(p, at, accept_gap, &missed)) {
		*text =
		    "the store's position is, or was, past the log's end: "
		    "the log has lost its end, or the position is of another "
		    "log; set it back to the sink's offset in leat status, or "
		    "start batchd with --accept-gap to skip the events "
		    "between";
		return ERROR_AHEAD;
	}
	if (missed)
		skip_gap(p, at);
	else if (has_position)
		move_to(p, from, skipped);
	if (c->now.committed < first)
		skip_gap(p, first);
	c->dirty = true; /* it is no longer new */
	return position_report(p, from, &subscribe->subscribe.refused) == 0
	           ? ERROR_NONE
	           : ERROR_PROTOCOL;
}

/* --- a sink commits --- */

/* Above all bounds of a histogram, and too short for its sum to overflow. */
#define COMMIT_MAX_US (INT64_C(3600) * 1000000)

static void
set_refused(struct position *p, const struct frame_refused *refused)
{
	cursor_set_dead_letters(&p->cursor, refused->dead_letters,
	                        refused->dropped);
}

void
position_commit(struct position *p, uint64_t next_offset,
                uint64_t in_flight_end, int64_t older_us,
                const struct frame_refused *refused)
{
	struct cursor *c = &p->cursor;
	uint64_t from = c->now.committed;

	/* The wall clock may have been set since the events came. */
	if (older_us < 0)
		older_us = 0;
	if (older_us > COMMIT_MAX_US)
		older_us = COMMIT_MAX_US;
	p->committed_events += next_offset - from;
	durable_times_count(&p->store->durable_times, from, next_offset,
	                    clock_mono_us(), (uint64_t)older_us,
	                    &p->commit_times);
	cursor_set(c, next_offset, in_flight_end);
	set_refused(p, refused);
	p->skip_is_new = false;
}

void
position_skip(struct position *p, uint64_t to)
{
	cursor_skip(&p->cursor, to);
	p->skip_is_new = true;
}

bool
position_may_send(const struct position *p)
{
	return cursor_skips_are_durable(&p->cursor);
}

/*
 * The sink is where batchd's cursor is.  An event that was skipped may have a
 * dead letter: it was refused before the sink crashed, or before its position
 * was set back.  It counts as a dead letter.  So the first report after a skip,
 * if it is of the same position, tells how many of the events that were skipped
 * do not count as such.
 */
static void
take_report(struct position *p, const struct frame_refused *refused)
{
	struct cursor *c = &p->cursor;
	uint64_t before = c->now.pending_dead_letters + c->now.dropped;
	uint64_t now = refused->dead_letters + refused->dropped;

	if (p->skip_is_new && now > before)
		cursor_unskip(c, now - before);
	p->skip_is_new = false;
	set_refused(p, refused);
}

int
position_report(struct position *p, uint64_t at,
                const struct frame_refused *refused)
{
	if (at == p->cursor.now.committed)
		take_report(p, refused);
	else if (cursor_has_skipped(&p->cursor, at))
		set_refused(p, refused);
	else
		return -EPROTO;
	return 0;
}

/* --- an operator moves the position --- */

/*
 * If the connection breaks after the store has moved ahead, the sink reports a
 * position to which batchd has sent it nothing.  It is valid nevertheless.
 */
void
position_begin_seek(struct position *p, uint64_t to)
{
	cursor_set_seek(&p->cursor, to);
	if (p->max_sent_offset < to)
		p->max_sent_offset = to;
}

void
position_end_seek(struct position *p, const struct frame_refused *refused)
{
	struct cursor *c = &p->cursor;
	const uint64_t from = c->now.committed, to = c->now.seek_to;
	const uint64_t lower = to < from ? to : from;
	/*
	 * If a sink was killed, its store may have the batch in flight.  A
	 * store that recognizes repeated batches by their offsets does not
	 * recognize it in the new generation, so its events count as replayed,
	 * too, even if they are skipped.
	 */
	const uint64_t sent = cursor_max_sent_offset(&c->now);

	cursor_set_seek(c, CURSOR_NO_SEEK);
	if (!refused)
		return;
	cursor_set(c, lower, CURSOR_NO_BATCH);
	p->skip_is_new = false;
	if (to > from)
		position_skip(p, to);
	take_report(p, refused);
	cursor_set_replay(c, c->now.generation + 1,
	                  c->now.replayed_events + sent - lower);
}

uint64_t
position_stored_events(const struct position *p)
{
	const struct cursor_slot *slot = &p->cursor.now;
	const uint64_t others[] = {cursor_skipped(&p->cursor),
	                           slot->pending_dead_letters, slot->dropped};
	uint64_t stored = slot->committed;

	/* A faulty sink may report more events than there are. */
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		stored -= others[i] < stored ? others[i] : stored;
	return stored;
}

uint64_t
position_lag_events(const struct position *p)
{
	uint64_t committed = p->cursor.now.committed;

	return p->store->durable_offset > committed
	           ? p->store->durable_offset - committed
	           : 0;
}
