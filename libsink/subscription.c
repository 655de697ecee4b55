/* subscription - see subscription.h. */
#include "libsink/subscription.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/error.h"
#include "libsink/sink.h"

/*
 * A batch header at its widest: array, type, stream, offset, count, next,
 * generation, again.
 */
#define BATCH_HEADER_MAX 48
#define FIRST_EVENTS 1024

int
subscription_init(struct subscription *s, const char *name,
                  const struct subscription_limits *limits)
{
	uint64_t bytes = limits->bytes;

	*s = (struct subscription){.chan = {.fd = -1},
	                           .name = name,
	                           .limits = *limits,
	                           .events_max = limits->events};
	if (limits->stable) {
		/*
		 * A batch is sent again unchanged, even if the settings have
		 * changed.
		 */
		bytes = SINK_BATCH_BYTES_MAX;
		s->events_max = SINK_BATCH_EVENTS_MAX;
	}
	/*
	 * Events stay where they are received, each frame after its header, and
	 * there may be one frame for each event.  Memory that is never touched
	 * costs nothing.
	 */
	s->bytes_cap = bytes + s->events_max * BATCH_HEADER_MAX + FRAME_MAX;
	s->bytes = malloc(s->bytes_cap);
	return s->bytes ? 0 : -ENOMEM;
}

void
subscription_fini(struct subscription *s)
{
	subscription_close(s);
	free(s->bytes);
	free(s->events);
	free(s->order.map);
	s->order.map = NULL;
	s->bytes = NULL;
	s->events = NULL;
}

static void
drop_batch(struct subscription *s)
{
	s->used = 0;
	s->count = 0;
	s->body_bytes = 0;
	s->whole = false;
}

void
subscription_close(struct subscription *s)
{
	chan_close(&s->chan);
	drop_batch(s);
	s->welcomed = false;
	s->has_stream = false;
	s->started = false;
	s->halting = false;
	s->subscribed = false;
	s->order.pending = s->order.is_new = false;
}

static int
subscription_send(struct subscription *s, const struct frame *frame)
{
	int rc;

	while ((rc = chan_send(&s->chan, frame)) == -EAGAIN) {
		rc = chan_wait(&s->chan, POLLOUT, SUBSCRIPTION_SEND_MS);
		if (rc < 0 && rc != -EINTR)
			return rc;
	}
	return rc;
}

int
subscription_connect(struct subscription *s, const char *socket)
{
	const struct frame hello = frame_hello(ROLE_SINK, s->name);
	int rc;

	subscription_close(s);
	rc = chan_connect(&s->chan, socket, 0);
	return rc < 0 ? rc : subscription_send(s, &hello);
}

int
subscription_start(struct subscription *s, bool has_position, uint64_t position,
                   const struct frame_refused *refused)
{
	struct frame subscribe = {.type = FRAME_SUBSCRIBE,
	                          .subscribe = {.has_position = has_position,
	                                        .position = position,
	                                        .max_events = s->limits.events,
	                                        .max_bytes = s->limits.bytes,
	                                        .wait_ms = s->limits.wait_ms,
	                                        .stable = s->limits.stable,
	                                        .refused = *refused}};

	assert(s->started && !s->subscribed);
	s->subscribed = true;
	s->wanted = has_position ? position : 0;
	return subscription_send(s, &subscribe);
}

int
subscription_report(struct subscription *s, uint64_t next_offset,
                    const struct frame_refused *refused)
{
	struct frame committed = {
	    .type = FRAME_COMMITTED,
	    .committed = {.next_offset = next_offset, .refused = *refused}};

	assert(s->subscribed);
	return subscription_send(s, &committed);
}

int
subscription_committed(struct subscription *s, uint64_t next_offset,
                       const struct frame_refused *refused)
{
	int rc = subscription_report(s, next_offset, refused);

	drop_batch(s);
	s->wanted = next_offset;
	return rc;
}

