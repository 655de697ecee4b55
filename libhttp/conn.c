/* conn - see conn.h. */
#include "libhttp/conn.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Requests of one connection that are handled before others have a turn; and
 * of all connections, after which each has one more.
 */
#define REQUESTS_PER_TURN 64
#define ALL_REQUESTS_PER_TURN 256

/* Pieces of a stream that are sent before others have a turn. */
#define PIECES_PER_TURN 4

/* Connections of one state that may have to go for one other. */
#define VICTIMS_MAX 64

/* A body up to this is copied to the head of its answer. */
#define COPIED_BODY_BYTES (16 * KIB)

/* An answer, or what is left of one. */
#define OUT_BYTES_MAX (8 * MIB)

/* A chunk's size and CRLF before its bytes, and the CRLF after them. */
#define CHUNK_HEAD_BYTES 8
#define CHUNK_TAIL_BYTES 2

static void on_poll(uv_poll_t *poll, int status, int events);

/* States. */

static bool
is_pending(enum conn_state state)
{
	return state == CONN_PROCESSING || state == CONN_SENDING;
}

/* The one place that changes a state. */
static void
conn_change_state(struct conn *c, enum conn_state state)
{
	struct http_server *s = c->server;

	s->pending += is_pending(state);
	s->pending -= is_pending(c->state);
	c->state = state;
	conn_limits_change_state(&s->limits, &c->slot, state);
	if (state == CONN_PROCESSING)
		conn_limits_exempt(&c->slot);
}

/* Watch for these events; 0: for none. */
static void
conn_watch(struct conn *c, int events)
{
	if (events == c->watched)
		return;
	c->watched = events;
	/* Neither can fail for a handle that is not closing. */
	if (events == 0)
		(void)uv_poll_stop(&c->poll);
	else
		(void)uv_poll_start(&c->poll, events, on_poll);
}

/* Have conn_resume called in this turn of the loop, or in the next. */
static void
conn_make_ready(struct conn *c)
{
	struct http_server *s = c->server;

	if (!list_is_empty(&c->ready))
		return;
	list_append(&s->ready, &c->ready);
	/* The loop may be about to wait for events: it must not. */
	http_server_on_ready(s);
}

/* Memory, which is charged to the budget. */

static void
uncharge(struct http_server *s, size_t n)
{
	s->received_bytes -= n;
	budget_give(s->settings.budget, n);
}

/* Bytes that can be taken now. */
static size_t
room_left(const struct http_server *s)
{
	size_t ours = s->settings.max_received_bytes - s->received_bytes;
	size_t all = budget_left(s->settings.budget);

	return ours < all ? ours : all;
}

static size_t
conn_held_bytes(const struct conn *c)
{
	return c->in.cap + c->body.cap + c->out.cap;
}

/*
 * Find connections that have been sending a request, or taking an answer, for
 * a tenth of its time limit, the oldest of each state first, until they and
 * what is left make up n bytes.  Returns how many, or 0 if that is not enough:
 * then none is closed.
 */
static size_t
find_slow(const struct conn *for_whom, size_t n, struct conn *slow[VICTIMS_MAX])
{
	static const enum conn_state states[] = {CONN_BODY, CONN_HEAD,
	                                         CONN_DISCARD, CONN_SENDING,
	                                         CONN_STREAM_BLOCKED};
	const struct http_server *s = for_whom->server;
	const struct conn_limits *l = &s->limits;
	size_t found = 0, bytes = room_left(s);

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		uint64_t limit_ms = l->timeout_ms[states[i]] / 10;
		struct conn_slot *slot = conn_limits_oldest(l, states[i]);

		for (; slot && found < VICTIMS_MAX &&
		       l->now_ms - slot->entered_ms >= limit_ms;
		     slot = conn_limits_next(l, slot)) {
			struct conn *c = CONTAINER_OF(slot, struct conn, slot);

			if (c == for_whom || c->running ||
			    conn_held_bytes(c) == 0)
				continue;
			slow[found++] = c;
			bytes += conn_held_bytes(c);
			if (bytes >= n)
				return found;
		}
	}
	return 0;
}

/* What is held for whoever pays for this connection's body. */
static size_t
payer_bytes(const struct conn *c)
{
	return c->payer ? c->payer->held_bytes : conn_held_bytes(c);
}

/*
 * Of the oldest bodies, the first whose payer holds more than twice as much as
 * the one for whom room is looked for would hold, so that no two take turns at
 * evicting each other.  NULL: there is none.
 */
static struct conn *
find_greedy(const struct conn *for_whom, size_t n)
{
	struct http_server *s = for_whom->server;
	struct conn_slot *slot = conn_limits_oldest(&s->limits, CONN_BODY);
	size_t fair = 2 * (payer_bytes(for_whom) + n);

	for (int i = 0; slot && i < VICTIMS_MAX; i++) {
		struct conn *c = CONTAINER_OF(slot, struct conn, slot);

		if (c != for_whom && !c->running && c->body.cap > 0 &&
		    c->payer && c->payer->held_bytes > fair)
			return c;
		slot = conn_limits_next(&s->limits, slot);
	}
	return NULL;
}

