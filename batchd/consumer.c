/* consumer - see consumer.h. */
#include "batchd/consumer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/log.h"

/* Frames of one step: then other sinks and peers have their turn. */
#define STEP_FRAMES 16

int
consumer_open(struct consumer *c, struct store *store, const char *name)
{
	int rc;

	*c = (struct consumer){.store = store,
	                       .rewinds = {.interval_ms = 10000, .burst = 5}};
	c->cursor.file = -1;
	reader_init(&c->reader, store);
	c->body = malloc(FRAME_BODY_MAX);
	if (!c->body)
		return -ENOMEM;
	rc = cursor_open(&c->cursor, store->disk, name, store->stream);
	if (rc == -ENOENT || rc == -EBADMSG) {
		if (rc == -EBADMSG)
			log_error("cursor is damaged: the sink starts at the "
			          "oldest event kept, unless its store "
			          "remembers more sink=%s",
			          name);
		return 0;
	}
	if (rc == ERR_OTHER_LOG)
		log_error("cursor is of another log sink=%s: restore the log "
		          "it belongs to, or remove the file",
		          name);
	else if (rc < 0)
		log_error("cannot open a cursor sink=%s err=%s", name,
		          log_quote(error_text(rc)));
	return rc;
}

/*
 * The operator goes on without the events from..first.  Of these the account
 * may have some already: the cursor passes over them before a store with a
 * position of its own says where it is, and a sink may come more than once
 * before it has moved that.
 */
static void
pass_gap(struct consumer *c, uint64_t from, uint64_t first)
{
	struct cursor *cursor = &c->cursor;
	uint64_t before = c->accepted_gap_to - c->accepted_gap_from;
	uint64_t skipped = cursor->now.skipped;

	if (c->accepted_gap_to == first && c->accepted_gap_from == from &&
	    before > 0)
		return;
	log_warn("going on without events sink=%s offsets=%" PRIu64
	         "..%" PRIu64,
	         cursor->name, from, first);
	skipped = skipped > before ? skipped - before : 0;
	cursor_set_skipped(cursor, skipped + first - from);
	c->accepted_gap_from = from;
	c->accepted_gap_to = first;
}

void
consumer_accept_gap(struct consumer *c)
{
	struct cursor *cursor = &c->cursor;
	uint64_t first = store_first_offset(c->store);

	if (cursor->file < 0 || cursor->now.committed >= first)
		return;
	pass_gap(c, cursor->now.committed, first);
	cursor_set(cursor, first, CURSOR_NO_BATCH);
}

/* How old the event at the cursor is, for as long as nobody reads it. */
static void
look_at_oldest(struct consumer *c)
{
	uint64_t at = c->cursor.now.committed;
	struct batch_chunk s = {.body = c->body};

	if (at < c->store->synced_offset && reader_seek(&c->reader, at) == 0 &&
	    reader_frame(&c->reader, c->store->synced_offset, 1, &s) == 0 &&
	    s.count > 0)
		c->oldest_pending_us = s.appended_us;
}

int
consumer_start(struct consumer *c, bool newest)
{
	struct store *s = c->store;
	uint64_t at = newest ? s->synced_offset : store_first_offset(s);
	char name[FRAME_NAME_MAX + 1];
	int rc = 0;

	if (c->cursor.file < 0) {
		memcpy(name, c->cursor.name, sizeof name);
		rc = cursor_create(&c->cursor, s->disk, name, s->stream, at);
		if (rc < 0) {
			log_error("cannot create a cursor sink=%s err=%s", name,
			          log_quote(error_text(rc)));
			return rc;
		}
		log_info("new cursor sink=%s offset=%" PRIu64, name, at);
	}
	c->batch_begin = c->cursor.now.committed;
	c->max_sent_offset = s->synced_offset;
	look_at_oldest(c);
	return 0;
}

void
consumer_close(struct consumer *c)
{
	if (!c->store)
		return;
	cursor_close(&c->cursor, c->store->disk);
	reader_fini(&c->reader);
	free(c->body);
	*c = (struct consumer){0};
}

static void
await(struct consumer *c)
{
	c->state = CONSUMER_WAITING;
	c->chunk_ready = false;
	c->batch_appended_us = 0;
}

/*
 * The sink's account, before its position becomes `at`: `gap` events below
 * will never be sent.  A new cursor counts what lies before it as skipped,
 * but a store with a position has been fed before.
 */
