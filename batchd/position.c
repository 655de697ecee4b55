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

/*
 * Count the events from..to, which the log no longer has, as skipped, because
 * the operator gave --accept-gap.
 *
 * They may have been counted in part: position_accept_gap skips to the oldest
 * event before a store with a position of its own has reported it, and that
 * position may be further back.  Its sink may also subscribe several times
 * before it moves its position.  So the gap that was counted last is taken
 * back first, and the same gap is not logged twice.
 */
static void
skip_gap(struct position *p, uint64_t from, uint64_t to)
{
	uint64_t counted = p->accepted_gap_to - p->accepted_gap_from;
	uint64_t skipped = p->cursor.now.skipped;

	if (p->accepted_gap_to == to && p->accepted_gap_from == from &&
	    counted > 0)
		return;
	log_warn(
	    "skipping missing events (--accept-gap) sink=%s offsets=%" PRIu64
	    "..%" PRIu64,
	    p->cursor.name, from, to);
	skipped = skipped > counted ? skipped - counted : 0;
	cursor_set_skipped(&p->cursor, skipped + to - from);
	p->accepted_gap_from = from;
	p->accepted_gap_to = to;
}

void
position_accept_gap(struct position *p)
{
	uint64_t first = store_first_offset(p->store);

	if (p->cursor.file < 0 || p->cursor.now.committed >= first)
		return;
	skip_gap(p, p->cursor.now.committed, first);
	cursor_set(&p->cursor, first, CURSOR_NO_BATCH);
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
 * With accept_gap, (b) and (c) are accepted, and *skipped is the number of the
 * log's events that the sink does not get.  (a) is rejected even then, since
 * the log has no such offset yet.
 */
static bool
is_rejected(struct position *p, uint64_t at, bool accept_gap, uint64_t *skipped)
{
	struct cursor *c = &p->cursor;
	bool never_sent = at > p->max_sent_offset && at > c->now.committed;

	*skipped = 0;
	if (at > p->store->synced_offset || (never_sent && !accept_gap)) {
		cursor_set_rejected_position(c, at);
		return true;
	}
	if (c->now.rejected_position == 0 && !never_sent)
		return false;
	if (at > c->now.committed && !accept_gap)
		return true;
	if (at > c->now.committed)
		*skipped = at - c->now.committed;
	cursor_set_rejected_position(c, 0);
	return false;
}

/*
 * Start the account of a sink that subscribes: `skipped` events before its
 * position will never be sent.  A new cursor counts what is before it as
 * skipped.  That is wrong for a store that has a position: it has received
 * these events, and only the cursor was lost.
 */
static void
start_account(struct position *p, bool has_position, uint64_t skipped)
{
	struct cursor *c = &p->cursor;
	uint64_t before = c->now.skipped;

	if (has_position && cursor_is_new(c))
		before = 0;
	cursor_set_skipped(c, before + skipped);
	c->dirty = true; /* it is no longer new */
	p->has_report = false;
}

/* Move the cursor to the store's position. */
static void
move_to(struct position *p, uint64_t at)
{
	uint64_t committed = p->cursor.now.committed;
	unsigned suppressed;

	if (at == committed)
		return;
	/* A sink that does so again and again is faulty: limit the lines. */
	if (at < committed && log_allow(&p->rewinds, &suppressed))
		log_warn("store has gone back; sending events again sink=%s "
		         "from=%" PRIu64 " cursor=%" PRIu64 " suppressed=%u",
		         p->cursor.name, at, committed, suppressed);
	cursor_set(&p->cursor, at, CURSOR_NO_BATCH);
}

enum frame_error
position_subscribe(struct position *p, const struct frame *subscribe,
                   bool accept_gap, const char **text)
{
	bool has_position = subscribe->subscribe.has_position;
	uint64_t first = store_first_offset(p->store);
	uint64_t from = has_position ? subscribe->subscribe.position
	                             : p->cursor.now.committed;
	uint64_t at = from, skipped;

	if (at < first && accept_gap)
		at = first;
	if (at < first) {
		*text = "the store's position is before the oldest event kept; "
			"batchd --accept-gap skips the events between";
		return ERROR_TOO_OLD;
	}
	if (is_rejected(p, at, accept_gap, &skipped)) {
		*text =
		    "the store's position is, or was, past the log's end: "
		    "the log has lost its end, or the position is of another "
		    "log; set it back to the sink's offset in leat status, or "
		    "start batchd with --accept-gap to skip the events "
		    "between";
		return ERROR_AHEAD;
	}
	start_account(p, has_position, skipped);
	if (from < at)
		skip_gap(p, from, at);
	move_to(p, at);
	return ERROR_NONE;
}

/* --- a sink commits --- */

/* Above all bounds of a histogram, and too short for its sum to overflow. */
#define COMMIT_MAX_US (INT64_C(3600) * 1000000)

void
position_commit(struct position *p, uint64_t next_offset,
                uint64_t in_flight_end, uint64_t lost, int64_t older_us)
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
	cursor_set_skipped(c, c->now.skipped + lost);
}

void
position_settle_dead_letters(struct position *p)
{
	if (p->has_report)
		cursor_set_dead_letters(&p->cursor, p->reported_dead,
		                        p->reported_dropped);
}

void
position_skip(struct position *p, uint64_t next_offset)
{
	struct cursor *c = &p->cursor;
	uint64_t lost = next_offset - c->now.committed;

	cursor_set(c, next_offset, CURSOR_NO_BATCH);
	cursor_set_skipped(c, c->now.skipped + lost);
}

/*
 * A sink moves an event to its dead letters before it commits the batch, so its
 * report can be ahead of the cursor.  The report of a sink that lags is
 * therefore kept until it has committed the batch in flight.
 *
 * A dead letter that was retried is in the store at once, whatever is in
 * flight, and even while the sink is stopped.  So a number of dead letters that
 * has become smaller always counts at once.
 */
void
position_report_dead_letters(struct position *p, bool connected, uint64_t dead,
                             uint64_t dropped)
{
	struct cursor *c = &p->cursor;

	p->reported_dead = dead;
	p->reported_dropped = dropped;
	p->has_report = true;
	if (connected && position_lag_events(p) == 0)
		cursor_set_dead_letters(c, dead, dropped);
	else if (dead < c->now.pending_dead_letters)
		cursor_set_dead_letters(c, dead, c->now.dropped);
}

uint64_t
position_stored_events(const struct position *p)
{
	const struct cursor_slot *slot = &p->cursor.now;
	const uint64_t others[] = {slot->skipped, slot->pending_dead_letters,
	                           slot->dropped};
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