int
subscription_halted(struct subscription *s, bool has_position,
                    uint64_t position, const struct frame_refused *refused)
{
	struct frame halted = {.type = FRAME_HALTED,
	                       .halted = {.has_position = has_position,
	                                  .position = position,
	                                  .refused = *refused}};

	assert(s->halting);
	drop_batch(s);
	s->started = s->halting = s->subscribed = false;
	return subscription_send(s, &halted);
}

int
subscription_flush(struct subscription *s)
{
	struct frame flush = {.type = FRAME_FLUSH};

	return subscription_send(s, &flush);
}

int
subscription_retried(struct subscription *s, const char *why,
                     const uint8_t *map, size_t bytes)
{
	struct frame retried = {
	    .type = FRAME_RETRIED, .body = map, .body_bytes = bytes};

	assert(s->order.pending);
	s->order.pending = s->order.is_new = false;
	retried.retried.id = s->order.id;
	retried.retried.ok = why[0] == '\0';
	retried.retried.text = slice_of(why);
	return subscription_send(s, &retried);
}

int
subscription_stats(struct subscription *s, const uint8_t *map, size_t bytes)
{
	struct frame stats = {
	    .type = FRAME_STATS, .body = map, .body_bytes = bytes};
	int rc = chan_send(&s->chan, &stats);

	if (rc == -EAGAIN)
		return 0;
	return rc < 0 ? rc : 1;
}

static int
subscription_on_welcome(struct subscription *s, const struct frame *frame)
{
	if (s->welcomed || frame->welcome.version != FRAME_VERSION)
		return -EPROTO;
	s->welcomed = true;
	return SUBSCRIPTION_OTHER;
}

/* batchd has one stream, which is number 0 and has a UUID as its name. */
static int
subscription_on_stream(struct subscription *s, const struct frame *frame)
{
	const struct slice *name = &frame->stream.name;

	if (!s->welcomed || s->has_stream || frame->stream.stream_no != 0 ||
	    name->bytes > FRAME_STREAM_MAX)
		return -EPROTO;
	s->has_stream = true;
	memcpy(s->stream, name->data, name->bytes);
	s->stream[name->bytes] = '\0';
	return SUBSCRIPTION_WELCOME;
}

static int
subscription_on_start(struct subscription *s, const struct frame *frame)
{
	if (!s->has_stream || s->started || s->halting ||
	    frame->start.stream_no != 0)
		return -EPROTO;
	s->started = true;
	s->cursor = frame->start.position;
	return SUBSCRIPTION_START;
}

/* The batch stays valid, since it may be on its way into the store. */
static int
subscription_on_halt(struct subscription *s, const struct frame *frame)
{
	if (!s->started || s->halting || frame->halt.stream_no != 0)
		return -EPROTO;
	s->halting = true;
	return SUBSCRIPTION_HALT;
}

static int
subscription_on_seek(struct subscription *s, const struct frame *frame)
{
	if (!s->has_stream || s->started || s->halting ||
	    frame->seek.stream_no != 0)
		return -EPROTO;
	s->halting = true;
	s->seek_from = frame->seek.from;
	s->seek_to = frame->seek.to;
	return SUBSCRIPTION_SEEK;
}

static int
grow_events(struct subscription *s, size_t need)
{
	size_t cap = s->events_cap ? s->events_cap : FIRST_EVENTS;
	struct event *events;

	while (cap < need)
		cap *= 2;
	if (cap == s->events_cap)
		return 0;
	events = reallocarray(s->events, cap, sizeof *events);
	if (!events)
		return -ENOMEM;
	s->events = events;
	s->events_cap = cap;
	return 0;
}

/* Decode the events of the frame, which is at the end of the used bytes. */
static int
subscription_on_events(struct subscription *s, const struct frame *frame)
{
	struct wire_reader r = {frame->body, frame->body + frame->body_bytes};
	size_t count = frame->batch.count;
	int rc;

	if (count > s->events_max - s->count)
		return -EPROTO; /* more than requested */
	rc = grow_events(s, s->count + count);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = event_read(&r, &s->events[s->count + i]);
	if (rc == 0 && r.at != r.end)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	s->count += count;
	s->body_bytes += frame->body_bytes;
	return 0;
}

