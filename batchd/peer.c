/* peer - see peer.h. */
#include "batchd/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "batchd/server.h"
#include "libbase/clock.h"

/* Frames that may wait for their answer; beyond, the peer is not read. */
#define UNANSWERED_MAX 16384

/* Say why on the wire, as far as that is possible, and close. */
static int
peer_refuse(struct peer *p, enum frame_error code, const char *text)
{
	struct frame f = {.type = FRAME_ERROR};
	unsigned suppressed = 0;

	f.error.code = code;
	f.error.text = slice_of(text);
	/* A peer that cannot take it learns from the close. */
	if (chan_send(&p->chan, &f) == 0 &&
	    log_allow(&p->server->refusals, &suppressed))
		log_warn("peer refused name=%s pid=%" PRIu64
		         " code=%s why=%s suppressed=%u",
		         p->name[0] ? p->name : "?", p->pid,
		         frame_error_name(code), log_quote(text), suppressed);
	return -ECONNABORTED;
}

static int
peer_send_welcome(struct peer *p)
{
	struct store *store = &p->server->store;
	struct frame f = {.type = FRAME_WELCOME};

	f.welcome.version = FRAME_VERSION;
	f.welcome.stream = slice_of(store->stream_text);
	f.welcome.first_offset = store_first_offset(store);
	f.welcome.next_offset = store->durable_offset;
	f.welcome.frame_max_bytes = FRAME_MAX;
	return chan_send(&p->chan, &f);
}

static int
on_hello(struct peer *p, const struct frame *f)
{
	struct server *s = p->server;
	unsigned suppressed = 0;

	if (f->hello.version != FRAME_VERSION)
		return peer_refuse(
		    p, ERROR_VERSION,
		    "another protocol version: install one release");
	memcpy(p->name, f->hello.name.data, f->hello.name.bytes);
	p->name[f->hello.name.bytes] = '\0';
	p->pid = f->hello.pid;
	p->role = f->hello.role;
	if (s->stopping)
		return peer_refuse(p, ERROR_STOPPING, "batchd is stopping");
	if (p->role != ROLE_CONTROL && server_is_full(s))
		return peer_refuse(
		    p, ERROR_FULL,
		    "[batchd] max_connections daemons are connected");
	switch (p->role) {
	case ROLE_INGEST:
		p->state = PEER_INGEST;
		p->status_due = true;
		break;
	case ROLE_CONTROL:
		p->state = PEER_CONTROL;
		return peer_send_welcome(p);
	case ROLE_SINK:
		p->consumer = server_consumer(s, &f->hello.name);
		if (!p->consumer)
			return peer_refuse(
			    p, ERROR_UNKNOWN,
			    "[batchd] sinks does not name this sink");
		for (size_t i = 0; i < s->peer_count; i++) {
			if (s->peers[i] == p ||
			    s->peers[i]->consumer != p->consumer)
				continue;
			p->consumer = NULL;
			return peer_refuse(p, ERROR_BUSY,
			                   "a sink of this name is connected");
		}
		p->state = PEER_SINK;
		break;
	}
	if (log_allow(&s->arrivals, &suppressed))
		log_info("peer connected role=%s name=%s pid=%" PRIu64
		         " suppressed=%u",
		         frame_role_name(p->role), p->name, p->pid, suppressed);
	return peer_send_welcome(p);
}

/* --- ingest --- */

