/* peer_input - see peer_input.h. */
#include "batchd/peer_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "batchd/control.h"
#include "batchd/order_steps.h"
#include "libbase/clock.h"

/* --- what each frame does --- */

static int
peer_send_stream(struct peer *p)
{
	struct store *store = &p->broker->store;
	struct frame f = {.type = FRAME_STREAM};

	f.stream.name = slice_of(store->stream_text);
	f.stream.first_offset = store_first_offset(store);
	f.stream.next_offset = store->durable_offset;
	return chan_send(&p->chan, &f);
}

static int
peer_send_welcome(struct peer *p)
{
	struct frame f = {.type = FRAME_WELCOME};
	int rc;

	f.welcome.version = FRAME_VERSION;
	f.welcome.frame_max_bytes = FRAME_MAX;
	rc = chan_send(&p->chan, &f);
	if (rc == 0 && (p->state == PEER_SINK || p->state == PEER_TAIL))
		rc = peer_send_stream(p);
	return rc;
}

static int
accept_sink(struct peer *p, const struct slice *name)
{
	struct broker_sink *sink = broker_find_sink(p->broker, name);

	if (!sink)
		return peer_refuse(p, ERROR_UNKNOWN,
		                   "[batchd] sinks does not name this sink");
	if (sink->peer)
		return peer_refuse(p, ERROR_BUSY,
		                   "a sink of this name is connected");
	p->sink = sink;
	peer_change_state(p, PEER_SINK);
	return 0;
}

static int
accept_tail(struct peer *p)
{
	struct broker *b = p->broker;

	if ((int64_t)b->tail_count >= b->settings->max_tails)
		return peer_refuse(p, ERROR_FULL,
		                   "[batchd] max_tails tails are connected");
	p->tail = malloc(sizeof *p->tail);
	if (!p->tail || tail_init(p->tail, &b->store, &p->chan) < 0)
		return -ENOMEM;
	peer_change_state(p, PEER_TAIL);
	return 0;
}

static int
on_hello(struct peer *p, const struct frame *f)
{
	struct broker *b = p->broker;
	int rc = 0;

	if (f->hello.version != FRAME_VERSION)
		return peer_refuse(
		    p, ERROR_VERSION,
		    "protocol version mismatch: all daemons must be of the "
		    "same release");
	memcpy(p->name, f->hello.name.data, f->hello.name.bytes);
	p->name[f->hello.name.bytes] = '\0';
	p->pid = f->hello.pid;
	p->role = f->hello.role;
	if (b->stopping)
		return peer_refuse(p, ERROR_STOPPING, "batchd is stopping");
	if ((p->role == ROLE_INGEST || p->role == ROLE_SINK) &&
	    (int64_t)b->daemon_count >= b->settings->max_connections)
		return peer_refuse(
		    p, ERROR_FULL,
		    "[batchd] max_connections daemons are connected");
	switch (p->role) {
	case ROLE_INGEST:
		peer_change_state(p, PEER_INGEST);
		break;
	case ROLE_CONTROL:
		peer_change_state(p, PEER_CONTROL);
		break;
	case ROLE_SINK:
		rc = accept_sink(p, &f->hello.name);
		break;
	case ROLE_TAIL:
		rc = accept_tail(p);
		break;
	}
	return rc < 0 ? rc : peer_send_welcome(p);
}

static int
on_subscribe(struct peer *p, const struct frame *f)
{
	const char *text = "";
	enum frame_error code;

	if (f->subscribe.stream_no != 0)
		return peer_refuse(p, ERROR_PROTOCOL, "stream_no must be 0");
	code = consumer_subscribe(&p->sink->consumer, &p->chan, f,
	                          p->broker->settings->accept_gap, &text);
	if (code != ERROR_NONE)
		return peer_refuse(p, code, text);
	/* A sink that sent it before it received halt is sent nothing. */
	if (p->state == PEER_STARTED)
		peer_change_state(p, PEER_SUBSCRIBED);
	return 0;
}

