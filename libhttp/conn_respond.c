/* conn_respond - see conn.h. */
#include <assert.h>
#include <errno.h>

#include "libhttp/conn.h"

/*
 * A body up to this size is copied after the head, so that both go out with
 * one system call.  A larger body is sent from where it is, with a second call.
 */
#define COPIED_BODY_BYTES (16 * KIB)

/* Sending. */

/*
 * Send the bytes from *done to n, and advance *done.  Returns 0 when all n are
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

int
conn_send_or_hold(struct conn *c, const void *body, size_t body_bytes)
{
	struct buf *begin = &c->server->scratch;
	size_t sent = 0, body_sent = 0;
	int rc = 0;

	assert(c->out.len == 0);
	/* This also makes one packet and one TLS record if they fit. */
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

/*
 * The response is sent: close, or wait for the next request.  What has already
 * arrived of it is handled by handle_input if that is further up the stack, or
 * else in the next turn of the loop; the socket will not report it again.
 */
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

void
conn_after_send(struct conn *c, int rc)
{
	if (rc == 0) {
		after_response(c);
	} else if (rc == -EAGAIN) {
		/*
		 * A client must take the whole response within one time limit,
		 * so the deadline counts from the first -EAGAIN.
		 */
		if (c->state != CONN_SENDING)
			conn_change_state(c, CONN_SENDING);
	} else {
		conn_close(c);
	}
}

/* Responses. */

/*
 * Return true if the rest of the body can be read and dropped before the
 * response is sent, so that the connection stays usable.  A client that
 * expects 100-continue may or may not send the body, so that the beginning of
 * its next request could not be found.
 */
static bool
may_discard(const struct conn *c)
{
	return !c->rq.abandoned && !c->rq.expects &&
	       c->rq.left <= c->server->settings.max_body_bytes;
}

bool
conn_begin_response(struct conn *c, const struct http_response *response,
                    bool streams)
{
	struct http_server *s = c->server;

	assert(c->rq.open);
	s->limits.now_ms = uv_now(s->loop);
	if (!c->rq.complete && (streams || !may_discard(c)))
		c->rq.abandoned = true;
	if (s->stopping || c->rq.abandoned || streams)
		c->closes = true;
	conn_limits_refresh(&s->limits, &c->slot);
	http_server_on_room(s); /* this connection can be evicted again */
	if (response_head(c, response, streams) == 0)
		return true;
	conn_close(c); /* a part of a response would be worse than none */
	return false;
}

void
http_respond(struct http_request *rq, const struct http_response *response)
{
	struct conn *c = conn_of(rq);
	struct http_server *s = c->server;
	size_t body_bytes = rq->no_body ? 0 : response->body_bytes;
	int rc;

	if (!conn_begin_response(c, response, false))
		return;
	if (!rq->complete && !rq->abandoned) {
		if (conn_hold(c, &c->out, s->scratch.data, s->scratch.len) &&
		    conn_hold(c, &c->out, response->body, body_bytes)) {
			conn_release(c, &c->body);
			conn_end_request(c);
			conn_change_state(c, CONN_DISCARD);
			return;
		}
		/* There is no memory to keep the response: send it now. */
		c->closes = true;
	}
	rc = conn_send_or_hold(c, response->body, body_bytes);
	conn_end_request(c);
	conn_after_send(c, rc);
}

void
http_respond_error(struct http_request *rq, unsigned status, const char *why,
                   const char *headers)
{
	char body[RESPONSE_ERROR_BYTES];
	struct http_response response = {
	    .status = status,
	    .type = "application/json",
	    .headers = headers,
	    .body = body,
	    .body_bytes = response_error_body(body, status, why)};

	http_respond(rq, &response);
}

/* Refusals. */

void
conn_reject(struct conn *c, unsigned status, bool no_body, const char *why)
{
	char body[RESPONSE_ERROR_BYTES];
	struct http_response response = {
	    .status = status,
	    .type = "application/json",
	    .headers = status == 503 ? "Retry-After: 1\r\n" : NULL,
	    .body_bytes = response_error_body(body, status, why)};

	c->closes = true;
	c->rq = (struct http_request){.minor = 1};
	if (response_head(c, &response, false) == 0)
		conn_after_send(
		    c, conn_send_or_hold(c, body,
		                         no_body ? 0 : response.body_bytes));
	else
		conn_close(c);
}

/* Count and log a request that the parser refuses. */
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

void
conn_refuse_head(struct conn *c, unsigned status, bool no_body, const char *why)
{
	note_malformed(c, status, why);
	conn_reject(c, status, no_body, why);
}

void
conn_refuse_body(struct conn *c, unsigned status, const char *why)
{
	/*
	 * After 413 and 503 the end of a body with Content-Length is still
	 * known, so that http_respond may discard the rest and keep the
	 * connection.  After 400 the body is malformed, after 408 it does not
	 * arrive, and a chunked one may have no end.
	 */
	c->rq.abandoned |= status < 413 || c->rq.chunked;
	if (status == 400)
		note_malformed(c, status, why);
	c->server->handler.on_refuse(&c->rq, status, why);
	if (c->state == CONN_CLOSED)
		return;
	conn_release(c, &c->body);
	if (c->rq.open)
		conn_close(c); /* the program did not respond */
}