/* Take n bytes; connections of others may have to go for them. */
static bool
charge(struct conn *c, size_t n)
{
	struct http_server *s = c->server;
	struct conn *slow[VICTIMS_MAX], *greedy;

	for (int i = 0; i < VICTIMS_MAX && n > room_left(s); i++) {
		greedy = find_greedy(c, n);
		if (!greedy)
			break;
		s->stats.evicted++;
		conn_close(greedy);
	}
	if (n > room_left(s)) {
		size_t found = find_slow(c, n, slow);

		for (size_t i = 0; i < found; i++) {
			s->stats.evicted++;
			conn_close(slow[i]);
		}
	}
	if (n > room_left(s) || !budget_take(s->settings.budget, n))
		return false;
	s->received_bytes += n;
	return true;
}

/*
 * Free one of the connection's buffers, for which `charged` bytes count.  That
 * is its size, but where memory for its growth was refused.
 */
static void
free_buffer(struct conn *c, struct buf *b, size_t charged)
{
	if (b == &c->body && c->payer)
		c->payer->held_bytes -= charged;
	uncharge(c->server, charged);
	buf_fini(b);
}

/* Empty one of the connection's buffers, and free its memory. */
static void
conn_release(struct conn *c, struct buf *b)
{
	free_buffer(c, b, b->cap);
}

/*
 * Append a copy to one of the connection's buffers.  The memory counts, not
 * only what is in it; and what has come counts, not what was announced, since
 * announcing costs a client nothing.  Returns false, with the buffer emptied,
 * if there is no memory for it.
 */
static bool
conn_hold(struct conn *c, struct buf *b, const void *bytes, size_t n)
{
	size_t before = b->cap;

	if (n == 0)
		return true;
	if (buf_reserve(b, n + HTTP_BODY_PADDING) < 0) {
		conn_release(c, b);
		return false;
	}
	if (!charge(c, b->cap - before)) {
		free_buffer(c, b, before);
		return false;
	}
	if (b == &c->body && c->payer)
		c->payer->held_bytes += b->cap - before;
	if (buf_add(b, bytes, n) == 0)
		return true;
	conn_release(c, b);
	return false;
}

void
http_set_payer(struct http_request *rq, struct http_payer *payer)
{
	struct conn *c = conn_of(rq);

	if (c->payer)
		c->payer->held_bytes -= c->body.cap;
	c->payer = payer;
	if (payer)
		payer->held_bytes += c->body.cap;
}

/* The end of a request and of a connection. */

static void
conn_end_request(struct conn *c)
{
	if (!c->rq.open)
		return;
	c->rq.open = false;
	c->rq.produce = NULL;
	http_set_payer(&c->rq, NULL);
	c->server->handler.on_end(&c->rq);
}

static void
conn_on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;
	struct http_server *s = c->server;

	/* Only now: handle_input may have been using them. */
	buf_fini(&c->in);
	buf_fini(&c->body);
	buf_fini(&c->out);
	free(c->chunked);
	free(c);
	http_server_on_handle_closed(s);
}

void
conn_close(struct conn *c)
{
	struct http_server *s = c->server;

	if (c->state == CONN_CLOSED)
		return;
	conn_end_request(c);
	conn_change_state(c, CONN_CLOSED);
	conn_limits_remove(&s->limits, &c->slot);
	s->stats.connections--;
	list_remove(&c->ready);
	uncharge(s, conn_held_bytes(c));
	tls_session_free(c->tls);
	c->tls = NULL;
	uv_close((uv_handle_t *)&c->poll, conn_on_closed);
	(void)close(c->fd); /* a socket: nothing to lose */
	c->fd = -1;
	http_server_on_room(s);
}

/*
 * Nothing more will be sent.  A socket that is closed with unread bytes resets
 * the connection, and the client may never see the answer; so what still
 * comes is read and dropped for a while.
 */
static void
conn_linger(struct conn *c)
{
	conn_end_request(c);
	if (c->tls)
		tls_session_close_notify(c->tls);
	if (c->at_end || shutdown(c->fd, SHUT_WR) < 0) {
		conn_close(c);
		return;
	}
	if (!c->running) { /* else keep_input does it */
		conn_release(c, &c->in);
		c->in_done = 0;
	}
	c->lingered = 0;
	conn_change_state(c, CONN_LINGER);
	conn_watch(c, UV_READABLE);
}

