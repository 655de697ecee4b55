/* consumer - see consumer.h. */
#include "batchd/consumer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/log.h"

/* Frames of one step: then other sinks and peers have their turn. */
#define STEP_FRAMES 16

int
consumer_open(struct consumer *f, struct store *store, const char *name)
{
	int rc;

	*f = (struct consumer){.store = store,
	                       .returns = {.interval_ms = 10000, .burst = 5}};
	f->cursor.file = -1;
	reader_init(&f->reader, store);
	f->body = malloc(FRAME_BODY_MAX);
	if (!f->body)
		return -ENOMEM;
	rc = cursor_open(&f->cursor, store->disk, name, store->stream);
	if (rc == -ENOENT || rc == -EBADMSG) {
		if (rc == -EBADMSG)
			log_error("cursor is damaged: the sink starts at the "
			          "oldest event kept, unless its store "
			          "remembers more sink=%s",
			          name);
		return 0;
	}
	if (rc == -ESTALE)
		log_error("cursor is of another log sink=%s: restore the log "
		          "it belongs to, or remove the file",
		          name);
	else if (rc < 0)
		log_error("cannot open a cursor sink=%s err=%s", name,
		          log_quote(strerror(-rc)));
	return rc;
}

/*
 * The operator goes on without the events from..first.  Of these the account
 * may have some already: the cursor passes over them before a store with a
 * position of its own says where it is, and a sink may come more than once
 * before it has moved that.
 */
static void
pass_gap(struct consumer *f, uint64_t from, uint64_t first)
{
	struct cursor *c = &f->cursor;
	uint64_t before = f->gap_to - f->gap_from;
	uint64_t skipped = c->now.skipped;

	if (f->gap_to == first && f->gap_from == from && before > 0)
		return;
	log_warn("going on without events sink=%s offsets=%" PRIu64
	         "..%" PRIu64,
	         c->name, from, first);
	skipped = skipped > before ? skipped - before : 0;
	cursor_set_skipped(c, skipped + first - from);
	f->gap_from = from;
	f->gap_to = first;
}

void
consumer_accept_gap(struct consumer *f)
{
	struct cursor *c = &f->cursor;
	uint64_t first = store_first_offset(f->store);

	if (c->file < 0 || c->now.committed >= first)
		return;
	pass_gap(f, c->now.committed, first);
	cursor_set(c, first, CURSOR_NO_BATCH);
}

/* How old the event at the cursor is, for as long as nobody reads it. */
static void
look_at_oldest(struct consumer *f)
{
	uint64_t at = f->cursor.now.committed;
	struct stretch s = {.body = f->body};

	if (at < f->store->synced_offset && reader_seek(&f->reader, at) == 0 &&
	    reader_frame(&f->reader, f->store->synced_offset, 1, &s) == 0 &&
	    s.count > 0)
		f->oldest_us = s.appended_us;
}

int
consumer_start(struct consumer *f, bool newest)
{
	struct store *s = f->store;
	uint64_t at = newest ? s->synced_offset : store_first_offset(s);
	char name[FRAME_NAME_MAX + 1];
	int rc = 0;

	if (f->cursor.file < 0) {
		memcpy(name, f->cursor.name, sizeof name);
		rc = cursor_create(&f->cursor, s->disk, name, s->stream, at);
		if (rc < 0) {
			log_error("cannot create a cursor sink=%s err=%s", name,
			          log_quote(strerror(-rc)));
			return rc;
		}
		log_info("new cursor sink=%s offset=%" PRIu64, name, at);
	}
	f->begin = f->cursor.now.committed;
	f->reach = s->synced_offset;
	look_at_oldest(f);
	return 0;
}

void
consumer_close(struct consumer *f)
{
	if (!f->store)
		return;
	cursor_close(&f->cursor, f->store->disk);
	reader_fini(&f->reader);
	free(f->body);
	*f = (struct consumer){0};
}