static int
subscription_on_batch(struct subscription *s, const struct frame *frame,
                      size_t frame_bytes)
{
	bool first = s->used == 0;
	int rc;

	if (!s->subscribed || s->halting || s->whole ||
	    frame->batch.stream_no != 0 ||
	    (frame->batch.last &&
	     frame->batch.next != frame->batch.offset + frame->batch.count))
		return -EPROTO;
	if (frame->batch.count == 0) {
		if (!first || !frame->batch.last || frame->body_bytes > 0)
			return -EPROTO;
		return SUBSCRIPTION_EMPTY;
	}
	if (first ? frame->batch.offset < s->wanted
	          : frame->batch.offset != s->offset + s->count)
		return -EPROTO;
	if (first) {
		s->offset = frame->batch.offset;
		s->again = frame->batch.again;
		s->generation = frame->batch.generation;
	}
	rc = subscription_on_events(s, frame);
	if (rc < 0)
		return rc;
	s->used += frame_bytes;
	s->whole = frame->batch.last;
	return s->whole ? SUBSCRIPTION_BATCH : SUBSCRIPTION_PART;
}

static int
subscription_on_retry(struct subscription *s, const struct frame *frame)
{
	uint8_t *map;

	if (!s->started || s->order.pending)
		return -EPROTO;
	if (!wire_is_one_value(frame->body, frame->body_bytes))
		return -EBADMSG;
	map = realloc(s->order.map, frame->body_bytes);
	if (!map)
		return -ENOMEM;
	memcpy(map, frame->body, frame->body_bytes);
	s->order.map = map;
	s->order.map_bytes = frame->body_bytes;
	s->order.id = frame->retry.id;
	s->order.action = frame->retry.action;
	s->order.committed = frame->retry.committed;
	s->order.pending = s->order.is_new = true;
	return SUBSCRIPTION_ORDER;
}

static int
subscription_on_error(struct subscription *s, const struct frame *frame)
{
	s->error_code = frame->error.code;
	frame_copy_text(s->error_text, &frame->error.text);
	return ERR_BATCHD_REFUSED;
}

int
subscription_step(struct subscription *s)
{
	size_t room = s->bytes_cap - s->used;
	struct frame frame;
	int n, rc;

	if (room > FRAME_MAX)
		room = FRAME_MAX;
	n = chan_recv(&s->chan, s->bytes + s->used, room);
	if (n < 0)
		return n;
	rc = frame_read(s->bytes + s->used, (size_t)n, &frame);
	if (rc < 0)
		return rc;
	if (frame.type == FRAME_ERROR)
		return subscription_on_error(s, &frame);
	if (frame.type == FRAME_WELCOME)
		return subscription_on_welcome(s, &frame);
	if (frame.type == FRAME_STREAM)
		return subscription_on_stream(s, &frame);
	if (frame.type == FRAME_START)
		return subscription_on_start(s, &frame);
	if (frame.type == FRAME_HALT)
		return subscription_on_halt(s, &frame);
	if (frame.type == FRAME_SEEK)
		return subscription_on_seek(s, &frame);
	if (frame.type == FRAME_BATCH)
		return subscription_on_batch(s, &frame, (size_t)n);
	if (frame.type == FRAME_RETRY)
		return subscription_on_retry(s, &frame);
	/* An answer to no request of ours, or a frame for another role. */
	return frame.type == FRAME_REPLY ? SUBSCRIPTION_OTHER : -EPROTO;
}

int
subscription_final_error(struct subscription *s)
{
	unsigned broken = 0;

	/* The first read may only report that batchd left something unread. */
	while (broken < 2) {
		int rc = subscription_step(s);

		if (rc == ERR_BATCHD_REFUSED)
			return rc;
		if (rc == -EPIPE)
			broken++;
		else if (rc < 0)
			break;
	}
	return -EPIPE;
}
