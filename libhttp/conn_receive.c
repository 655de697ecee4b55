/* conn_receive - see conn.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libhttp/conn.h"

/*
 * How many requests of one connection are handled before other connections
 * have a turn; and of all connections together in one turn of the loop, after
 * which each connection has only one more, so that timers stay punctual.
 */
#define REQUESTS_PER_TURN 64
#define ALL_REQUESTS_PER_TURN 256

/* Requests. */

/*
 * The body is complete: n bytes, with room for the padding after them.  The
 * program may overwrite the padding, which can be the client's next request in
 * the receive buffer, so it is restored afterwards.
 */
static void
deliver_body(struct conn *c, char *body, size_t n)
{
	char after[HTTP_BODY_PADDING];

	c->rq.complete = true;
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
 * The program has accepted the head: prepare for the body.  `more` bytes have
 * arrived after the head; if there are any, the client does not wait for 100
 * (Continue).
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
	/* A buffer doubles as it grows: limit it to the body's length. */
	c->body.max_bytes = HTTP_BODY_PADDING +
	                    (c->rq.chunked ? c->server->settings.max_body_bytes
	                                   : (size_t)head->content_length);
	if (c->rq.expects && more == 0 &&
	    conn_send(c, go_on, sizeof go_on - 1) != sizeof go_on - 1) {
		conn_close(c); /* this client has not read earlier responses */
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
		c->rq.expects = false; /* there is no body to hold back */
	free(c->chunked);
	c->chunked = NULL;
	c->closes = !head->keep_alive;
	memset(c->data, 0, s->handler.data_bytes);
	s->stats.requests++;
	s->handler.on_head(&c->rq, head);
	if (c->state == CONN_CLOSED || !c->rq.open || c->rq.produce)
		return; /* the program has responded */
	if (c->rq.complete)
		deliver_body(c, s->recv, 0);
	else
		begin_body(c, head, more);
}

/*
 * Bytes that were received and are not handled yet: in the server's receive
 * buffer, or in the connection's own buffer `in`.
 */
struct input {
	char *at;
	size_t n; /* and HTTP_BODY_PADDING bytes after them can be changed */
};

static void
consume(struct input *in, size_t n)
{
	in->at += n;
	in->n -= n;
}

/*
 * Each of the functions below handles what it can of the input.  It returns
 * true if the input should be looked at again, because the state has changed
 * or there is more to handle; and false if more must be received first.
 */

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
 * A chunked body that arrives as a whole is assembled in place, where it was
 * received: the data of each chunk moves towards the beginning, over the
 * chunks' lines.  Only a body that arrives in parts is copied to `body`.
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
		/* The chunk's size is known: do not wait for the rest of it. */
		if (bytes + c->chunked->left > max - c->body.len - n) {
			conn_refuse_body(
			    c, 413, "the body is larger than max_body_bytes");
			return true;
		}
		memmove(body + n, data, bytes);
		n += bytes;
	}
	/*
	 * The chunks' lines and extensions need a limit, too, or a client could
	 * send them without end at the cost of no memory.
	 */
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
 * Drop what has arrived of a body that has been refused.  Returns true if
 * there is no more of it, or if its end can no longer be found.
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
		break; /* what follows is for after the response */
	}
	return false;
}

/* Remove what is handled from the connection's own buffer. */
static void
compact_input(struct conn *c)
{
	c->in.len -= c->in_done;
	memmove(c->in.data, c->in.data + c->in_done, c->in.len);
	c->in_done = 0;
	conn_trim(c, &c->in, HTTP_BODY_PADDING);
}

/* Keep in `in` what was not handled, for a later turn. */
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
		/*
		 * Move the rest only when at least half is handled: over all
		 * turns each byte is then moved about once, where moving it
		 * after each turn would take quadratic time.
		 */
		if (c->in_done > c->in.len / 2)
			compact_input(c);
	} else if (!conn_hold(c, &c->in, in->at, in->n)) {
		/*
		 * The request that is being processed is still answered.  What
		 * follows it is not; the client learns that from the closed
		 * connection.
		 */
		c->closes = true;
		if (c->state == CONN_HEAD || c->state == CONN_IDLE)
			conn_reject(c, 503, false,
			            "there is no memory left for requests");
	}
}

/*
 * Handle as much of the input as possible, up to the number of requests for
 * which this connection has a turn, and keep the rest.
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

/*
 * n bytes were received into the server's buffer.  They are handled there,
 * unless they continue something that the connection holds already.
 */
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

/*
 * The client has ended its sending.  That ends the connection, even within a
 * request, except that a response which waited for the end of a refused body
 * is still sent.
 */
static void
end_input(struct conn *c)
{
	c->at_end = true;
	if (c->state != CONN_DISCARD) {
		conn_close(c);
		return;
	}
	c->closes = true;
	conn_after_send(c, conn_flush(c));
}

void
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

void
conn_handle_held(struct conn *c)
{
	handle_input(c, (struct input){(char *)c->in.data + c->in_done,
	                               c->in.len - c->in_done});
}