static void
await(struct consumer *f)
{
	f->state = CONSUMER_WAITING;
	f->built = false;
	f->batch_since_us = 0;
}

/*
 * The sink's account, before its position becomes `at`: `gap` events below
 * will never be sent.  A new cursor counts what lies before it as skipped,
 * but a store with a position has been fed before.
 */
static void
take_account(struct consumer *f, bool has_position, uint64_t gap)
{
	struct cursor *c = &f->cursor;
	uint64_t skipped = c->now.skipped;

	if (has_position && cursor_is_new(c))
		skipped = 0;
	cursor_set_skipped(c, skipped + gap);
	c->dirty = true; /* no longer new */
	f->has_told = false;
}

/*
 * Whether a position cannot be believed: it is beyond the log's end, or was
 * when the log was opened and nothing was sent since, or its sink came with
 * one that was, and has not been set back since.  The log may have grown past
 * it: with other events, which the sink would pass over.
 */
static bool
is_ahead(struct consumer *f, uint64_t at, bool accept_gap, uint64_t *gap)
{
	struct cursor *c = &f->cursor;
	bool beyond = at > f->reach && at > c->now.committed;

	if (at > f->store->synced_offset || (beyond && !accept_gap)) {
		cursor_set_ahead(c, at);
		return true;
	}
	if (c->now.ahead == 0 && !beyond)
		return false;
	if (at > c->now.committed && !accept_gap)
		return true;
	if (at > c->now.committed)
		*gap = at - c->now.committed;
	cursor_set_ahead(c, 0);
	return false;
}

/* A sink that does so again and again is at fault. */
static void
warn_gone_back(struct consumer *f, uint64_t at)
{
	unsigned suppressed;

	if (log_allow(&f->returns, &suppressed))
		log_warn("store has gone back: sending again sink=%s "
		         "from=%" PRIu64 " cursor=%" PRIu64 " suppressed=%u",
		         f->cursor.name, at, f->cursor.now.committed,
		         suppressed);
}

int
consumer_subscribe(struct consumer *f, struct chan *chan,
                   const struct frame *subscribe, bool accept_gap,
                   const char **text)
{
	struct store *s = f->store;
	uint64_t first = store_first_offset(s);
	uint64_t at = f->cursor.now.committed, from, gap = 0;

	if (subscribe->subscribe.has_position)
		at = subscribe->subscribe.position;
	from = at;
	if (at < first && accept_gap)
		at = first;
	if (at < first) {
		*text =
		    "the store's position is before the oldest event kept; "
		    "batchd --accept-gap goes on without the events between";
		return ERROR_BEHIND;
	}
	if (is_ahead(f, at, accept_gap, &gap)) {
		*text =
		    "the store's position is, or was, beyond the log's end: "
		    "it is of a log that has lost its end, or of another one; "
		    "set it back to the sink's offset in leat status, or "
		    "batchd "
		    "--accept-gap passes over the events between";
		return ERROR_AHEAD;
	}
	take_account(f, subscribe->subscribe.has_position, gap);
	if (from < at)
		pass_gap(f, from, at);
	if (at != f->cursor.now.committed) {
		if (at < f->cursor.now.committed)
			warn_gone_back(f, at);
		cursor_set(&f->cursor, at, CURSOR_NO_BATCH);
		f->oldest_us = 0;
	}
	f->chan = chan;
	f->max_events = subscribe->subscribe.max_events;
	f->max_bytes = subscribe->subscribe.max_bytes;
	f->wait_ms = subscribe->subscribe.wait_ms;
	f->stable = subscribe->subscribe.stable;
	if (f->max_events == 0)
		f->max_events = 1;
	/* A record is sent whole. */
	if (f->max_bytes < FRAME_BODY_MAX)
		f->max_bytes = FRAME_BODY_MAX;
	f->begin = at;
	f->flush = false;
	await(f);
	/* A sink that has just come need not wait. */
	f->not_before_ms = 0;
	/* How old its events are is not known. */
	f->waiting_since_ms = at < s->synced_offset ? 1 : 0;
	return 0;
}

