/* conn_respond - see conn_internal.h. */
#include <assert.h>
#include <errno.h>

#include "libhttp/conn_internal.h"
#include "libhttp/response.h"

/* A body up to this is copied to the head of its answer. */
#define COPIED_BODY_BYTES (16 * KIB)

/* Sending. */

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
int
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
int
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

/* The answer is sent. */
static void
after_response(struct conn *c)
{
	if (c->closes || c->server->stopping) {
		conn_linger(c);
		return;
	}
	conn_change_state(c, CONN_IDLE);
	if (!c->running &&
	    (c->in.len > 0 || (c->tls && tls_session_has_pending(c->tls))))
		conn_make_ready(c);
}

/* What follows from conn_flush and conn_send_or_hold for a response. */
void
conn_after_send(struct conn *c, int rc)
{
	if (rc == 0) {
		after_response(c);
	} else if (rc == -EAGAIN) {
		/* Its deadline counts from the first time. */
		if (c->state != CONN_SENDING)
			conn_change_state(c, CONN_SENDING);
	} else {
		conn_close(c);
	}
}

/* Responses. */

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
bool
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

/* Refusals. */

/*
 * Answer what never became a request.  The connection closes: where the next
 * request begins is not known.
 */
void
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
void
conn_refuse_head(struct conn *c, unsigned status, bool no_body, const char *why)
{
	note_malformed(c, status, why);
	conn_reject(c, status, no_body, why);
}

/* The program answers for a request whose body is not going to be read. */
void
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