static int
peer_append(struct peer *p, uint64_t seq, uint32_t count, size_t body_bytes,
            const uint8_t *body)
{
	struct store *store = &p->server->store;
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

static int
flush_appended(struct peer *p)
{
	struct frame f;
	uint32_t count;

	while ((count = ack_queue_peek(&p->acks, &f)) > 0) {
		int rc = chan_send(&p->chan, &f);

		if (rc < 0)
			return rc;
		ack_queue_remove(&p->acks, count);
	}
	return 0;
}

static int
flush_intake(struct peer *p)
{
	struct frame f = {.type = FRAME_INTAKE};
	int rc;

	if (p->intake_sent && p->intake_open == p->server->intake_open)
		return 0;
	f.intake.open = p->server->intake_open;
	f.intake.reason = slice_of(server_closed_reason(p->server));
	rc = chan_send(&p->chan, &f);
	if (rc < 0)
		return rc;
	p->intake_sent = true;
	p->intake_open = f.intake.open;
	return 0;
}

/* Not owed: a peer whose socket is full does without, until the next second. */
static int
flush_status(struct peer *p)
{
	struct server *s = p->server;
	struct frame f = {.type = FRAME_STATUS};
	int rc;

	if (!p->status_due)
		return 0;
	p->status_due = false;
	if (server_recent_status(s) < 0)
		return 0; /* out of memory */
	f.body = s->status.data;
	f.body_bytes = s->status.len;
	rc = chan_send(&p->chan, &f);
	return rc == -EAGAIN ? 0 : rc;
}

/* --- any role --- */

static int
peer_on_stats(struct peer *p, const struct frame *f)
{
	struct report now;

	p->done_this_turn = true;
	if (report_read(p->role, f->body, f->body_bytes, &now) < 0)
		return peer_refuse(p, ERROR_PROTOCOL, "malformed statistics");
	server_reported(p->server, p, &now);
	if (p->role == ROLE_SINK && report_has(&now, SINK_PENDING_DEAD_LETTERS))
		consumer_report_dead_letters(
		    p->consumer, now.values[SINK_PENDING_DEAD_LETTERS],
		    now.values[SINK_DEAD_DROPPED]);
	p->report = now;
	p->has_report = true;
	return 0;
}

static int
on_control(struct peer *p, const struct frame *f)
{
	struct frame reply = {.type = FRAME_REPLY};
	uint8_t header[FRAME_HEADER_MAX];
	struct server *s = p->server;
	int rc;

	p->done_this_turn = true;
	reply.reply.id = f->control.id;
	reply.reply.text = slice_of("");
	if (slice_is(f->control.verb, "status")) {
		reply.reply.ok = server_status(s) == 0;
		if (reply.reply.ok) {
			reply.body = s->status.data;
			reply.body_bytes = s->status.len;
		} else {
			reply.reply.text = slice_of("out of memory");
		}
	} else {
		reply.reply.text = slice_of("unknown verb");
	}
	rc = chan_send(&p->chan, &reply);
	if (rc != -EAGAIN)
		return rc;
	if (p->reply.len > 0)
		return peer_refuse(p, ERROR_PROTOCOL, "replies are not read");
	rc = frame_put_header(&reply, header);
	if (rc >= 0)
		rc = buf_add(&p->reply, header, (size_t)rc);
	if (rc >= 0)
		rc = buf_add(&p->reply, reply.body, reply.body_bytes);
	return rc;
}

static int
flush_reply(struct peer *p)
{
	struct frame f;
	int rc;

	if (p->reply.len == 0)
		return 0;
	rc = frame_read(p->reply.data, p->reply.len, &f);
	if (rc == 0)
		rc = chan_send(&p->chan, &f);
	if (rc == 0)
		buf_clear(&p->reply);
	return rc;
}

static int
on_subscribe(struct peer *p, const struct frame *f)
{
	const char *text = "";
	enum frame_error code;

	if (f->subscribe.stream_no != 0)
		return peer_refuse(p, ERROR_PROTOCOL, "there is one stream, 0");
	code = consumer_subscribe(p->consumer, &p->chan, f,
	                          p->server->settings->accept_gap, &text);
	if (code != ERROR_NONE)
		return peer_refuse(p, code, text);
	p->state = PEER_SUBSCRIBED;
	return 0;
}

/* One frame in, one transition. */
static int
peer_on_frame(struct peer *p, const struct frame *f)
{
	if (p->state != PEER_HELLO && f->type == FRAME_STATS)
		return peer_on_stats(p, f);
	if (p->state != PEER_HELLO && f->type == FRAME_CONTROL)
		return on_control(p, f);
	switch (p->state) {
	case PEER_HELLO:
		if (f->type == FRAME_HELLO)
			return on_hello(p, f);
		break;
	case PEER_INGEST: /* append is handled before */
	case PEER_CONTROL:
		break;
	case PEER_SINK:
		if (f->type == FRAME_SUBSCRIBE)
			return on_subscribe(p, f);
		break;
	case PEER_SUBSCRIBED:
		if (f->type == FRAME_COMMITTED && f->committed.stream_no == 0 &&
		    consumer_commit(p->consumer, f->committed.next_offset) == 0)
			return 0;
		if (f->type == FRAME_FLUSH && f->flush.stream_no == 0) {
			p->consumer->flush_requested = true;
			return 0;
		}
		break;
	case PEER_CLOSING:
		return -EPIPE;
	}
	return peer_refuse(p, ERROR_PROTOCOL, "a frame out of turn");
}

/* An ingestd's frame is received where its events must lie on disk. */
static int
read_ingest(struct peer *p)
{
	uint8_t *place = store_append_buffer(&p->server->store), *at;
	struct frame f;
	int n, rc;

	if (!place)
		return -EAGAIN;
	at = place - FRAME_APPEND_HEADER;
	n = chan_recv(&p->chan, at, FRAME_MAX);
	if (n == -EMSGSIZE)
		return peer_refuse(p, ERROR_PROTOCOL, "a frame is too large");
	if (n < 0)
		return n;
	rc = frame_read(at, (size_t)n, &f);
	if (rc < 0)
		return peer_refuse(p, ERROR_PROTOCOL, "a malformed frame");
	if (f.type != FRAME_APPEND)
		return peer_on_frame(p, &f);
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

/* Receive a frame that is no append, nor any that is read in place. */
static int
read_other(struct peer *p)
{
	struct frame f;
	int n = chan_recv(&p->chan, p->server->scratch, FRAME_MAX);

	if (n == -EMSGSIZE)
		return peer_refuse(p, ERROR_PROTOCOL, "a frame is too large");
	if (n < 0)
		return n;
	if (frame_read(p->server->scratch, (size_t)n, &f) < 0)
		return peer_refuse(p, ERROR_PROTOCOL, "a malformed frame");
	return peer_on_frame(p, &f);
}

int
peer_read_stats(struct peer *p)
{
	uint64_t type = 0;
	int rc = peek_type(p, &type);

	/* What is malformed, or the end, is met when events are read again. */
	if (rc < 0 || type != FRAME_STATS)
		return -EAGAIN;
	return read_other(p);
}

int
peer_read_last(struct peer *p)
{
	struct frame f;
	int n = chan_recv(&p->chan, p->server->scratch, FRAME_MAX);

	if (n < 0)
		return n;
	if (frame_read(p->server->scratch, (size_t)n, &f) < 0)
		return -EBADMSG;
	return f.type == FRAME_STATS ? peer_on_stats(p, &f) : 0;
}

bool
peer_has_sent(const struct peer *p)
{
	char byte;

	return recv(p->chan.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

int
peer_read(struct peer *p)
{
	return p->state == PEER_INGEST ? read_ingest(p) : read_other(p);
}

int
peer_flush(struct peer *p)
{
	int rc = flush_reply(p);

	if (rc == 0 && p->state == PEER_INGEST) {
		rc = flush_appended(p);
		if (rc == 0)
			rc = flush_intake(p);
		if (rc == 0)
			rc = flush_status(p);
	}
	return rc;
}

bool
peer_may_read(const struct peer *p)
{
	if (p->state == PEER_CLOSING || p->reply.len > 0 || p->done_this_turn)
		return false;
	return ack_queue_count(&p->acks) < UNANSWERED_MAX;
}

const char *
peer_state_name(enum peer_state state)
{
	switch (state) {
	case PEER_HELLO:
		return "hello";
	case PEER_INGEST:
		return "ingest";
	case PEER_SINK:
		return "connected";
	case PEER_SUBSCRIBED:
		return "subscribed";
	case PEER_CONTROL:
		return "control";
	case PEER_CLOSING:
		return "closing";
	}
	return "?";
}