static void
read_lingering(struct conn *c)
{
	ssize_t n = recv(c->fd, c->server->recv, CONN_RECV_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->lingered += n > 0 ? (uint64_t)n : 0;
	/* A client that goes on for long does not read the answer. */
	if (n <= 0 || c->lingered > 2 * c->server->settings.max_body_bytes)
		conn_close(c);
}

/* Sending and receiving. */

/* The answer is sent. */
static void
after_response(struct conn *c)
{
	if (c->closes || c->server->stopping) {
		conn_linger(c);
		return;
	}
	conn_change_state(c, CONN_IDLE);
	conn_watch(c, UV_READABLE);
	if (!c->running &&
	    (c->in.len > 0 || (c->tls && tls_session_has_pending(c->tls))))
		conn_make_ready(c);
}

/* As send(2), over TLS if there is TLS; errors are negative. */
static ssize_t
conn_send(struct conn *c, const void *bytes, size_t n)
{
	ssize_t sent;

	if (c->tls)
		return tls_session_send(c->tls, bytes, n);
	do
		sent = send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

/* As recv(2), over TLS if there is TLS; errors are negative. */
static ssize_t
conn_recv(struct conn *c, void *out, size_t size)
{
	ssize_t n;

	if (c->tls)
		return tls_session_recv(c->tls, out, size);
	do
		n = recv(c->fd, out, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * Send the bytes from *done on, which is moved on.  Returns 0 when all n are
 * sent, -EAGAIN when the socket takes no more, or another -errno.
 */
static int
send_rest(struct conn *c, const void *bytes, size_t n, size_t *done)
{
	while (*done < n) {
		ssize_t sent =
		    conn_send(c, (const char *)bytes + *done, n - *done);

		if (sent < 0)
			return (int)sent;
		*done += (size_t)sent;
	}
	return 0;
}

/* Send what `out` holds.  Returns 0 when it is empty, or -errno. */
static int
conn_flush(struct conn *c)
{
	int rc = send_rest(c, c->out.data, c->out.len, &c->out_done);

	if (rc < 0)
		return rc;
	conn_release(c, &c->out);
	c->out_done = 0;
	return 0;
}

/*
 * Send an answer, of which the server's scratch buffer has the beginning, and
 * keep in `out` what the socket does not take.  Returns 0 when all is sent,
 * -EAGAIN when some is kept, or another -errno.
 */
static int
conn_send_or_hold(struct conn *c, const void *body, size_t body_bytes)
{
	struct buf *begin = &c->server->scratch;
	size_t sent = 0, body_sent = 0;
	int rc = 0;

	assert(c->out.len == 0);
	/* One packet, and one record of TLS, where they fit one. */
	if (body_bytes <= COPIED_BODY_BYTES) {
		rc = buf_add(begin, body, body_bytes);
		body = "";
		body_bytes = 0;
	}
	if (rc == 0)
		rc = send_rest(c, begin->data, begin->len, &sent);
	if (rc == 0)
		rc = send_rest(c, body, body_bytes, &body_sent);
	if (rc == -EAGAIN &&
	    (!conn_hold(c, &c->out, begin->data + sent, begin->len - sent) ||
	     !conn_hold(c, &c->out, (const char *)body + body_sent,
	                body_bytes - body_sent)))
		return -ENOBUFS;
	return rc;
}

/* What follows from conn_flush and conn_send_or_hold for a response. */
static void
conn_after_send(struct conn *c, int rc)
{
	if (rc == 0) {
		after_response(c);
	} else if (rc == -EAGAIN) {
		/* Its deadline counts from the first time. */
		if (c->state != CONN_SENDING)
			conn_change_state(c, CONN_SENDING);
		conn_watch(c, UV_WRITABLE);
	} else {
		conn_close(c);
	}
}

/* Answers. */

/*
 * Return true if the rest of the body may be read and dropped before the
 * answer is sent, so that the connection can go on.
 */
static bool
may_discard(const struct conn *c)
{
	return !c->rq.abandoned && !c->rq.expects &&
	       c->rq.left <= c->server->settings.max_body_bytes;
}

/*
 * Common to both kinds of answers: what they mean for the connection, and
 * the head, in the scratch buffer.  Returns false when the connection closed.
 */
static bool
conn_begin_response(struct conn *c, const struct http_response *a, bool streams)
{
	struct http_server *s = c->server;

	assert(c->rq.open);
	s->limits.now_ms = uv_now(s->loop);
	if (!c->rq.complete && (streams || !may_discard(c)))
		c->rq.abandoned = true;
	if (s->stopping || c->rq.abandoned || streams)
		c->closes = true;
	conn_limits_refresh(&s->limits, &c->slot);
	http_server_on_room(s); /* it can be evicted again */
	if (response_head(s, a, &c->rq, c->closes, streams) == 0)
		return true;
	conn_close(c); /* an answer cut short would be worse than none */
	return false;
}

void
http_respond(struct http_request *rq, const struct http_response *answer)
{
	struct conn *c = conn_of(rq);
	struct http_server *s = c->server;
	size_t body_bytes = rq->no_body ? 0 : answer->body_bytes;
	int rc;

	if (!conn_begin_response(c, answer, false))
		return;
	if (!rq->complete && !rq->abandoned) {
		if (conn_hold(c, &c->out, s->scratch.data, s->scratch.len) &&
		    conn_hold(c, &c->out, answer->body, body_bytes)) {
			conn_release(c, &c->body);
			conn_end_request(c);
			conn_change_state(c, CONN_DISCARD);
			return;
		}
		/* There is no memory to keep the answer: send it now. */
		c->closes = true;
	}
	rc = conn_send_or_hold(c, answer->body, body_bytes);
	conn_end_request(c);
	conn_after_send(c, rc);
}

void
http_respond_error(struct http_request *rq, unsigned status, const char *why,
                   const char *headers)
{
	char body[RESPONSE_ERROR_BYTES];
	struct http_response answer = {
	    .status = status,
	    .type = "application/json",
	    .headers = headers,
	    .body = body,
	    .body_bytes = response_error_body(body, status, why)};

	http_respond(rq, &answer);
}

/*
 * Answer what never became a request.  The connection closes: where the next
 * request begins is not known.
 */
static void
conn_reject(struct conn *c, unsigned status, bool no_body, const char *why)
{
	struct http_server *s = c->server;
	char body[RESPONSE_ERROR_BYTES];
	struct http_response answer = {
	    .status = status,
	    .type = "application/json",
	    .headers = status == 503 ? "Retry-After: 1\r\n" : NULL,
	    .body_bytes = response_error_body(body, status, why)};

	c->closes = true;
	c->rq = (struct http_request){.minor = 1};
	if (response_head(s, &answer, &c->rq, true, false) == 0)
		conn_after_send(
		    c, conn_send_or_hold(c, body,
		                         no_body ? 0 : answer.body_bytes));
	else
		conn_close(c);
}

/* Count and log a request that is not HTTP as we read it. */
static void
note_malformed(struct conn *c, unsigned status, const char *why)
{
	struct http_server *s = c->server;
	char address[HTTP_ADDRESS_TEXT];
	unsigned suppressed;

	s->stats.malformed++;
	if (!log_allow(&s->log, &suppressed))
		return;
	http_client_address(&c->rq, address);
	log_warn("request refused address=%s status=%u reason=%s "
	         "suppressed=%u",
	         address, status, log_quote(why), suppressed);
}

/* No request can be made of what has come. */
static void
conn_refuse_head(struct conn *c, unsigned status, bool no_body, const char *why)
{
	note_malformed(c, status, why);
	conn_reject(c, status, no_body, why);
}

/* The program answers for a request whose body is not going to be read. */
static void
conn_refuse_body(struct conn *c, unsigned status, const char *why)
{
	/* 413 and 503 leave it clear where a body with a length ends. */
	c->rq.abandoned |= status < 413 || c->rq.chunked;
	if (status == 400)
		note_malformed(c, status, why);
	c->server->handler.on_refuse(&c->rq, status, why);
	if (c->state == CONN_CLOSED)
		return;
	conn_release(c, &c->body);
	if (c->rq.open)
		conn_close(c); /* the program did not answer */
}

/* Streams. */

void
http_stream(struct http_request *rq, const struct http_response *answer,
            http_produce produce)
{
	struct conn *c = conn_of(rq);
	struct http_server *s = c->server;

	if (!conn_begin_response(c, answer, true))
		return;
	if (!conn_hold(c, &c->out, s->scratch.data, s->scratch.len)) {
		conn_close(c);
		return;
	}
	rq->produce = produce;
	rq->produces = true;
	if (rq->no_body) {
		conn_end_request(c);
		conn_after_send(c, conn_flush(c));
		return;
	}
	conn_change_state(c, CONN_STREAMING);
	conn_watch(c, UV_READABLE);
	conn_make_ready(c);
}

void
http_stream_wake(struct http_request *rq)
{
	struct conn *c = conn_of(rq);

	rq->produces = true;
	if (c->state == CONN_STREAMING)
		conn_make_ready(c);
}

/* Put the produced bytes, which lie in scratch, into a chunk of their own. */
static void
make_chunk(struct buf *scratch, size_t n)
{
	char head[CHUNK_HEAD_BYTES + 1];

	/* Leading zeros make the head of one length: 8 bytes. */
	(void)snprintf(head, sizeof head, "%06zx\r\n", n);
	memcpy(scratch->data, head, CHUNK_HEAD_BYTES);
	memcpy(scratch->data + CHUNK_HEAD_BYTES + n, "\r\n", CHUNK_TAIL_BYTES);
	scratch->len = CHUNK_HEAD_BYTES + n + CHUNK_TAIL_BYTES;
}

/*
 * Have a piece of a stream produced, and send it.  Returns 0, -EAGAIN when
 * the socket has not taken it all, or another -errno; *ended is set when
 * there will be no more.
 */
static int
send_stream_piece(struct conn *c, bool *ended)
{
	static const char last_chunk[] = "0\r\n\r\n";
	struct buf *scratch = &c->server->scratch;
	bool chunks = c->rq.minor > 0;
	size_t before = chunks ? CHUNK_HEAD_BYTES : 0;
	ssize_t n;

	buf_clear(scratch);
	if (buf_reserve(scratch, before + HTTP_STREAM_ROOM + CHUNK_TAIL_BYTES) <
	    0)
		return -ENOMEM;
	n = c->rq.produce(&c->rq, (char *)scratch->data + before,
	                  HTTP_STREAM_ROOM);
	*ended = n < 0;
	if (n == HTTP_STREAM_WAIT) {
		c->rq.produces = false;
		return 0;
	}
	if (n > 0) {
		assert((size_t)n <= HTTP_STREAM_ROOM);
		scratch->len = (size_t)n;
		if (chunks)
			make_chunk(scratch, (size_t)n);
	} else if (chunks &&
	           buf_add(scratch, last_chunk, sizeof last_chunk - 1) < 0) {
		return -ENOMEM;
	}
	return scratch->len > 0 ? conn_send_or_hold(c, NULL, 0) : 0;
}

static void
conn_stream_resume(struct conn *c)
{
	bool ended = false;
	int rc = conn_flush(c);

	for (int i = 0; rc == 0 && c->rq.produces && !ended; i++) {
		if (i == PIECES_PER_TURN) {
			conn_make_ready(c);
			break;
		}
		rc = send_stream_piece(c, &ended);
		if (c->state == CONN_CLOSED)
			return; /* by the program, while it produced */
	}
	if (ended) {
		conn_end_request(c);
		conn_after_send(c, rc);
	} else if (rc == -EAGAIN) {
		conn_change_state(c, CONN_STREAM_BLOCKED);
		conn_watch(c, UV_READABLE | UV_WRITABLE);
	} else if (rc < 0) {
		conn_close(c);
	} else if (c->state != CONN_STREAMING) {
		conn_change_state(c, CONN_STREAMING);
		conn_watch(c, UV_READABLE);
	}
}

/*
 * The client of a stream has sent something.  The end of its sending ends the
 * stream as well: it is how browsers leave, and nothing else would tell.
 */
static void
conn_stream_read(struct conn *c)
{
	ssize_t n = conn_recv(c, c->server->recv, CONN_RECV_BYTES);

	/* Bytes are dropped: the connection closes after the stream. */
	if (n <= 0 && n != -EAGAIN)
		conn_close(c);
}

/* Requests. */

/* The body is complete: n bytes, with room for the padding after them. */
static void
deliver_body(struct conn *c, char *body, size_t n)
{
	char after[HTTP_BODY_PADDING];

	c->rq.complete = true;
	/* They may be the next request's. */
	memcpy(after, body + n, sizeof after);
	c->server->handler.on_body(&c->rq, body, n);
	memcpy(body + n, after, sizeof after);
	if (c->state == CONN_CLOSED)
		return;
	conn_release(c, &c->body);
	if (c->rq.open && !c->rq.produce)
		conn_change_state(c, CONN_PROCESSING);
}

/*
 * The program has accepted the head: make ready for the body, of which `more`
 * bytes have come.
 */
static void
begin_body(struct conn *c, const struct http_head *head, size_t more)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (head->content_length > c->server->settings.max_body_bytes) {
		conn_refuse_body(c, 413,
		                 "the body is larger than max_body_bytes");
		return;
	}
	if (c->rq.chunked) {
		c->chunked = calloc(1, sizeof *c->chunked);
		if (!c->chunked) {
			conn_close(c);
			return;
		}
	}
	/* So a body takes no more memory than its length, once it is whole. */
	c->body.max_bytes = HTTP_BODY_PADDING +
	                    (c->rq.chunked ? c->server->settings.max_body_bytes
	                                   : (size_t)head->content_length);
	if (c->rq.expects && more == 0 &&
	    conn_send(c, go_on, sizeof go_on - 1) != sizeof go_on - 1) {
		conn_close(c); /* the socket cannot be so full */
		return;
	}
	c->rq.expects = false;
	conn_change_state(c, CONN_BODY);
}

static void
begin_request(struct conn *c, const struct http_head *head, size_t more)
{
	struct http_server *s = c->server;

	c->rq = (struct http_request){
	    .open = true,
	    .no_body = slice_is(head->method, "HEAD"),
	    .chunked = head->chunked,
	    .expects = head->expect_continue,
	    .left = head->content_length,
	    .minor = head->minor,
	    .complete = !head->chunked && head->content_length == 0,
	};
	if (c->rq.complete)
		c->rq.expects = false; /* there is nothing to hold back */
	free(c->chunked);
	c->chunked = NULL;
	c->closes = !head->keep_alive;
	memset(c->data, 0, s->handler.data_bytes);
	s->stats.requests++;
	s->handler.on_head(&c->rq, head);
	if (c->state == CONN_CLOSED || !c->rq.open || c->rq.produce)
		return; /* answered already */
	if (c->rq.complete)
		deliver_body(c, s->recv, 0);
	else
		begin_body(c, head, more);
}

/* Bytes that have been received and not been handled yet. */
struct input {
	char *at;
	size_t n; /* HTTP_BODY_PADDING bytes more can be overwritten */
};

static void
consume(struct input *in, size_t n)
{
	in->at += n;
	in->n -= n;
}

/* Each of these returns true if it is worth to look at the input again. */

static bool
parse_head(struct conn *c, struct input *in)
{
	struct http_server *s = c->server;
	const char *why;
	ssize_t n = head_scan(&c->scan, in->at, in->n);
	int status;

	if (n == 0 && in->n <= s->settings.max_header_bytes) {
		if (c->state == CONN_IDLE)
			conn_change_state(c, CONN_HEAD);
		return false;
	}
	c->scan = (struct head_scan){0};
	if (n == HEAD_SCAN_BAD) {
		conn_refuse_head(
		    c, 400, false,
		    "the request line and headers must be lines that "
		    "end with CRLF, without control characters");
		return false;
	}
	if (n == 0 || (size_t)n > s->settings.max_header_bytes) {
		conn_refuse_head(c, 431, false,
		                 "the request line and headers are larger than "
		                 "max_header_bytes");
		return false;
	}
	status = head_parse(in->at, (size_t)n, &s->head, &why);
	if (status != 0) {
		conn_refuse_head(c, (unsigned)status,
		                 slice_is(s->head.method, "HEAD"), why);
		return false;
	}
	consume(in, (size_t)n);
	begin_request(c, &s->head, in->n);
	return true;
}

static bool
read_length_body(struct conn *c, struct input *in)
{
	size_t n = in->n < c->rq.left ? in->n : (size_t)c->rq.left;
	char *body = in->at;

	if (n == 0)
		return false;
	consume(in, n);
	c->rq.left -= n;
	if (c->body.len == 0 && c->rq.left == 0) {
		deliver_body(c, body, n); /* in place */
	} else if (!conn_hold(c, &c->body, body, n)) {
		conn_refuse_body(c, 503, "there is no memory left for bodies");
	} else if (c->rq.left == 0) {
		deliver_body(c, (char *)c->body.data, c->body.len);
	}
	return true;
}

/*
 * A body that arrives whole is put together where it was received; its pieces
 * only move towards its beginning.
 */
static bool
read_chunked_body(struct conn *c, struct input *in)
{
	size_t max = c->server->settings.max_body_bytes, n = 0, bytes;
	size_t before = in->n;
	char *body = in->at, *data;
	enum chunked_result result;

	while ((result = chunked_read(c->chunked, &in->at, &in->n, &data,
	                              &bytes)) == CHUNKED_DATA) {
		/* The rest of the chunk is announced: no need to wait. */
		if (bytes + c->chunked->left > max - c->body.len - n) {
			conn_refuse_body(
			    c, 413, "the body is larger than max_body_bytes");
			return true;
		}
		memmove(body + n, data, bytes);
		n += bytes;
	}
	/* Its lines and extensions may not be endless either. */
	c->rq.discarded += before - in->n - n;
	if (c->rq.discarded > max) {
		conn_refuse_body(
		    c, 413, "the chunk lines are larger than max_body_bytes");
		return true;
	}
	if (result == CHUNKED_BAD) {
		conn_refuse_body(c, 400, c->chunked->why);
	} else if (result == CHUNKED_END && c->body.len == 0) {
		deliver_body(c, body, n);
	} else if (!conn_hold(c, &c->body, body, n)) {
		conn_refuse_body(c, 503, "there is no memory left for bodies");
	} else if (result == CHUNKED_END) {
		deliver_body(c, (char *)c->body.data, c->body.len);
	} else {
		return false;
	}
	return true;
}

/*
 * Return true if a body that has been refused is through, or too long to wait
 * for its end.
 */
static bool
discard_some(struct conn *c, struct input *in)
{
	enum chunked_result result;
	size_t n = in->n;
	char *data;

	if (!c->rq.chunked) {
		n = n < c->rq.left ? n : (size_t)c->rq.left;
		consume(in, n);
		c->rq.left -= n;
		return c->rq.left == 0;
	}
	if (!c->chunked) /* refused before the body began */
		c->chunked = calloc(1, sizeof *c->chunked);
	c->closes |= !c->chunked;
	if (!c->chunked)
		return true;
	do
		result = chunked_read(c->chunked, &in->at, &in->n, &data, &n);
	while (result == CHUNKED_DATA);
	c->closes |= result == CHUNKED_BAD;
	return result != CHUNKED_MORE;
}

static bool
discard_body(struct conn *c, struct input *in)
{
	char *from = in->at;
	bool over = discard_some(c, in);

	c->rq.discarded += (uint64_t)(in->at - from);
	if (!over && c->rq.discarded <= 2 * c->server->settings.max_body_bytes)
		return false;
	c->closes |= !over;
	conn_after_send(c, conn_flush(c));
	return true;
}

static bool
advance_request(struct conn *c, struct input *in)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		return in->n > 0 && parse_head(c, in);
	case CONN_BODY:
		return c->rq.chunked ? read_chunked_body(c, in)
		                     : read_length_body(c, in);
	case CONN_DISCARD:
		return discard_body(c, in);
	case CONN_HANDSHAKE:
	case CONN_PROCESSING:
	case CONN_SENDING:
	case CONN_STREAMING:
	case CONN_STREAM_BLOCKED:
	case CONN_LINGER:
	case CONN_CLOSED:
		break;
	}
	return false;
}

/* Drop what is handled from the connection's own buffer. */
static void
compact_input(struct conn *c)
{
	size_t before = c->in.cap;

	c->in.len -= c->in_done;
	memmove(c->in.data, c->in.data + c->in_done, c->in.len);
	c->in_done = 0;
	buf_trim(&c->in, HTTP_BODY_PADDING);
	uncharge(c->server, before - c->in.cap);
}

/* Keep what could not be handled, for later. */
static void
keep_input(struct conn *c, const struct input *in)
{
	bool kept_already = c->in.len > 0;

	if (c->state == CONN_CLOSED)
		return;
	if (in->n == 0 || c->state == CONN_LINGER) {
		conn_release(c, &c->in);
		c->in_done = 0;
	} else if (kept_already) {
		c->in_done = (size_t)((uint8_t *)in->at - c->in.data);
		/* Half of it at a time, so each byte is moved once. */
		if (c->in_done > c->in.len / 2)
			compact_input(c);
	} else if (!conn_hold(c, &c->in, in->at, in->n)) {
		/* A request that waits is still answered; what follows is
		 * not, which the closed connection says. */
		c->closes = true;
		if (c->state == CONN_HEAD || c->state == CONN_IDLE)
			conn_reject(c, 503, false,
			            "there is no memory left for requests");
	}
}

/*
 * Handle the input, which lies in the server's receive buffer or in the
 * connection's own, as far as it goes.
 */
static void
handle_input(struct conn *c, struct input in)
{
	unsigned requests = 0;

	c->running = true;
	while (advance_request(c, &in)) {
		if (c->state != CONN_IDLE)
			continue;
		c->server->turn_requests++;
		if (++requests == REQUESTS_PER_TURN ||
		    c->server->turn_requests > ALL_REQUESTS_PER_TURN) {
			if (in.n > 0)
				conn_make_ready(c);
			break;
		}
	}
	c->running = false;
	keep_input(c, &in);
}

/* n bytes have come into the server's receive buffer. */
static void
handle_received(struct conn *c, size_t n)
{
	struct http_server *s = c->server;

	if (c->in.len == 0) {
		handle_input(c, (struct input){s->recv, n});
		return;
	}
	if (c->in_done > 0)
		compact_input(c);
	if (!conn_hold(c, &c->in, s->recv, n)) {
		c->in_done = 0;
		conn_reject(c, 503, false,
		            "there is no memory left for requests");
		return;
	}
	handle_input(c, (struct input){(char *)c->in.data, c->in.len});
}

/* Receiving. */

/* The client sends no more. */
static void
end_input(struct conn *c)
{
	c->at_end = true;
	if (c->state != CONN_DISCARD) {
		conn_close(c); /* between requests, or inside one */
		return;
	}
	c->closes = true;
	conn_after_send(c, conn_flush(c));
}

static void
conn_receive(struct conn *c)
{
	ssize_t n = conn_recv(c, c->server->recv, CONN_RECV_BYTES);

	if (n == -EAGAIN)
		return;
	if (n < 0)
		conn_close(c);
	else if (n == 0)
		end_input(c);
	else
		handle_received(c, (size_t)n);
}

/* TLS may have taken more out of the socket than was asked for. */
static void
check_tls_pending(struct conn *c)
{
	if (c->tls && tls_session_has_pending(c->tls) &&
	    (c->state == CONN_IDLE || c->state == CONN_HEAD ||
	     c->state == CONN_BODY || c->state == CONN_DISCARD))
		conn_make_ready(c);
}

static void
continue_handshake(struct conn *c)
{
	struct http_server *s = c->server;
	char address[HTTP_ADDRESS_TEXT];
	bool want_write = false;
	const char *why;
	unsigned suppressed;
	int rc = tls_session_handshake(c->tls, &want_write, &why);

	if (rc == 0) {
		conn_change_state(c, CONN_IDLE);
		conn_watch(c, UV_READABLE);
		return;
	}
	if (rc == -EAGAIN) {
		conn_watch(c, want_write ? UV_WRITABLE : UV_READABLE);
		return;
	}
	if (log_allow(&s->log, &suppressed)) {
		http_client_address(&c->rq, address);
		log_warn("TLS handshake failed address=%s err=%s suppressed=%u",
		         address, log_quote(why), suppressed);
	}
	conn_close(c);
}

/* Events. */

static void
on_readable(struct conn *c)
{
	if (!list_is_empty(&c->ready))
		return; /* first what it has already sent */
	switch (c->state) {
	case CONN_HANDSHAKE:
		continue_handshake(c);
		break;
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_DISCARD:
		conn_receive(c);
		break;
	case CONN_PROCESSING:
	case CONN_SENDING:
		/* The next request, or the end; after this one's answer. */
		conn_watch(c, c->watched & ~UV_READABLE);
		break;
	case CONN_STREAMING:
	case CONN_STREAM_BLOCKED:
		conn_stream_read(c);
		break;
	case CONN_LINGER:
		read_lingering(c);
		break;
	case CONN_CLOSED:
		break;
	}
}

static void
on_writable(struct conn *c)
{
	if (c->state == CONN_HANDSHAKE)
		continue_handshake(c);
	else if (c->state == CONN_SENDING)
		conn_after_send(c, conn_flush(c));
	else if (c->state == CONN_STREAM_BLOCKED)
		conn_stream_resume(c);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;

	c->server->limits.now_ms = uv_now(c->server->loop);
	if (status < 0) {
		/*
		 * The socket has an error, and libuv has ceased to watch it.
		 * Sending or receiving will return the error.
		 */
		events = c->watched;
		c->watched = 0;
	}
	if (events & UV_WRITABLE)
		on_writable(c);
	if (events & UV_READABLE && c->state != CONN_CLOSED)
		on_readable(c);
	if (c->state == CONN_CLOSED)
		return;
	check_tls_pending(c);
	if (status < 0 && c->watched == 0 && !is_pending(c->state))
		conn_watch(c, UV_READABLE);
}

void
conn_resume(struct conn *c)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_DISCARD:
		if (c->in.len > c->in_done && c->state == CONN_IDLE)
			handle_input(
			    c, (struct input){(char *)c->in.data + c->in_done,
			                      c->in.len - c->in_done});
		else if (c->tls)
			conn_receive(c);
		check_tls_pending(c);
		break;
	case CONN_STREAMING:
		conn_stream_resume(c);
		break;
	case CONN_HANDSHAKE:
	case CONN_PROCESSING:
	case CONN_SENDING:
	case CONN_STREAM_BLOCKED:
	case CONN_LINGER:
	case CONN_CLOSED:
		break;
	}
}