void
consumer_detach(struct consumer *f)
{
	f->chan = NULL;
	f->state = CONSUMER_DISCONNECTED;
	f->built = false;
	f->begin = f->cursor.now.committed;
	if (f->waiting_since_ms == 0 && f->begin < f->store->synced_offset)
		f->waiting_since_ms = 1;
}

/* Above all bounds of a histogram, and too short for its sum to overflow. */
#define COMMIT_MAX_US (INT64_C(3600) * 1000000)

/*
 * Count the events from the cursor to next_offset as committed.  For those that
 * became durable before this batchd started, or before the oldest mark, the
 * wall clock in the log has to do, which may have been set since.
 */
static void
count_committed(struct consumer *f, uint64_t next_offset)
{
	uint64_t from = f->cursor.now.committed;
	int64_t older_us = clock_wall_us() - f->batch_since_us;

	if (older_us < 0)
		older_us = 0;
	if (older_us > COMMIT_MAX_US)
		older_us = COMMIT_MAX_US;
	f->committed_events += next_offset - from;
	marks_count(&f->store->marks, from, next_offset, clock_mono_us(),
	            (uint64_t)older_us, &f->commit_times);
}

int
consumer_committed(struct consumer *f, uint64_t next_offset)
{
	if (f->state != CONSUMER_IN_FLIGHT ||
	    next_offset <= f->cursor.now.committed || next_offset > f->end)
		return -EPROTO;
	count_committed(f, next_offset);
	f->oldest_us = 0;
	if (next_offset < f->end) {
		/* A part of the batch; the rest stays in flight. */
		cursor_set(&f->cursor, next_offset,
		           f->stable ? f->end : CURSOR_NO_BATCH);
		cursor_set_skipped(&f->cursor,
		                   f->cursor.now.skipped + f->batch_gap);
		f->batch_gap = 0;
		return 0;
	}
	cursor_set(&f->cursor, next_offset, CURSOR_NO_BATCH);
	cursor_set_skipped(&f->cursor, f->cursor.now.skipped + f->batch_gap);
	if (f->has_told)
		cursor_set_refused(&f->cursor, f->told_aside, f->told_dropped);
	f->begin = next_offset;
	await(f);
	return 0;
}

void
consumer_durable(struct consumer *f, uint64_t now_ms)
{
	uint64_t from = f->state == CONSUMER_SENDING ||
	                        f->state == CONSUMER_IN_FLIGHT ||
	                        f->state == CONSUMER_SYNCING ||
	                        f->state == CONSUMER_PLANNING
	                    ? f->limit
	                    : f->begin;

	if (f->waiting_since_ms == 0 && from < f->store->synced_offset)
		f->waiting_since_ms = now_ms;
}

void
consumer_cursor_written(struct consumer *f)
{
	if (f->state == CONSUMER_SYNCING &&
	    f->cursor.durable.in_flight_end == f->limit)
		f->state = CONSUMER_SENDING;
}

/* --- steps --- */

static int
send_frame(struct consumer *f, uint64_t offset, uint32_t count, bool last,
           const uint8_t *body, size_t bytes)
{
	struct frame frame = {
	    .type = FRAME_BATCH, .body = body, .body_bytes = bytes};

	frame.batch.offset = offset;
	frame.batch.count = count;
	frame.batch.last = last;
	frame.batch.again = f->again;
	return chan_send(f->chan, &frame);
}

/* Events that lie in the log, in bytes: as far as is known without reading. */
static bool
bytes_are_there(const struct consumer *f)
{
	const struct store *s = f->store;
	uint64_t events = s->synced_offset - f->begin;

	/* Average size of what was appended since the start. */
	return s->appended_events > 0 &&
	       (double)events * (double)s->appended_bytes >=
	           (double)f->max_bytes * (double)s->appended_events;
}

