/* consumer - see consumer.h. */
#include "batchd/consumer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/log.h"

/* Frames read or sent in one step, so that other peers have their turn. */
#define STEP_FRAMES 16

/* --- states --- */

/* The only function that moves a consumer to another state: see consumer.h. */
static void
consumer_change_state(struct consumer *c, enum consumer_state state)
{
	static const char *const names[] = {"disconnected", "waiting",
	                                    "planning",     "syncing",
	                                    "sending",      "in_flight"};

	log_debug("consumer state sink=%s from=%s to=%s begin=%" PRIu64
	          " end=%" PRIu64,
	          c->position.cursor.name, names[c->state], names[state],
	          c->batch_begin, c->batch_end);
	c->state = state;
	switch (state) {
	case CONSUMER_DISCONNECTED:
		c->chan = NULL;
		c->chunk_ready = false;
		c->batch_begin = c->position.cursor.now.committed;
		if (c->pending_since_ms == 0 &&
		    c->batch_begin < c->store->synced_offset)
			c->pending_since_ms = PENDING_SINCE_UNKNOWN;
		break;
	case CONSUMER_WAITING:
		c->chunk_ready = false;
		c->batch_begin = c->position.cursor.now.committed;
		c->batch_appended_us = 0;
		break;
	case CONSUMER_PLANNING:
	case CONSUMER_SYNCING:
	case CONSUMER_SENDING:
		break;
	case CONSUMER_IN_FLIGHT:
		if (c->position.max_sent_offset < c->batch_end)
			c->position.max_sent_offset = c->batch_end;
		break;
	}
}

int
consumer_open(struct consumer *c, struct store *store, const char *name)
{
	int rc;

	*c = (struct consumer){.store = store};
	reader_init(&c->reader, store);
	rc = position_open(&c->position, store, name);
	if (rc < 0)
		return rc;
	c->body = malloc(FRAME_BODY_MAX);
	return c->body ? 0 : -ENOMEM;
}

/* Find out how old the event at the cursor is, before any sink connects. */
static void
read_oldest(struct consumer *c)
{
	uint64_t at = c->position.cursor.now.committed;
	uint64_t synced = c->store->synced_offset;
	struct batch_chunk chunk = {.body = c->body};

	if (at < synced && reader_seek(&c->reader, at) == 0 &&
	    reader_frame(&c->reader, synced, 1, &chunk) == 0 && chunk.count > 0)
		c->oldest_pending_us = chunk.appended_us;
}

int
consumer_start(struct consumer *c, bool newest)
{
	int rc = position_start(&c->position, newest);

	if (rc < 0)
		return rc;
	c->batch_begin = c->position.cursor.now.committed;
	read_oldest(c);
	return 0;
}

void
consumer_close(struct consumer *c)
{
	if (!c->store)
		return;
	position_close(&c->position);
	reader_fini(&c->reader);
	free(c->body);
	*c = (struct consumer){0};
}

/* --- what the sink asks for, and what it waits for --- */

enum frame_error
consumer_subscribe(struct consumer *c, struct chan *chan,
                   const struct frame *subscribe, bool accept_gap,
                   const char **text)
{
	const struct cursor_slot *now = &c->position.cursor.now;
	uint64_t before = now->committed;
	enum frame_error code =
	    position_subscribe(&c->position, subscribe, accept_gap, text);

	if (code != ERROR_NONE)
		return code;
	if (now->committed != before)
		c->oldest_pending_us = 0;
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
	c->flush_requested = false;
	/* A sink that has just subscribed need not wait. */
	c->next_batch_ms = 0;
	c->pending_since_ms = now->committed < c->store->synced_offset
	                          ? PENDING_SINCE_UNKNOWN
	                          : 0;
	consumer_change_state(c, CONSUMER_WAITING);
	return ERROR_NONE;
}

void
consumer_unsubscribe(struct consumer *c)
{
	consumer_change_state(c, CONSUMER_DISCONNECTED);
}

int
consumer_commit(struct consumer *c, uint64_t next_offset,
                const struct frame_refused *refused)
{
	bool whole = next_offset == c->batch_end;

	if (next_offset <= c->position.cursor.now.committed)
		return position_report(&c->position, next_offset, refused);
	if (c->state != CONSUMER_IN_FLIGHT || next_offset > c->batch_end)
		return -EPROTO;
	position_commit(&c->position, next_offset,
	                c->stable && !whole ? c->batch_end : CURSOR_NO_BATCH,
	                clock_wall_us() - c->batch_appended_us, refused);
	c->oldest_pending_us = 0;
	if (whole)
		consumer_change_state(c, CONSUMER_WAITING);
	return 0;
}

void
consumer_halted(struct consumer *c, bool has_position, uint64_t at,
                const struct frame_refused *refused)
{
	if (c->state == CONSUMER_DISCONNECTED)
		return;
	/* Any other position is looked at when the sink subscribes again. */
	if (has_position && consumer_commit(c, at, refused) < 0)
		log_debug("halted sink=%s position=%" PRIu64,
		          c->position.cursor.name, at);
	consumer_unsubscribe(c);
}

