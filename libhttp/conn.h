/*
 * conn - one connection of a server (inside libhttp; programs include http.h).
 *
 * The states, what the connection waits for in each, and the time limit with
 * what happens when it passes:
 *
 *	HANDSHAKE       for the TLS handshake        header_timeout_ms: close
 *	IDLE            for the first byte of a request
 *	                                             idle_timeout_ms: close
 *	HEAD            for the rest of a head       header_timeout_ms: 408
 *	BODY            for the rest of a body       request_timeout_ms: 408
 *	DISCARD         for the rest of a body that has been refused; the
 *	                response is in `out`         request_timeout_ms: send it
 *	PROCESSING      for the program's response   none
 *	SENDING         for the socket to take more of the response
 *	                                             request_timeout_ms: close
 *	STREAMING       for the program to have something to send
 *	                                             none
 *	STREAM_BLOCKED  for the socket to take more of the stream
 *	                                             request_timeout_ms: close
 *	LINGER          for the client to close; the response is sent, and what
 *	                still arrives is dropped     CONN_LINGER_MS: close
 *	CLOSED          for libuv to release the handle
 *
 *	HANDSHAKE -> IDLE -> HEAD -> BODY -> PROCESSING -> SENDING -> IDLE
 *	               |             |         |            |
 *	               +--(whole)----+---------+            +-> LINGER
 *	                             |         |                  |
 *	                             |         +-> STREAMING      +-> CLOSED
 *	                             |         |   <-> STREAM_BLOCKED
 *	                             +-> DISCARD -> SENDING
 *
 * A request that arrives whole goes from IDLE to PROCESSING at once, and a
 * response that the socket takes at once goes from PROCESSING to IDLE.
 * conn_change_state is the only function that changes the state.
 */
#ifndef LIBHTTP_CONN_H
#define LIBHTTP_CONN_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <uv.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/list.h"
#include "libhttp/chunked.h"
#include "libhttp/conn_limits.h"
#include "libhttp/head.h"
#include "libhttp/http.h"
#include "libhttp/server_state.h"
#include "libhttp/tls.h"

/* Enough for a client to read a response that came before its body's end. */
#define CONN_LINGER_MS 5000

enum conn_state {
	CONN_HANDSHAKE,
	CONN_IDLE,
	CONN_HEAD,
	CONN_BODY,
	CONN_DISCARD,
	CONN_PROCESSING,
	CONN_SENDING,
	CONN_STREAMING,
	CONN_STREAM_BLOCKED,
	CONN_LINGER,
	CONN_CLOSED,
};

/* One request of a connection. */
struct http_request {
	bool open;      /* on_head has been called, on_end has not */
	bool no_body;   /* the method is HEAD: the response has no body */
	bool chunked;   /* the request's body is */
	bool expects;   /* 100-continue, which has not been sent */
	bool complete;  /* the body has arrived */
	bool abandoned; /* the rest of the body cannot be read, or is not */
	unsigned minor; /* HTTP/1.minor */
	uint64_t left;  /* bytes of the body to come, unless it is chunked */
	uint64_t discarded;   /* bytes that came as body and were dropped */
	http_produce produce; /* NULL: not a stream */
	bool produces;        /* produce has something to send */
};

struct conn {
	struct http_server *server;
	uv_poll_t poll;
	int fd;
	int watched; /* UV_READABLE, UV_WRITABLE */
	enum conn_state state;
	struct conn_slot slot;
	struct list_link ready;  /* in the server's list */
	struct tls_session *tls; /* NULL: plain HTTP */
	bool running;            /* handle_input is further up the stack */
	bool at_end;             /* the client has closed its sending side */
	bool closes;             /* after the response */
	struct head_scan scan;
	struct buf in;  /* received, but not handled yet; a request begins */
	size_t in_done; /* bytes of it that are handled */
	struct buf body;
	struct http_payer *payer; /* of the open request's body; or NULL */
	struct chunked *chunked;  /* of a chunked body */
	struct buf out;           /* of a response, not sent */
	size_t out_done;          /* bytes of it that are sent */
	uint64_t lingered;        /* bytes that were dropped in LINGER */
	struct http_request rq;
	max_align_t data[]; /* the program's */
};

static inline struct conn *
conn_of(const struct http_request *rq)
{
	return CONTAINER_OF(rq, struct conn, rq);
}

/* What server.c calls. */

/*
 * Serve fd, which the connection owns from here on, and which is closed on
 * failure.  Returns 0 or -errno.
 */
MUST_USE int conn_open(struct http_server *s, int fd,
                       const struct sockaddr *from);

/*
 * Close the connection at once, in any state; a request that is open ends.
 * The memory stays valid until libuv has called the close callback, so a
 * caller further up the stack can still look at the state.
 */
void conn_close(struct conn *c);

/* Close the connection to make room for another one. */
void conn_evict(struct conn *c);

/* The deadline of the connection's state has passed. */
void conn_expire(struct conn *c);