static int
on_halted(struct peer *p, const struct frame *f)
{
	bool sought = p->state == PEER_SEEKING;

	if (f->halted.stream_no != 0)
		return peer_refuse(p, ERROR_PROTOCOL, "stream_no must be 0");
	consumer_halted(&p->sink->consumer, f->halted.has_position,
	                f->halted.position, &f->halted.refused);
	peer_change_state(p, PEER_SINK);
	dead_order_interrupt(&p->sink->dead_order);
	order_on_halted(p->sink, f, sought);
	return 0;
}

/* Handle a frame of a sink that was started.  Returns -EPROTO for any other. */
static int
on_sink_frame(struct peer *p, const struct frame *f)
{
	struct consumer *c = &p->sink->consumer;
	bool subscribed = c->state != CONSUMER_DISCONNECTED;

	if (!subscribed && f->type == FRAME_SUBSCRIBE)
		return on_subscribe(p, f);
	if (subscribed && f->type == FRAME_COMMITTED &&
	    f->committed.stream_no == 0)
		return consumer_commit(c, f->committed.next_offset,
		                       &f->committed.refused);
	if (subscribed && f->type == FRAME_FLUSH && f->flush.stream_no == 0) {
		consumer_flush(c);
		return 0;
	}
	if (subscribed && f->type == FRAME_RETRIED)
		return dead_order_on_retried(&p->sink->dead_order, f);
	if (p->state == PEER_HALTING && f->type == FRAME_HALTED)
		return on_halted(p, f);
	return -EPROTO;
}

static int
peer_on_stats(struct peer *p, const struct frame *f)
{
	struct report now;

	p->done_this_turn = true;
	if (report_read(p->role, f->body, f->body_bytes, &now) < 0)
		return peer_refuse(p, ERROR_PROTOCOL, "malformed statistics");
	if (p->sink)
		report_merge(&p->sink->report, &now);
	/* The first report of a connection is what the others add to. */
	if (p->has_report)
		report_count(p->role,
		             p->sink ? &p->sink->totals : &p->broker->ingest,
		             &p->report, &now);
	p->report = now;
	p->has_report = true;
	return 0;
}

/* Return true if the body is one complete map. */
static bool
is_map(const struct frame *f)
{
	struct wire_reader map = {f->body, f->body + f->body_bytes};
	uint32_t pairs;

	return wire_map(&map, &pairs) == 0 &&
	       wire_is_one_value(f->body, f->body_bytes);
}

/*
 * The reply is sent by peer_flush at the end of the turn.  Until then the peer
 * is not read, so it has one request at most.
 */
static int
on_control(struct peer *p, const struct frame *f)
{
	p->done_this_turn = true;
	if (!is_map(f))
		return peer_refuse(p, ERROR_PROTOCOL, "malformed arguments");
	p->reply_id = f->control.id;
	control_begin(p, f);
	return 0;
}

/* A watch makes batchd open a file, so a peer has one in each turn. */
static int
on_watch(struct peer *p, const struct frame *f)
{
	p->done_this_turn = true;
	tail_watch(p->tail, f, clock_mono_ms());
	return 0;
}

/* Handle a frame that is no append. */
static int
peer_on_frame(struct peer *p, const struct frame *f)
{
	int rc;

	if (p->state != PEER_HELLO && f->type == FRAME_STATS)
		return peer_on_stats(p, f);
	if (p->state != PEER_HELLO && f->type == FRAME_CONTROL)
		return on_control(p, f);
	switch (p->state) {
	case PEER_HELLO:
		if (f->type == FRAME_HELLO)
			return on_hello(p, f);
		break;
	case PEER_INGEST: /* read_ingest handles append */
	case PEER_CONTROL:
	case PEER_SINK:
		break;
	case PEER_STARTED:
	case PEER_SUBSCRIBED:
	case PEER_HALTING:
		rc = on_sink_frame(p, f);
		if (rc != -EPROTO)
			return rc;
		break;
	case PEER_SEEKING:
		if (f->type == FRAME_HALTED)
			return on_halted(p, f);
		break;
	case PEER_TAIL:
		if (f->type == FRAME_WATCH)
			return on_watch(p, f);
		break;
	case PEER_CLOSING:
		return -EPIPE;
	}
	return peer_refuse(p, ERROR_PROTOCOL,
	                   "this frame is not allowed in this state");
}