void
consumer_end_seek(struct consumer *c, const struct frame_refused *refused)
{
	position_end_seek(&c->position, refused);
	c->batch_begin = c->position.cursor.now.committed;
	c->oldest_pending_us = 0;
	c->pending_since_ms = c->batch_begin < c->store->synced_offset
	                          ? PENDING_SINCE_UNKNOWN
	                          : 0;
}

void
consumer_flush(struct consumer *c)
{
	c->flush_requested = true;
}

/* The first event that is in no batch yet. */
static uint64_t
unsent_offset(const struct consumer *c)
{
	switch (c->state) {
	case CONSUMER_DISCONNECTED:
	case CONSUMER_WAITING:
		break;
	case CONSUMER_PLANNING:
	case CONSUMER_SYNCING:
	case CONSUMER_SENDING:
	case CONSUMER_IN_FLIGHT:
		return c->batch_end;
	}
	return c->batch_begin;
}

void
consumer_log_grew(struct consumer *c, uint64_t now_ms)
{
	if (c->pending_since_ms == 0 &&
	    unsent_offset(c) < c->store->synced_offset)
		c->pending_since_ms = now_ms;
}

void
consumer_cursor_written(struct consumer *c)
{
	if (c->state == CONSUMER_SYNCING &&
	    c->position.cursor.durable.in_flight_end == c->batch_end)
		consumer_change_state(c, CONSUMER_SENDING);
}

/* --- when a batch begins --- */

/*
 * Return true if the pending events have max_bytes, as far as is known without
 * reading them: by the average size of what was appended since the start.
 */
static bool
has_max_bytes(const struct consumer *c)
{
	const struct store *s = c->store;
	uint64_t events = s->synced_offset - c->batch_begin;

	return s->appended_events > 0 &&
	       (double)events * (double)s->appended_bytes >=
	           (double)c->max_bytes * (double)s->appended_events;
}

/*
 * Return true if a batch must begin now.  Else *wake_ms is the time at which it
 * must; it does not change if there is no event.
 */
static bool
is_due(const struct consumer *c, uint64_t now_ms, uint64_t *wake_ms)
{
	uint64_t pending = c->store->synced_offset - c->batch_begin;

	if (pending == 0)
		return false;
	/*
	 * A stable batch whose end was decided before need not wait for more
	 * events, since it cannot get any.
	 */
	if (c->stable &&
	    c->position.cursor.now.in_flight_end != CURSOR_NO_BATCH)
		return true;
	if (pending >= c->max_events || c->flush_requested ||
	    has_max_bytes(c) || now_ms >= c->next_batch_ms)
		return true;
	*wake_ms = c->next_batch_ms;
	return false;
}

static int
begin_batch(struct consumer *c, uint64_t now_ms)
{
	const struct cursor *cursor = &c->position.cursor;
	uint64_t synced = c->store->synced_offset;
	uint64_t planned = cursor->now.in_flight_end;
	int rc = reader_seek(&c->reader, c->batch_begin);

	if (rc < 0)
		return rc;
	c->next_batch_ms = now_ms + c->wait_ms;
	c->batch_start = reader_save(&c->reader);
	c->batch_bytes_left = c->max_bytes;
	c->batch_end = synced - c->batch_begin > c->max_events
	                   ? c->batch_begin + c->max_events
	                   : synced;
	c->batch_resent = c->stable && planned != CURSOR_NO_BATCH;
	if (!c->stable) {
		consumer_change_state(c, CONSUMER_SENDING);
	} else if (planned != CURSOR_NO_BATCH && planned <= synced) {
		/* This batch was decided before: it has the same end again. */
		c->batch_end = planned;
		c->batch_bytes_left = UINT64_MAX;
		consumer_change_state(c,
		                      cursor->durable.in_flight_end == planned
		                          ? CONSUMER_SENDING
		                          : CONSUMER_SYNCING);
	} else {
		consumer_change_state(c, CONSUMER_PLANNING);
	}
	/*
	 * Events after the batch have been pending too, for an unknown time
	 * that is no longer than that of the events before them.
	 */
	if (c->batch_end >= synced)
		c->pending_since_ms = 0;
	else if (c->pending_since_ms == 0)
		c->pending_since_ms = PENDING_SINCE_UNKNOWN;
	return 1;
}

/* --- one step in each state --- */

static int
consumer_send_frame(struct consumer *c, const struct batch_chunk *chunk)
{
	struct frame frame = {.type = FRAME_BATCH,
	                      .body = chunk->body,
	                      .body_bytes = chunk->bytes};

	frame.batch.offset = chunk->offset;
	frame.batch.count = chunk->count;
	frame.batch.last = chunk->ends;
	frame.batch.next = chunk->offset + chunk->count;
	frame.batch.generation = c->position.cursor.now.generation;
	frame.batch.again = c->batch_resent;
	return chan_send(c->chan, &frame);
}

