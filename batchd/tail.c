/* tail - see tail.h. */
#include "batchd/tail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "libbase/log.h"

/* Most bytes of a segment that one step searches. */
#define SEARCH_BYTES (512 * KIB)

/* A higher bytes_per_s is no limit in practice, and could overflow. */
#define MAX_BYTES_PER_S (INT64_C(1) << 40)

/* How often the intake is measured. */
#define MEASURE_MS 100

/* Time that fills the bucket of tokens; a longer pause saves up no more. */
#define BURST_MS 100

/* --- states --- */

/* The only function that moves a tail to another state: see tail.h. */
static void
tail_change_state(struct tail *t, enum tail_state state)
{
	static const char *const names[] = {"idle", "seeking", "searching",
	                                    "reading", "sending"};

	log_debug("tail state from=%s to=%s sent=%" PRIu64 " position=%" PRIu64,
	          names[t->state], names[state], t->sent, t->position);
	t->state = state;
}

int
tail_init(struct tail *t, struct store *store, struct chan *chan)
{
	*t = (struct tail){.store = store, .chan = chan};
	reader_init(&t->reader, store);
	t->reader.quiet = true;
	t->body = malloc(FRAME_BODY_MAX);
	return t->body ? 0 : -ENOMEM;
}

void
tail_fini(struct tail *t)
{
	reader_fini(&t->reader);
	free(t->body);
	t->body = NULL;
}

/*
 * Continue at `offset`, which is found from the record at place->at on if that
 * segment is still kept.  What was read and not sent is dropped.
 */
static void
go_to(struct tail *t, uint64_t offset, const struct log_place *place)
{
	t->position = offset;
	t->place = (struct reader_savepoint){
	    .next_offset = offset,
	    .segment_first = place ? place->segment_first : 0,
	    .at = place ? place->at : 0};
	tail_change_state(t, TAIL_SEEKING);
}

void
tail_watch(struct tail *t, const struct frame *watch, uint64_t now_ms)
{
	const struct store *s = t->store;
	uint64_t rate = watch->watch.bytes_per_s;

	t->live = watch->watch.live;
	t->has_end = watch->watch.events > 0;
	t->events_left = watch->watch.events;
	t->bytes_per_s = rate < MAX_BYTES_PER_S ? rate : MAX_BYTES_PER_S;
	t->rate = t->bytes_per_s;
	t->measured_ms = now_ms;
	t->measured_bytes = s->appended_bytes;
	t->busy = false;
	t->tokens = (int64_t)t->rate * BURST_MS;
	t->tokens_ms = now_ms;
	t->held_back = false;
	t->due_ms = now_ms;
	if (watch->watch.has_from)
		go_to(t, watch->watch.from, NULL);
	else
		go_to(t, s->synced_offset, &s->newest);
	t->sent = t->position;
}

void
tail_release(struct tail *t)
{
	reader_release(&t->reader);
}

/* --- what a tail does not receive --- */

/* A segment is deleted whether a tail has read it or not. */
static void
skip_deleted(struct tail *t)
{
	uint64_t first = store_first_offset(t->store);

	/* A frame that was read can still be sent. */
	if (t->state != TAIL_SENDING && t->position < first)
		go_to(t, first, NULL);
}

/* Return true if a live tail must be moved ahead; see tail.h. */
static bool
lags(const struct tail *t, bool held_back)
{
	uint64_t lag_bytes = store_bytes_from(t->store, t->position);

	return lag_bytes > TAIL_LIVE_LAG_BYTES ||
	       (held_back && lag_bytes > FRAME_BODY_MAX);
}

/*
 * Move ahead to the first event of the newest group and not to the end of the
 * log, so that the tail shows the newest events even if no more come.
 */
static void
move_ahead(struct tail *t)
{
	const struct store *s = t->store;

	if (s->newest.at == 0 && t->position < s->synced_offset)
		go_to(t, s->synced_offset, NULL);
	else if (s->newest.offset > t->position)
		go_to(t, s->newest.offset, &s->newest);
}

/* --- when a tail may do something --- */

/* Decide how many bytes a second the tail, one of `tails`, is sent now. */
static void
set_rate(struct tail *t, size_t tails, uint64_t now_ms)
{
	const uint64_t share = TAIL_BUSY_BYTES_PER_S / tails;
	uint64_t elapsed_ms = now_ms - t->measured_ms;
	uint64_t appended = t->store->appended_bytes - t->measured_bytes;

	if (elapsed_ms < MEASURE_MS)
		return;
	t->busy = appended > TAIL_BUSY_INTAKE_BYTES_PER_S * elapsed_ms / 1000;
	t->measured_ms = now_ms;
	t->measured_bytes = t->store->appended_bytes;
	t->rate = t->bytes_per_s;
	if (t->busy && (t->rate == 0 || t->rate > share))
		t->rate = share;
}