/* Whether a batch is due; else when to look again. */
static bool
due(const struct consumer *f, uint64_t now_ms, uint64_t *wake_ms)
{
	uint64_t there = f->store->synced_offset - f->begin;

	if (there == 0)
		return false;
	if (there >= f->max_events || f->flush || bytes_are_there(f) ||
	    now_ms >= f->not_before_ms)
		return true;
	*wake_ms = f->not_before_ms;
	return false;
}

static int
begin(struct consumer *f, uint64_t now_ms)
{
	uint64_t synced = f->store->synced_offset;
	uint64_t planned = f->cursor.now.in_flight_end;
	int rc = reader_seek(&f->reader, f->begin);

	if (rc < 0)
		return rc;
	f->not_before_ms = now_ms + f->wait_ms;
	f->mark = reader_mark(&f->reader);
	f->bytes_left = f->max_bytes;
	f->limit = synced - f->begin > f->max_events ? f->begin + f->max_events
	                                             : synced;
	f->state = CONSUMER_SENDING;
	f->again = f->stable && planned != CURSOR_NO_BATCH;
	if (f->stable && planned != CURSOR_NO_BATCH && planned <= synced) {
		/* The batch of before the crash, with the same end. */
		f->limit = planned;
		f->bytes_left = UINT64_MAX;
		if (f->cursor.durable.in_flight_end != planned)
			f->state = CONSUMER_SYNCING;
	} else if (f->stable) {
		f->state = CONSUMER_PLANNING;
	}
	/*
	 * Events after the limit have waited too, for an unknown time that is
	 * no longer than that of those before them.
	 */
	if (f->limit >= synced)
		f->waiting_since_ms = 0;
	else if (f->waiting_since_ms == 0)
		f->waiting_since_ms = 1;
	return 1;
}

static int
wait_step(struct consumer *f, uint64_t now_ms, uint64_t *wake_ms)
{
	int rc;

	/* Promised again after a crash: at once, or a stable end is lost. */
	if (due(f, now_ms, wake_ms) ||
	    (f->stable && f->cursor.now.in_flight_end != CURSOR_NO_BATCH &&
	     f->store->synced_offset > f->begin))
		return begin(f, now_ms);
	if (!f->flush || f->store->synced_offset > f->begin)
		return 0;
	rc = send_frame(f, f->begin, 0, true, NULL, 0);
	if (rc < 0)
		return rc;
	f->flush = false;
	return 0;
}

/* Read the next stretch into the body. */
static int
build(struct consumer *f)
{
	int rc;

	f->stretch.body = f->body;
	rc = reader_frame(&f->reader, f->limit, f->bytes_left, &f->stretch);
	if (rc < 0) {
		log_error("cannot read the log sink=%s offset=%" PRIu64
		          " err=%s",
		          f->cursor.name, f->reader.next_offset,
		          log_quote(strerror(-rc)));
		return rc;
	}
	f->bytes_left = f->bytes_left > f->stretch.bytes
	                    ? f->bytes_left - f->stretch.bytes
	                    : 0;
	if (f->bytes_left == 0 || f->reader.next_offset >= f->limit)
		f->stretch.ends = true;
	f->built = true;
	return 0;
}

/* Where the stretch ends; the reader may have passed a gap behind it. */
static uint64_t
stretch_end(const struct consumer *f)
{
	const struct stretch *s = &f->stretch;

	return s->count > 0 ? s->offset + s->count : f->reader.next_offset;
}

/*
 * The batch ends here.  When that is before its limit, its bytes or a gap have
 * cut it short, and not what was there: the rest need not wait.
 */
static void
cut_at(struct consumer *f, uint64_t end)
{
	if (end < f->limit) {
		f->not_before_ms = 0;
		if (f->waiting_since_ms == 0)
			f->waiting_since_ms = 1;
	}
	f->limit = end;
}