static int
wait_step(struct consumer *c, uint64_t now_ms, uint64_t *wake_ms)
{
	struct batch_chunk none = {.offset = c->batch_begin, .ends = true};
	int rc;

	if (!position_may_send(&c->position))
		return 0;
	if (is_due(c, now_ms, wake_ms))
		return begin_batch(c, now_ms);
	if (!c->flush_requested)
		return 0;
	/* There is nothing to flush: an empty batch tells the sink that. */
	rc = consumer_send_frame(c, &none);
	if (rc == 0)
		c->flush_requested = false;
	return rc;
}

/*
 * Skip the lost events at the start of the batch, of which nothing was sent.
 * It begins again after them.
 */
static void
skip_lost(struct consumer *c, uint64_t to)
{
	position_skip(&c->position, to);
	c->oldest_pending_us = 0;
	c->next_batch_ms = 0;
	consumer_change_state(c, CONSUMER_WAITING);
}

/*
 * Read the next chunk of the batch.  Returns 0; 1 if lost events were skipped
 * instead; or -errno.
 */
static int
read_chunk(struct consumer *c)
{
	struct batch_chunk *chunk = &c->chunk;
	uint64_t from = c->reader.next_offset;
	int rc;

	chunk->body = c->body;
	rc = reader_frame(&c->reader, c->batch_end, c->batch_bytes_left, chunk);
	if (rc == 0 && (chunk->count == 0 || chunk->offset != from)) {
		if (from == c->batch_begin) {
			skip_lost(c,
			          chunk->count ? chunk->offset : c->batch_end);
			return 1;
		}
		rc = -EBADMSG; /* damaged since the chunk before it was read */
	}
	if (rc < 0) {
		log_error("cannot read the log sink=%s offset=%" PRIu64
		          " err=%s",
		          c->position.cursor.name, c->reader.next_offset,
		          log_quote(error_text(rc)));
		return rc;
	}
	c->batch_bytes_left = c->batch_bytes_left > chunk->bytes
	                          ? c->batch_bytes_left - chunk->bytes
	                          : 0;
	if (c->batch_bytes_left == 0 || c->reader.next_offset >= c->batch_end)
		chunk->ends = true;
	c->chunk_ready = true;
	return 0;
}

/*
 * The batch ends at the end of the chunk.  If that is before batch_end,
 * max_bytes or lost events have ended it, and not the end of the pending
 * events.  The others have been pending long enough, so their batch is due at
 * once.
 */
static void
end_batch(struct consumer *c)
{
	uint64_t end = c->chunk.offset + c->chunk.count;

	if (end < c->batch_end) {
		c->next_batch_ms = 0;
		if (c->pending_since_ms == 0)
			c->pending_since_ms = PENDING_SINCE_UNKNOWN;
	}
	c->batch_end = end;
}

/*
 * Read the batch to find its end, and send nothing of it.  From then on the
 * batch is batch_begin..batch_end, whatever happens.
 */
static int
plan_step(struct consumer *c)
{
	for (int i = 0; i < STEP_FRAMES; i++) {
		int rc = read_chunk(c);

		if (rc != 0)
			return rc;
		c->chunk_ready = false;
		if (!c->chunk.ends)
			continue;
		end_batch(c);
		c->batch_bytes_left = UINT64_MAX;
		cursor_set(&c->position.cursor, c->batch_begin, c->batch_end);
		consumer_change_state(c, CONSUMER_SYNCING);
		return reader_restore(&c->reader, &c->batch_start);
	}
	return 1;
}

static int
send_step(struct consumer *c)
{
	const struct batch_chunk *chunk = &c->chunk;

	for (int i = 0; i < STEP_FRAMES; i++) {
		int rc = c->chunk_ready ? 0 : read_chunk(c);

		if (rc == 0)
			rc = consumer_send_frame(c, chunk);
		if (rc != 0)
			return rc;
		c->chunk_ready = false;
		if (c->batch_appended_us == 0) {
			c->batch_appended_us = chunk->appended_us;
			c->oldest_pending_us = chunk->appended_us;
		}
		if (chunk->ends) {
			end_batch(c);
			consumer_change_state(c, CONSUMER_IN_FLIGHT);
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

/* --- for the status --- */

uint64_t
consumer_lag_ms(const struct consumer *c, uint64_t now_ms, int64_t now_us)
{
	int64_t since_us = c->batch_appended_us;

	if (position_lag_events(&c->position) == 0)
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
	static const char *const names[] = {
	    [CONSUMER_DISCONNECTED] = "disconnected",
	    [CONSUMER_WAITING] = "waiting",
	    [CONSUMER_PLANNING] = "sending",
	    [CONSUMER_SYNCING] = "sending",
	    [CONSUMER_SENDING] = "sending",
	    [CONSUMER_IN_FLIGHT] = "in_flight",
	};

	return names[state];
}
