/* feed - see feed.h. */
#include "libsink/feed.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libsink/sink.h"

/* A batch header at its widest: array, type, stream, offset, count, last. */
#define BATCH_HEADER_MAX 32
#define FIRST_EVENTS 1024

int
feed_init(struct feed *f, const char *name, const struct feed_limits *limits)
{
	uint64_t bytes = limits->bytes;

	*f = (struct feed){.chan = {.fd = -1},
	                   .name = name,
	                   .limits = *limits,
	                   .events_max = limits->events};
	if (limits->stable) {
		/* A batch comes again as it was under other settings. */
		bytes = SINK_BATCH_BYTES_MAX;
		f->events_max = SINK_BATCH_EVENTS_MAX;
	}
	/*
	 * Events stay where they are received, each frame behind its header;
	 * there may be a frame for each event.  Memory that is not touched
	 * costs nothing.
	 */
	f->bytes_cap = bytes + f->events_max * BATCH_HEADER_MAX + FRAME_MAX;
	f->bytes = malloc(f->bytes_cap);
	return f->bytes ? 0 : -ENOMEM;
}

void
feed_fini(struct feed *f)
{
	feed_close(f);
	free(f->bytes);
	free(f->events);
	f->bytes = NULL;
	f->events = NULL;
}

static void
drop_batch(struct feed *f)
{
	f->used = 0;
	f->count = 0;
	f->body_bytes = 0;
	f->whole = false;
}

void
feed_close(struct feed *f)
{
	chan_close(&f->chan);
	drop_batch(f);
	f->welcomed = false;
	f->subscribed = false;
}

static int
send_frame(struct feed *f, const struct frame *frame)
{
	int rc;

	while ((rc = chan_send(&f->chan, frame)) == -EAGAIN) {
		rc = chan_wait(&f->chan, POLLOUT, FEED_SEND_MS);
		if (rc < 0 && rc != -EINTR)
			return rc;
	}
	return rc;
}

int
feed_connect(struct feed *f, const char *socket)
{
	struct frame hello = {.type = FRAME_HELLO,
	                      .hello = {.version = FRAME_VERSION,
	                                .role = ROLE_SINK,
	                                .name = slice_of(f->name),
	                                .pid = (uint64_t)getpid()}};
	int rc;

	feed_close(f);
	rc = chan_connect(&f->chan, socket, 0);
	return rc < 0 ? rc : send_frame(f, &hello);
}

int
feed_subscribe(struct feed *f, bool has_position, uint64_t position)
{
	struct frame subscribe = {.type = FRAME_SUBSCRIBE,
	                          .subscribe = {.has_position = has_position,
	                                        .position = position,
	                                        .max_events = f->limits.events,
	                                        .max_bytes = f->limits.bytes,
	                                        .wait_ms = f->limits.wait_ms,
	                                        .stable = f->limits.stable}};

	assert(f->welcomed && !f->subscribed);
	f->subscribed = true;
	f->wanted = has_position ? position : 0;
	return send_frame(f, &subscribe);
}

int
feed_committed_part(struct feed *f, uint64_t next_offset)
{
	struct frame committed = {.type = FRAME_COMMITTED,
	                          .committed = {.next_offset = next_offset}};

	assert(f->whole);
	return send_frame(f, &committed);
}

int
feed_committed(struct feed *f, uint64_t next_offset)
{
	int rc = feed_committed_part(f, next_offset);

	drop_batch(f);
	f->wanted = next_offset;
	return rc;
}

int
feed_flush(struct feed *f)
{
	struct frame flush = {.type = FRAME_FLUSH};

	return send_frame(f, &flush);
}

int
feed_stats(struct feed *f, const uint8_t *map, size_t bytes)
{
	struct frame stats = {
	    .type = FRAME_STATS, .body = map, .body_bytes = bytes};
	int rc = chan_send(&f->chan, &stats);

	if (rc == -EAGAIN)
		return 0;
	return rc < 0 ? rc : 1;
}

static int
on_welcome(struct feed *f, const struct frame *frame)
{
	if (f->welcomed || frame->welcome.version != FRAME_VERSION)
		return -EPROTO;
	f->welcomed = true;
	memcpy(f->stream, frame->welcome.stream.data,
	       frame->welcome.stream.bytes);
	f->stream[frame->welcome.stream.bytes] = '\0';
	return FEED_WELCOME;
}

static int
grow_events(struct feed *f, size_t need)
{
	size_t cap = f->events_cap ? f->events_cap : FIRST_EVENTS;
	struct event *events;

	while (cap < need)
		cap *= 2;
	if (cap == f->events_cap)
		return 0;
	events = reallocarray(f->events, cap, sizeof *events);
	if (!events)
		return -ENOMEM;
	f->events = events;
	f->events_cap = cap;
	return 0;
}

/* Take the frame's events, which lie at the end of what is used. */
static int
on_events(struct feed *f, const struct frame *frame)
{
	struct wire_reader r = {frame->body, frame->body + frame->body_bytes};
	size_t count = frame->batch.count;
	int rc;

	if (count > f->events_max - f->count)
		return -EPROTO; /* more than was asked for */
	rc = grow_events(f, f->count + count);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = event_read(&r, &f->events[f->count + i]);
	if (rc == 0 && r.at != r.end)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	f->count += count;
	f->body_bytes += frame->body_bytes;
	return 0;
}

static int
on_batch(struct feed *f, const struct frame *frame, size_t frame_bytes)
{
	bool first = f->used == 0;
	int rc;

	if (!f->subscribed || f->whole || frame->batch.stream_no != 0)
		return -EPROTO;
	if (frame->batch.count == 0) {
		if (!first || !frame->batch.last || frame->body_bytes > 0)
			return -EPROTO;
		return FEED_EMPTY;
	}
	if (first ? frame->batch.offset < f->wanted
	          : frame->batch.offset != f->offset + f->count)
		return -EPROTO;
	if (first) {
		f->offset = frame->batch.offset;
		f->again = frame->batch.again;
	}
	rc = on_events(f, frame);
	if (rc < 0)
		return rc;
	f->used += frame_bytes;
	f->whole = frame->batch.last;
	return f->whole ? FEED_BATCH : FEED_PART;
}

static int
on_error(struct feed *f, const struct frame *frame)
{
	f->error_code = frame->error.code;
	frame_copy_text(f->error_text, &frame->error.text);
	return -EREMOTEIO;
}

int
feed_step(struct feed *f)
{
	size_t room = f->bytes_cap - f->used;
	struct frame frame;
	int n, rc;

	if (room > FRAME_MAX)
		room = FRAME_MAX;
	n = chan_recv(&f->chan, f->bytes + f->used, room);
	if (n < 0)
		return n;
	rc = frame_read(f->bytes + f->used, (size_t)n, &frame);
	if (rc < 0)
		return rc;
	if (frame.type == FRAME_ERROR)
		return on_error(f, &frame);
	if (frame.type == FRAME_WELCOME)
		return on_welcome(f, &frame);
	if (frame.type == FRAME_BATCH)
		return on_batch(f, &frame, (size_t)n);
	/* A reply to nothing we asked, or another role's frame. */
	return frame.type == FRAME_REPLY ? FEED_OTHER : -EPROTO;
}

int
feed_last_words(struct feed *f)
{
	unsigned broken = 0;

	/* The first read may only say that batchd left something unread. */
	while (broken < 2) {
		int rc = feed_step(f);

		if (rc == -EREMOTEIO)
			return rc;
		if (rc == -EPIPE)
			broken++;
		else if (rc < 0)
			break;
	}
	return -EPIPE;
}