static void
take_account(struct consumer *c, bool has_position, uint64_t gap)
{
	struct cursor *cursor = &c->cursor;
	uint64_t skipped = cursor->now.skipped;

	if (has_position && cursor_is_new(cursor))
		skipped = 0;
	cursor_set_skipped(cursor, skipped + gap);
	cursor->dirty = true; /* no longer new */
	c->has_report = false;
}

/*
 * Whether a position cannot be believed: it is beyond the log's end, or was
 * when the log was opened and nothing was sent since, or its sink came with
 * one that was, and has not been set back since.  The log may have grown past
 * it: with other events, which the sink would pass over.
 */
static bool
is_ahead(struct consumer *c, uint64_t at, bool accept_gap, uint64_t *gap)
{
	struct cursor *cursor = &c->cursor;
	bool beyond = at > c->max_sent_offset && at > cursor->now.committed;

	if (at > c->store->synced_offset || (beyond && !accept_gap)) {
		cursor_set_rejected_position(cursor, at);
		return true;
	}
	if (cursor->now.rejected_position == 0 && !beyond)
		return false;
	if (at > cursor->now.committed && !accept_gap)
		return true;
	if (at > cursor->now.committed)
		*gap = at - cursor->now.committed;
	cursor_set_rejected_position(cursor, 0);
	return false;
}

/* A sink that does so again and again is at fault. */
static void
warn_gone_back(struct consumer *c, uint64_t at)
{
	unsigned suppressed;

	if (log_allow(&c->rewinds, &suppressed))
		log_warn("store has gone back: sending again sink=%s "
		         "from=%" PRIu64 " cursor=%" PRIu64 " suppressed=%u",
		         c->cursor.name, at, c->cursor.now.committed,
		         suppressed);
}

enum frame_error
consumer_subscribe(struct consumer *c, struct chan *chan,
                   const struct frame *subscribe, bool accept_gap,
                   const char **text)
{
	struct store *s = c->store;
	uint64_t first = store_first_offset(s);
	uint64_t at = c->cursor.now.committed, from, gap = 0;

	if (subscribe->subscribe.has_position)
		at = subscribe->subscribe.position;
	from = at;
	if (at < first && accept_gap)
		at = first;
	if (at < first) {
		*text =
		    "the store's position is before the oldest event kept; "
		    "batchd --accept-gap goes on without the events between";
		return ERROR_TOO_OLD;
	}
	if (is_ahead(c, at, accept_gap, &gap)) {
		*text =
		    "the store's position is, or was, beyond the log's end: "
		    "it is of a log that has lost its end, or of another one; "
		    "set it back to the sink's offset in leat status, or "
		    "batchd "
		    "--accept-gap passes over the events between";
		return ERROR_AHEAD;
	}
	take_account(c, subscribe->subscribe.has_position, gap);
	if (from < at)
		pass_gap(c, from, at);
	if (at != c->cursor.now.committed) {
		if (at < c->cursor.now.committed)
			warn_gone_back(c, at);
		cursor_set(&c->cursor, at, CURSOR_NO_BATCH);
		c->oldest_pending_us = 0;
	}
	c->chan = chan;
	c->max_events = subscribe->subscribe.max_events;
	c->max_bytes = subscribe->subscribe.max_bytes;
	c->wait_ms = subscribe->subscribe.wait_ms;
	c->stable = subscribe->subscribe.stable;
	if (c->max_events == 0)
		c->max_events = 1;
	/* A record is sent whole. */
	if (c->max_bytes < FRAME_BODY_MAX)
		c->max_bytes = FRAME_BODY_MAX;
	c->batch_begin = at;
	c->flush_requested = false;
	await(c);
	/* A sink that has just come need not wait. */
	c->next_batch_ms = 0;
	/* How old its events are is not known. */
	c->pending_since_ms = at < s->synced_offset ? PENDING_SINCE_UNKNOWN : 0;
	return ERROR_NONE;
}

void
consumer_unsubscribe(struct consumer *c)
{
	c->chan = NULL;
	c->state = CONSUMER_DISCONNECTED;
	c->chunk_ready = false;
	c->batch_begin = c->cursor.now.committed;
	if (c->pending_since_ms == 0 &&
	    c->batch_begin < c->store->synced_offset)
		c->pending_since_ms = PENDING_SINCE_UNKNOWN;
}