/* Fill the bucket of tokens.  Returns the time until it is above 0, in ms. */
static uint64_t
wait_for_tokens(struct tail *t, uint64_t now_ms)
{
	int64_t rate = (int64_t)t->rate;
	uint64_t elapsed_ms = now_ms - t->tokens_ms;

	if (rate == 0) {
		t->tokens = 0;
		t->tokens_ms = now_ms;
		return 0;
	}
	/* Longer than any debt lasts, and too short to overflow. */
	if (elapsed_ms > INT64_C(1) << 20)
		elapsed_ms = INT64_C(1) << 20;
	t->tokens += (int64_t)elapsed_ms * rate;
	if (t->tokens > rate * BURST_MS)
		t->tokens = rate * BURST_MS;
	t->tokens_ms = now_ms;
	return t->tokens > 0 ? 0 : (uint64_t)(-t->tokens / rate + 1);
}

static uint64_t
share_ms(const struct tail *t)
{
	return t->live ? TAIL_LIVE_SHARE_MS : TAIL_HISTORY_SHARE_MS;
}

static bool
may_step(struct tail *t, size_t tails, uint64_t now_ms, bool sinks_idle,
         uint64_t *wake_ms)
{
	uint64_t wait_ms;

	set_rate(t, tails, now_ms);
	wait_ms = wait_for_tokens(t, now_ms);
	if (wait_ms > 0) {
		/* A tail that asked for all events gets them, if late. */
		t->held_back = t->bytes_per_s > 0;
		*wake_ms = now_ms + wait_ms;
		return false;
	}
	if (!sinks_idle && now_ms < t->due_ms) {
		*wake_ms = t->due_ms;
		return false;
	}
	return true;
}

/* --- reading and sending --- */

static int
send_skipped(struct tail *t)
{
	struct frame f = {.type = FRAME_SKIPPED,
	                  .skipped = {.from = t->sent, .to = t->position}};
	int rc = chan_send(t->chan, &f);

	if (rc < 0)
		return rc;
	t->sent = t->position;
	return 1;
}

static int
send_chunk(struct tail *t)
{
	const struct batch_chunk *chunk = &t->chunk;
	struct frame f = {.type = FRAME_BATCH,
	                  .body = chunk->body,
	                  .body_bytes = chunk->bytes};
	int rc;

	f.batch.offset = chunk->offset;
	f.batch.count = chunk->count;
	f.batch.last = true;
	f.batch.next = chunk->offset + chunk->count;
	rc = chan_send(t->chan, &f);
	if (rc < 0)
		return rc;
	t->sent = t->position = f.batch.next;
	if (t->rate > 0)
		t->tokens -= (int64_t)chunk->bytes * 1000;
	if (t->has_end)
		t->events_left -= chunk->count;
	tail_change_state(t, t->has_end && t->events_left == 0 ? TAIL_IDLE
	                                                       : TAIL_READING);
	return 1;
}

/* Most bytes of one frame: it should not need much more than the bucket has. */
static size_t
frame_bytes(const struct tail *t)
{
	uint64_t bytes = t->rate * BURST_MS / 1000;

	if (t->rate == 0 || bytes > FRAME_BODY_MAX)
		return FRAME_BODY_MAX;
	return bytes > 0 ? (size_t)bytes : 1;
}

/*
 * Read the next frame.  If all events up to the limit are lost, there is none,
 * and `position` moves past them.
 */
static int
read_chunk(struct tail *t)
{
	uint64_t limit = t->store->synced_offset;
	int rc;

	if (t->has_end && t->events_left < limit - t->position)
		limit = t->position + t->events_left;
	t->chunk.body = t->body;
	rc = reader_frame(&t->reader, limit, frame_bytes(t), &t->chunk);
	if (rc < 0)
		return rc;
	if (t->chunk.count == 0) {
		t->position = t->reader.next_offset;
		return 0;
	}
	t->position = t->chunk.offset;
	tail_change_state(t, TAIL_SENDING);
	return 0;
}

/* Do the next piece of work.  Returns as tail_step. */
static int
do_step(struct tail *t)
{
	int rc = 0;

	if (t->sent < t->position)
		return send_skipped(t);
	if (t->state == TAIL_SEEKING) {
		rc = reader_restore(&t->reader, &t->place);
		if (rc < 0)
			return rc;
		tail_change_state(t, TAIL_SEARCHING);
	}
	if (t->state == TAIL_SEARCHING) {
		rc = reader_search(&t->reader, SEARCH_BYTES);
		if (rc != 0)
			return rc;
		tail_change_state(t, TAIL_READING);
	}
	if (t->state == TAIL_READING)
		rc = read_chunk(t);
	if (rc < 0)
		return rc;
	return t->sent < t->position ? send_skipped(t) : send_chunk(t);
}

int
tail_step(struct tail *t, size_t tails, uint64_t now_ms, bool sinks_idle,
          uint64_t *wake_ms)
{
	int rc;

	*wake_ms = UINT64_MAX;
	if (t->state == TAIL_IDLE)
		return 0;
	skip_deleted(t);
	if (t->state != TAIL_SENDING && t->sent == t->position &&
	    t->position >= t->store->synced_offset) {
		t->held_back = false;
		t->due_ms = now_ms + share_ms(t);
		return 0;
	}
	if (!may_step(t, tails, now_ms, sinks_idle, wake_ms))
		return 0;
	if (t->live && lags(t, t->held_back || !sinks_idle))
		move_ahead(t);
	rc = do_step(t);
	if (rc > 0) {
		t->held_back = false;
		t->due_ms = now_ms + share_ms(t);
	}
	return rc;
}