void
conn_expire(struct conn *c)
{
	c->server->stats.overdue +=
	    c->state != CONN_IDLE && c->state != CONN_LINGER;
	switch (c->state) {
	case CONN_HEAD:
		conn_reject(c, 408, false, "the headers did not come in time");
		break;
	case CONN_BODY:
		conn_refuse_body(c, 408, "the body did not come in time");
		break;
	case CONN_DISCARD:
		c->closes = true;
		conn_after_send(c, conn_flush(c));
		break;
	case CONN_HANDSHAKE:
	case CONN_IDLE:
	case CONN_PROCESSING:
	case CONN_SENDING:
	case CONN_STREAMING:
	case CONN_STREAM_BLOCKED:
	case CONN_LINGER:
	case CONN_CLOSED:
		conn_close(c);
	}
}

/* Its beginning. */

static int
conn_start(struct conn *c, const struct sockaddr *from)
{
	struct http_server *s = c->server;
	int on = 1, rc = 0;

	/* An answer is sent when it is written.  (Not all sockets are TCP.) */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (s->settings.tls) {
		rc = tls_session_new(&c->tls, s->settings.tls, c->fd);
		c->state = CONN_HANDSHAKE;
	}
	if (rc == 0)
		rc = conn_limits_add(&s->limits, &c->slot, c->state, from);
	if (rc < 0)
		return rc;
	rc = uv_poll_init_socket(s->loop, &c->poll, c->fd);
	if (rc < 0)
		conn_limits_remove(&s->limits, &c->slot);
	return rc;
}