/* Above all bounds of a histogram, and too short for its sum to overflow. */
#define COMMIT_MAX_US (INT64_C(3600) * 1000000)

/*
 * Count the events from the cursor to next_offset as committed.  For those that
 * became durable before this batchd started, or before the oldest mark, the
 * wall clock in the log has to do, which may have been set since.
 */
static void
count_committed(struct consumer *c, uint64_t next_offset)
{
	uint64_t from = c->cursor.now.committed;
	int64_t older_us = clock_wall_us() - c->batch_appended_us;

	if (older_us < 0)
		older_us = 0;
	if (older_us > COMMIT_MAX_US)
		older_us = COMMIT_MAX_US;
	c->committed_events += next_offset - from;
	durable_times_count(&c->store->durable_times, from, next_offset,
	                    clock_mono_us(), (uint64_t)older_us,
	                    &c->commit_times);
}

int
consumer_commit(struct consumer *c, uint64_t next_offset)
{
	if (c->state != CONSUMER_IN_FLIGHT ||
	    next_offset <= c->cursor.now.committed ||
	    next_offset > c->batch_end)
		return -EPROTO;
	count_committed(c, next_offset);
	c->oldest_pending_us = 0;
	if (next_offset < c->batch_end) {
		/* A part of the batch; the rest stays in flight. */
		cursor_set(&c->cursor, next_offset,
		           c->stable ? c->batch_end : CURSOR_NO_BATCH);
		cursor_set_skipped(&c->cursor,
		                   c->cursor.now.skipped + c->batch_gap);
		c->batch_gap = 0;
		return 0;
	}
	cursor_set(&c->cursor, next_offset, CURSOR_NO_BATCH);
	cursor_set_skipped(&c->cursor, c->cursor.now.skipped + c->batch_gap);
	if (c->has_report)
		cursor_set_dead_letters(&c->cursor, c->reported_dead,
		                        c->reported_dropped);
	c->batch_begin = next_offset;
	await(c);
	return 0;
}

void
consumer_flush(struct consumer *c)
{
	c->flush_requested = true;
}

void
consumer_log_grew(struct consumer *c, uint64_t now_ms)
{
	uint64_t from = c->state == CONSUMER_SENDING ||
	                        c->state == CONSUMER_IN_FLIGHT ||
	                        c->state == CONSUMER_SYNCING ||
	                        c->state == CONSUMER_PLANNING
	                    ? c->batch_limit
	                    : c->batch_begin;

	if (c->pending_since_ms == 0 && from < c->store->synced_offset)
		c->pending_since_ms = now_ms;
}

void
consumer_cursor_written(struct consumer *c)
{
	if (c->state == CONSUMER_SYNCING &&
	    c->cursor.durable.in_flight_end == c->batch_limit)
		c->state = CONSUMER_SENDING;
}

/* --- steps --- */

static int
consumer_send_frame(struct consumer *c, uint64_t offset, uint32_t count,
                    bool last, const uint8_t *body, size_t bytes)
{
	struct frame frame = {
	    .type = FRAME_BATCH, .body = body, .body_bytes = bytes};

	frame.batch.offset = offset;
	frame.batch.count = count;
	frame.batch.last = last;
	frame.batch.again = c->batch_resent;
	return chan_send(c->chan, &frame);
}

/* Events that lie in the log, in bytes: as far as is known without reading. */
static bool
bytes_are_there(const struct consumer *c)
{
	const struct store *s = c->store;
	uint64_t events = s->synced_offset - c->batch_begin;

	/* Average size of what was appended since the start. */
	return s->appended_events > 0 &&
	       (double)events * (double)s->appended_bytes >=
	           (double)c->max_bytes * (double)s->appended_events;
}

/* Whether a batch is due; else when to look again. */
static bool
is_due(const struct consumer *c, uint64_t now_ms, uint64_t *wake_ms)
{
	uint64_t there = c->store->synced_offset - c->batch_begin;

	if (there == 0)
		return false;
	if (there >= c->max_events || c->flush_requested ||
	    bytes_are_there(c) || now_ms >= c->next_batch_ms)
		return true;
	*wake_ms = c->next_batch_ms;
	return false;
}

