/*
 * conn_internal - what the files of one connection (conn*.c) share.
 */
#ifndef LIBHTTP_CONN_INTERNAL_H
#define LIBHTTP_CONN_INTERNAL_H

#include <errno.h>
#include <sys/socket.h>

#include "libhttp/conn.h"

/* conn.c */

/* The one function that changes a state. */
void conn_change_state(struct conn *c, enum conn_state state);

/* Have conn_resume called in this turn of the loop, or in the next. */
void conn_make_ready(struct conn *c);

void conn_end_request(struct conn *c);

/* XL */
void conn_linger(struct conn *c);

/* conn_memory.c */

bool conn_hold(struct conn *c, struct buf *b, const void *bytes, size_t n);
void conn_release(struct conn *c, struct buf *b);
void conn_trim(struct conn *c, struct buf *b, size_t spare);
void conn_uncharge(struct conn *c);

/* conn_receive.c */

void conn_receive(struct conn *c);
void conn_handle_held(struct conn *c);

/* conn_respond.c */

MUST_USE int conn_flush(struct conn *c);
MUST_USE int conn_send_or_hold(struct conn *c, const void *body,
                               size_t body_bytes);
void conn_after_send(struct conn *c, int rc);
MUST_USE bool conn_begin_response(struct conn *c, const struct http_response *a,
                                  bool streams);
void conn_reject(struct conn *c, unsigned status, bool no_body,
                 const char *why);
void conn_refuse_head(struct conn *c, unsigned status, bool no_body,
                      const char *why);
void conn_refuse_body(struct conn *c, unsigned status, const char *why);

/* conn_stream.c */

void conn_stream_resume(struct conn *c);
void conn_stream_read(struct conn *c);

/* The socket, for all of these. */

/* As send(2), over TLS if there is TLS; errors are negative. */
static inline ssize_t
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
static inline ssize_t
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

#endif