static int
plan_step(struct consumer *f)
{
	for (int i = 0; i < STEP_FRAMES; i++) {
		int rc = build(f);

		if (rc < 0)
			return rc;
		f->built = false;
		if (!f->stretch.ends)
			continue;
		/* From now on the batch is begin..limit, whatever happens. */
		cut_at(f, stretch_end(f));
		f->bytes_left = UINT64_MAX;
		cursor_set(&f->cursor, f->begin, f->limit);
		f->state = CONSUMER_SYNCING;
		return reader_back(&f->reader, &f->mark);
	}
	return 1;
}

static int
send_step(struct consumer *f)
{
	for (int i = 0; i < STEP_FRAMES; i++) {
		const struct stretch *s = &f->stretch;
		int rc = f->built ? 0 : build(f);

		if (rc == 0 && s->count == 0) {
			/* Everything up to the limit is lost: pass over it. */
			cursor_set(&f->cursor, f->limit, CURSOR_NO_BATCH);
			cursor_set_skipped(&f->cursor, f->cursor.now.skipped +
			                                   f->limit - f->begin);
			f->begin = f->limit;
			f->oldest_us = 0;
			f->not_before_ms = 0; /* the sink has had nothing */
			await(f);
			return 1;
		}
		if (rc == 0)
			rc = send_frame(f, s->offset, s->count, s->ends,
			                s->body, s->bytes);
		if (rc < 0)
			return rc;
		f->built = false;
		if (f->batch_since_us == 0) {
			f->batch_since_us = f->oldest_us = s->appended_us;
			f->batch_gap = s->offset - f->begin;
		}
		if (s->ends) {
			f->end = stretch_end(f);
			if (f->reach < f->end)
				f->reach = f->end;
			f->state = CONSUMER_IN_FLIGHT;
			cut_at(f, f->end);
			return 0;
		}
	}
	return 1;
}

int
consumer_step(struct consumer *f, uint64_t now_ms, uint64_t *wake_ms)
{
	*wake_ms = UINT64_MAX;
	switch (f->state) {
	case CONSUMER_WAITING:
		return wait_step(f, now_ms, wake_ms);
	case CONSUMER_PLANNING:
		return plan_step(f);
	case CONSUMER_SENDING:
		return send_step(f);
	case CONSUMER_DISCONNECTED:
	case CONSUMER_SYNCING:
	case CONSUMER_IN_FLIGHT:
		break;
	}
	return 0;
}

uint64_t
consumer_lag_events(const struct consumer *f)
{
	uint64_t committed = f->cursor.now.committed;

	return f->store->durable_offset > committed
	           ? f->store->durable_offset - committed
	           : 0;
}

void
consumer_told_refused(struct consumer *f, uint64_t letters, uint64_t dropped)
{
	struct cursor *c = &f->cursor;

	f->told_aside = letters;
	f->told_dropped = dropped;
	f->has_told = true;
	/*
	 * Those of a batch under way count when it is committed.  But what was
	 * retried is in the store now, whatever is under way, and while the
	 * sink is stopped, too.
	 */
	if (f->state != CONSUMER_DISCONNECTED && consumer_lag_events(f) == 0)
		cursor_set_refused(c, letters, dropped);
	else if (letters < c->now.pending_dead_letters)
		cursor_set_refused(c, letters, c->now.dropped);
}

uint64_t
consumer_stored_events(const struct consumer *f)
{
	const struct cursor_slot *c = &f->cursor.now;
	const uint64_t others[] = {c->skipped, c->pending_dead_letters,
	                           c->dropped};
	uint64_t stored = c->committed;

	/* What a sink says need not be true, nor its sum be a number. */
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		stored -= others[i] < stored ? others[i] : stored;
	return stored;
}

uint64_t
consumer_lag_ms(const struct consumer *f, uint64_t now_ms, int64_t now_us)
{
	int64_t since_us = f->batch_since_us;

	if (consumer_lag_events(f) == 0)
		return 0;
	if (since_us == 0 && f->waiting_since_ms > 1)
		return now_ms - f->waiting_since_ms;
	if (since_us == 0)
		since_us = f->oldest_us;
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