static int
begin_batch(struct consumer *c, uint64_t now_ms)
{
	uint64_t synced = c->store->synced_offset;
	uint64_t planned = c->cursor.now.in_flight_end;
	int rc = reader_seek(&c->reader, c->batch_begin);

	if (rc < 0)
		return rc;
	c->next_batch_ms = now_ms + c->wait_ms;
	c->batch_start = reader_save(&c->reader);
	c->batch_bytes_left = c->max_bytes;
	c->batch_limit = synced - c->batch_begin > c->max_events
	                     ? c->batch_begin + c->max_events
	                     : synced;
	c->state = CONSUMER_SENDING;
	c->batch_resent = c->stable && planned != CURSOR_NO_BATCH;
	if (c->stable && planned != CURSOR_NO_BATCH && planned <= synced) {
		/* The batch of before the crash, with the same end. */
		c->batch_limit = planned;
		c->batch_bytes_left = UINT64_MAX;
		if (c->cursor.durable.in_flight_end != planned)
			c->state = CONSUMER_SYNCING;
	} else if (c->stable) {
		c->state = CONSUMER_PLANNING;
	}
	/*
	 * Events after the limit have waited too, for an unknown time that is
	 * no longer than that of those before them.
	 */
	if (c->batch_limit >= synced)
		c->pending_since_ms = 0;
	else if (c->pending_since_ms == 0)
		c->pending_since_ms = PENDING_SINCE_UNKNOWN;
	return 1;
}

static int
wait_step(struct consumer *c, uint64_t now_ms, uint64_t *wake_ms)
{
	int rc;

	/* Promised again after a crash: at once, or a stable end is lost. */
	if (is_due(c, now_ms, wake_ms) ||
	    (c->stable && c->cursor.now.in_flight_end != CURSOR_NO_BATCH &&
	     c->store->synced_offset > c->batch_begin))
		return begin_batch(c, now_ms);
	if (!c->flush_requested || c->store->synced_offset > c->batch_begin)
		return 0;
	rc = consumer_send_frame(c, c->batch_begin, 0, true, NULL, 0);
	if (rc < 0)
		return rc;
	c->flush_requested = false;
	return 0;
}

/* Read the next stretch into the body. */
static int
build(struct consumer *c)
{
	int rc;

	c->chunk.body = c->body;
	rc = reader_frame(&c->reader, c->batch_limit, c->batch_bytes_left,
	                  &c->chunk);
	if (rc < 0) {
		log_error("cannot read the log sink=%s offset=%" PRIu64
		          " err=%s",
		          c->cursor.name, c->reader.next_offset,
		          log_quote(error_text(rc)));
		return rc;
	}
	c->batch_bytes_left = c->batch_bytes_left > c->chunk.bytes
	                          ? c->batch_bytes_left - c->chunk.bytes
	                          : 0;
	if (c->batch_bytes_left == 0 || c->reader.next_offset >= c->batch_limit)
		c->chunk.ends = true;
	c->chunk_ready = true;
	return 0;
}

/* Where the stretch ends; the reader may have passed a gap behind it. */
static uint64_t
stretch_end(const struct consumer *c)
{
	const struct batch_chunk *s = &c->chunk;

	return s->count > 0 ? s->offset + s->count : c->reader.next_offset;
}

/*
 * The batch ends here.  When that is before its limit, its bytes or a gap have
 * cut it short, and not what was there: the rest need not wait.
 */
static void
end_batch_at(struct consumer *c, uint64_t end)
{
	if (end < c->batch_limit) {
		c->next_batch_ms = 0;
		if (c->pending_since_ms == 0)
			c->pending_since_ms = PENDING_SINCE_UNKNOWN;
	}
	c->batch_limit = end;
}

static int
plan_step(struct consumer *c)
{
	for (int i = 0; i < STEP_FRAMES; i++) {
		int rc = build(c);

		if (rc < 0)
			return rc;
		c->chunk_ready = false;
		if (!c->chunk.ends)
			continue;
		/* From now on the batch is begin..limit, whatever happens. */
		end_batch_at(c, stretch_end(c));
		c->batch_bytes_left = UINT64_MAX;
		cursor_set(&c->cursor, c->batch_begin, c->batch_limit);
		c->state = CONSUMER_SYNCING;
		return reader_restore(&c->reader, &c->batch_start);
	}
	return 1;
}