static int
peer_append(struct peer *p, uint64_t seq, uint32_t count, size_t body_bytes,
            const uint8_t *body)
{
	struct store *store = &p->broker->store;
	struct wire_reader events = {.at = body, .end = body + body_bytes};
	int rc;

	if (seq != ack_queue_next_seq(&p->acks))
		return peer_refuse(p, ERROR_PROTOCOL, "append out of sequence");
	if (body_bytes > FRAME_BODY_MAX || event_skip(&events, count) < 0 ||
	    events.at != events.end)
		return peer_refuse(p, ERROR_PROTOCOL, "malformed events");
	rc = ack_queue_reserve(&p->acks);
	if (rc < 0)
		return rc;
	ack_queue_add(&p->acks, store_append(store, (uint32_t)body_bytes, count,
	                                     clock_wall_us()));
	return 0;
}

/* --- reading --- */

/*
 * Receive a frame into `at`, which holds FRAME_MAX bytes.  A peer that sends
 * something else is refused.
 */
static int
peer_receive(struct peer *p, uint8_t *at, struct frame *f)
{
	int n = chan_recv(&p->chan, at, FRAME_MAX);

	if (n == -EMSGSIZE)
		return peer_refuse(p, ERROR_PROTOCOL, "frame is too large");
	if (n < 0)
		return n;
	if (frame_read(at, (size_t)n, f) < 0)
		return peer_refuse(p, ERROR_PROTOCOL, "malformed frame");
	return 0;
}

/*
 * Receive an ingestd's frame.  It is received so that the events of an append
 * lie where the log wants them, and need not be copied.
 */
static int
read_ingest(struct peer *p)
{
	uint8_t *place = store_append_buffer(&p->broker->store);
	struct frame f = {0};
	int rc;

	if (!place)
		return -EAGAIN;
	rc = peer_receive(p, place - FRAME_APPEND_HEADER, &f);
	if (rc < 0)
		return rc;
	if (f.type != FRAME_APPEND)
		return peer_on_frame(p, &f);
	/* A header of another length than leat's ingestd sends. */
	if (f.body != place && f.body_bytes <= FRAME_BODY_MAX)
		memmove(place, f.body, f.body_bytes);
	return peer_append(p, f.append.seq, f.append.count, f.body_bytes,
	                   place);
}

/* The type of the frame that would be received next. */
static int
peek_type(const struct peer *p, uint64_t *type)
{
	uint8_t head[FRAME_APPEND_HEADER];
	ssize_t n =
	    recv(p->chan.fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
	struct wire_reader r = {head, head + (n > 0 ? n : 0)};
	uint32_t fields;

	if (n < 0)
		return -errno;
	return n == 0 || wire_array(&r, &fields) < 0 || wire_uint(&r, type) < 0
	           ? -EBADMSG
	           : 0;
}

/* Receive a frame of a peer that is no ingestd, or one that is no append. */
static int
read_other(struct peer *p)
{
	struct frame f = {0};
	int rc = peer_receive(p, p->broker->scratch, &f);

	return rc < 0 ? rc : peer_on_frame(p, &f);
}

int
peer_read_stats(struct peer *p)
{
	uint64_t type = 0;
	int rc = peek_type(p, &type);

	/* A malformed frame, or the end, is met when events are read again. */
	if (rc < 0 || type != FRAME_STATS)
		return -EAGAIN;
	return read_other(p);
}

int
peer_read_last(struct peer *p)
{
	uint8_t *scratch = p->broker->scratch;
	struct frame f = {0};
	int n = chan_recv(&p->chan, scratch, FRAME_MAX);

	if (n < 0)
		return n;
	if (frame_read(scratch, (size_t)n, &f) < 0)
		return -EBADMSG;
	return f.type == FRAME_STATS ? peer_on_stats(p, &f) : 0;
}

int
peer_read(struct peer *p)
{
	return p->state == PEER_INGEST ? read_ingest(p) : read_other(p);
}