int
conn_open(struct http_server *s, int fd, const struct sockaddr *from)
{
	struct conn *c = calloc(1, sizeof *c + s->handler.data_bytes);
	int rc = c ? 0 : -ENOMEM;

	if (rc == 0) {
		c->server = s;
		c->fd = fd;
		c->state = CONN_IDLE;
		list_init(&c->ready);
		buf_init(&c->in, s->settings.max_header_bytes +
		                     2 * CONN_RECV_BYTES + HTTP_BODY_PADDING);
		buf_init(&c->body,
		         s->settings.max_body_bytes + HTTP_BODY_PADDING);
		buf_init(&c->out, OUT_BYTES_MAX);
		rc = conn_start(c, from);
	}
	if (rc < 0) {
		if (c)
			tls_session_free(c->tls);
		free(c);
		(void)close(fd);
		return rc;
	}
	c->poll.data = c;
	s->handles++;
	s->stats.connections++;
	conn_watch(c, UV_READABLE);
	return 0;
}

/* What programs ask of a request. */

void *
http_arg(const struct http_request *rq)
{
	return conn_of(rq)->server->handler.arg;
}

void *
http_data(struct http_request *rq)
{
	return conn_of(rq)->data;
}

struct http_request *
http_request_of(void *data)
{
	return &CONTAINER_OF(data, struct conn, data)->rq;
}

void
http_client_address(const struct http_request *rq, char out[HTTP_ADDRESS_TEXT])
{
	struct sockaddr_storage at;
	socklen_t n = sizeof at;

	if (getpeername(conn_of(rq)->fd, (struct sockaddr *)&at, &n) < 0 ||
	    getnameinfo((struct sockaddr *)&at, n, out, HTTP_ADDRESS_TEXT, NULL,
	                0, NI_NUMERICHOST) != 0)
		(void)snprintf(out, HTTP_ADDRESS_TEXT, "unknown");
}