static int
send_step(struct consumer *c)
{
	for (int i = 0; i < STEP_FRAMES; i++) {
		const struct batch_chunk *s = &c->chunk;
		int rc = c->chunk_ready ? 0 : build(c);

		if (rc == 0 && s->count == 0) {
			/* Everything up to the limit is lost: pass over it. */
			cursor_set(&c->cursor, c->batch_limit, CURSOR_NO_BATCH);
			cursor_set_skipped(&c->cursor, c->cursor.now.skipped +
			                                   c->batch_limit -
			                                   c->batch_begin);
			c->batch_begin = c->batch_limit;
			c->oldest_pending_us = 0;
			c->next_batch_ms = 0; /* the sink has had nothing */
			await(c);
			return 1;
		}
		if (rc == 0)
			rc = consumer_send_frame(c, s->offset, s->count,
			                         s->ends, s->body, s->bytes);
		if (rc < 0)
			return rc;
		c->chunk_ready = false;
		if (c->batch_appended_us == 0) {
			c->batch_appended_us = c->oldest_pending_us =
			    s->appended_us;
			c->batch_gap = s->offset - c->batch_begin;
		}
		if (s->ends) {
			c->batch_end = stretch_end(c);
			if (c->max_sent_offset < c->batch_end)
				c->max_sent_offset = c->batch_end;
			c->state = CONSUMER_IN_FLIGHT;
			end_batch_at(c, c->batch_end);
			return 0;
		}
	}
	return 1;
}

int
consumer_step(struct consumer *c, uint64_t now_ms, uint64_t *wake_ms)
{
	*wake_ms = UINT64_MAX;
	switch (c->state) {
	case CONSUMER_WAITING:
		return wait_step(c, now_ms, wake_ms);
	case CONSUMER_PLANNING:
		return plan_step(c);
	case CONSUMER_SENDING:
		return send_step(c);
	case CONSUMER_DISCONNECTED:
	case CONSUMER_SYNCING:
	case CONSUMER_IN_FLIGHT:
		break;
	}
	return 0;
}

uint64_t
consumer_lag_events(const struct consumer *c)
{
	uint64_t committed = c->cursor.now.committed;

	return c->store->durable_offset > committed
	           ? c->store->durable_offset - committed
	           : 0;
}

void
consumer_report_dead_letters(struct consumer *c, uint64_t letters,
                             uint64_t dropped)
{
	struct cursor *cursor = &c->cursor;

	c->reported_dead = letters;
	c->reported_dropped = dropped;
	c->has_report = true;
	/*
	 * Those of a batch under way count when it is committed.  But what was
	 * retried is in the store now, whatever is under way, and while the
	 * sink is stopped, too.
	 */
	if (c->state != CONSUMER_DISCONNECTED && consumer_lag_events(c) == 0)
		cursor_set_dead_letters(cursor, letters, dropped);
	else if (letters < cursor->now.pending_dead_letters)
		cursor_set_dead_letters(cursor, letters, cursor->now.dropped);
}

uint64_t
consumer_stored_events(const struct consumer *c)
{
	const struct cursor_slot *slot = &c->cursor.now;
	const uint64_t others[] = {slot->skipped, slot->pending_dead_letters,
	                           slot->dropped};
	uint64_t stored = slot->committed;

	/* What a sink says need not be true, nor its sum be a number. */
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		stored -= others[i] < stored ? others[i] : stored;
	return stored;
}

uint64_t
consumer_lag_ms(const struct consumer *c, uint64_t now_ms, int64_t now_us)
{
	int64_t since_us = c->batch_appended_us;

	if (consumer_lag_events(c) == 0)
		return 0;
	if (since_us == 0 && c->pending_since_ms > PENDING_SINCE_UNKNOWN)
		return now_ms - c->pending_since_ms;
	if (since_us == 0)
		since_us = c->oldest_pending_us;
	return since_us > 0 && now_us > since_us
	           ? (uint64_t)(now_us - since_us) / 1000
	           : 0;
}

const char *
consumer_state_name(enum consumer_state state)
{
	switch (state) {
	case CONSUMER_DISCONNECTED:
		return "disconnected";
	case CONSUMER_WAITING:
		return "waiting";
	case CONSUMER_PLANNING:
	case CONSUMER_SYNCING:
	case CONSUMER_SENDING:
		return "sending";
	case CONSUMER_IN_FLIGHT:
		return "in_flight";
	}
	return "?";
}