/* Go on with a connection that was in the server's list `ready`. */
void conn_resume(struct conn *c);

/*
 * The rest is for the files of a connection: conn.c has the states, the events
 * of the loop and the deadlines; conn_receive.c reads and parses requests;
 * conn_respond.c sends a response from memory, and conn_stream.c one that is
 * produced over time; response.c writes the head of either; conn_memory.c
 * charges for what is held.
 *
 * Any of these functions may close the connection, and most can call the
 * program, which may respond.  A caller looks at the state again afterwards.
 */

/* conn.c */

/*
 * Enter a state, which may be the present one again; its deadline counts from
 * now.  Counts the pending requests, moves the connection to the
 * list of its state's deadlines, protects one whose request is being processed
 * from eviction, and polls for the events that the state acts on.  No other
 * function changes a state.
 */
void conn_change_state(struct conn *c, enum conn_state state);

/* Have conn_resume called in this turn of the loop, or in the next. */
void conn_make_ready(struct conn *c);

/* Call on_end, unless the request has ended already. */
void conn_end_request(struct conn *c);

/*
 * The last response is sent: shut down sending, and close the connection when
 * the client has done so, too.  A socket that is closed with unread bytes
 * resets the connection, and the client might never see the response; so what
 * still arrives is read and dropped for a while.
 */
void conn_linger(struct conn *c);

/* conn_memory.c: the buffers `in`, `body` and `out`. */

/*
 * Append a copy of n bytes to one of the buffers.  All memory that the buffer
 * has counts, not only what is filled; and it counts when the bytes arrive,
 * not when they are announced, since announcing costs a client nothing.
 * Connections of other clients may be evicted for it.  Returns false, with the
 * buffer empty, if there is not enough memory.
 */
MUST_USE bool conn_hold(struct conn *c, struct buf *b, const void *bytes,
                        size_t n);

/* Empty one of the buffers, and free its memory. */
void conn_release(struct conn *c, struct buf *b);

/* Free a buffer's memory beyond `spare` bytes after its content. */
void conn_trim(struct conn *c, struct buf *b, size_t spare);

/* The connection closes: no longer charge for its buffers. */
void conn_uncharge(struct conn *c);

/* conn_receive.c */

/* Receive once, and handle what came. */
void conn_receive(struct conn *c);

/* Handle what is in `in`, which another turn of the loop has left. */
void conn_handle_held(struct conn *c);

/* conn_respond.c */

/*
 * Send what `out` holds.  Returns 0 when all of it is sent, -EAGAIN when the
 * socket takes no more, or another -errno.
 */
MUST_USE int conn_flush(struct conn *c);

/*
 * Send what the server's scratch buffer holds and then `body`, and keep in
 * `out` what the socket does not take.  Returns 0 when all is sent, -EAGAIN
 * when some is kept, -ENOBUFS if there is no memory to keep it, or another
 * -errno.
 */
MUST_USE int conn_send_or_hold(struct conn *c, const void *body,
                               size_t body_bytes);

/*
 * Go on after a response was given to conn_flush or conn_send_or_hold, which
 * returned rc: wait for the next request, wait for the socket, or close.
 */
void conn_after_send(struct conn *c, int rc);

/*
 * The first steps of both kinds of responses: decide whether the connection
 * closes afterwards, and write the response's head into the scratch buffer.
 * Returns false if there was no memory, and the connection is closed.
 */
MUST_USE bool conn_begin_response(struct conn *c,
                                  const struct http_response *response,
                                  bool streams);

/*
 * Respond to bytes that never became a request, without the program, and
 * close: it is not known where the next request begins.
 */
void conn_reject(struct conn *c, unsigned status, bool no_body,
                 const char *why);

/* The same for a malformed head, which is counted and logged. */
void conn_refuse_head(struct conn *c, unsigned status, bool no_body,
                      const char *why);

/* The rest of the body is not accepted; the program responds (on_refuse). */
void conn_refuse_body(struct conn *c, unsigned status, const char *why);

/* response.c */

/*
 * Write the head of a response to the open request into the server's scratch
 * buffer, which it empties first.  c->closes announces that the connection
 * closes afterwards; `streams` means that the length of the content is not
 * known.  Returns 0 or -ENOMEM.
 */
MUST_USE int response_head(const struct conn *c,
                           const struct http_response *response, bool streams);

/*
 * Write the body of an error, {"error":NAME,"reason":WHY}, and return its
 * length.  A long reason is cut to some 500 bytes.
 */
#define RESPONSE_ERROR_BYTES 1024
size_t response_error_body(char out[RESPONSE_ERROR_BYTES], unsigned status,
                           const char *why);

/* conn_stream.c */

/* Send what is held of a stream, and have more produced. */
void conn_stream_resume(struct conn *c);

/* The client of a stream has sent something, or closed. */
void conn_stream_read(struct conn *c);

/* As send(2), through TLS if there is a session; returns -errno on errors. */
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

/* As recv(2), through TLS if there is a session; returns -errno on errors. */
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
