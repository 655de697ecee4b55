/* conn - see conn.h. */
#include "libhttp/conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The most of a response that is kept until the socket takes it. */
#define OUT_BYTES_MAX (8 * MIB)

static void on_poll(uv_poll_t *poll, int status, int events);

/* States. */

/* Return true if http_stats.pending counts a connection in this state. */
static bool
is_pending(enum conn_state state)
{
	return state == CONN_PROCESSING || state == CONN_SENDING;
}

/* Poll the socket for these libuv events; 0 stops polling. */
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

/*
 * Poll for what a connection in this state can act on.  A connection whose
 * request is being processed keeps what it polled for before: usually the
 * response comes before the client sends more, and changing the set of events
 * twice for each request would cost two system calls.  on_readable stops the
 * polling if the client does send more.
 */
static void
watch_for_state(struct conn *c)
{
	switch (c->state) {
	case CONN_HANDSHAKE:
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_DISCARD:
	case CONN_STREAMING:
	case CONN_LINGER:
		conn_watch(c, UV_READABLE);
		break;
	case CONN_SENDING:
		conn_watch(c, UV_WRITABLE);
		break;
	case CONN_STREAM_BLOCKED:
		conn_watch(c, UV_READABLE | UV_WRITABLE);
		break;
	case CONN_PROCESSING:
	case CONN_CLOSED:
		break;
	}
}

void
conn_change_state(struct conn *c, enum conn_state state)
{
	struct http_server *s = c->server;

	s->stats.pending += is_pending(state);
	s->stats.pending -= is_pending(c->state);
	c->state = state;
	conn_limits_change_state(&s->limits, &c->slot, state);
	if (state == CONN_PROCESSING)
		conn_limits_exempt(&c->slot);
	watch_for_state(c);
}

void
conn_make_ready(struct conn *c)
{
	struct http_server *s = c->server;

	if (!list_is_empty(&c->ready))
		return;
	list_append(&s->ready, &c->ready);
	/* The loop may be about to wait for events, which it must not do. */
	http_server_on_ready(s);
}

/* The end of a request and of a connection. */

void
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

	/* Not before: handle_input was perhaps using them (see conn_close). */
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
	conn_uncharge(c);
	tls_session_free(c->tls);
	c->tls = NULL;
	uv_close((uv_handle_t *)&c->poll, conn_on_closed);
	(void)close(c->fd); /* a socket: nothing to lose */
	c->fd = -1;
	http_server_on_room(s);
}

void
conn_evict(struct conn *c)
{
	c->server->stats.evicted++;
	conn_close(c);
}

void
conn_linger(struct conn *c)
{
	conn_end_request(c);
	if (c->tls)
		tls_session_close_notify(c->tls);
	if (c->at_end || shutdown(c->fd, SHUT_WR) < 0) {
		conn_close(c);
		return;
	}
	if (!c->running) { /* otherwise keep_input does it */
		conn_release(c, &c->in);
		c->in_done = 0;
	}
	c->lingered = 0;
	conn_change_state(c, CONN_LINGER);
}

static void
read_lingering(struct conn *c)
{
	ssize_t n = recv(c->fd, c->server->recv, CONN_RECV_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->lingered += n > 0 ? (uint64_t)n : 0;
	/* A client that sends that much is not going to read the response. */
	if (n <= 0 || c->lingered > 2 * c->server->settings.max_body_bytes)
		conn_close(c);
}

/* Events. */

/*
 * GnuTLS may have taken more from the socket than it has returned, and the
 * socket will not become readable for that.  Look at the connection again in
 * the next turn, if its state reads.
 */
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

static void
on_readable(struct conn *c)
{
	if (!list_is_empty(&c->ready))
		return; /* what is held already comes first */
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
		/*
		 * The client sends its next request, or ends its sending.
		 * Either is read after the response to this one.
		 */
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
		 * The socket has an error, and libuv has stopped polling it.
		 * Sending or receiving below will return the error.
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
	if (status < 0 && c->watched == 0)
		watch_for_state(c);
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
			conn_handle_held(c);
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
		break; /* the state has changed since conn_make_ready */
	}
}

void
conn_expire(struct conn *c)
{
	c->server->stats.overdue +=
	    c->state != CONN_IDLE && c->state != CONN_LINGER;
	switch (c->state) {
	case CONN_HEAD:
		conn_reject(c, 408, false,
		            "the headers did not arrive in time");
		break;
	case CONN_BODY:
		conn_refuse_body(c, 408, "the body did not arrive in time");
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

/* Opening. */

static int
conn_start(struct conn *c, const struct sockaddr *from)
{
	struct http_server *s = c->server;
	int on = 1, rc = 0;

	/*
	 * Send each response without waiting for more to send.  This fails,
	 * harmlessly, for an adopted socket that is not TCP.
	 */
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
	watch_for_state(c);
	return 0;
}

/* What a program can ask of a request. */

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
