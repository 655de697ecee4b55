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
 * conn_change_state (conn_internal.h) is the only function that changes the
 * state.
 */
#ifndef LIBHTTP_CONN_H
#define LIBHTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/list.h"
#include "libhttp/chunked.h"
#include "libhttp/conn_limits.h"
#include "libhttp/head.h"
#include "libhttp/http.h"
#include "libhttp/server.h"
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

/* The deadline of the connection's state has passed. */
void conn_expire(struct conn *c);

/* Go on with a connection that was in the server's list `ready`. */
void conn_resume(struct conn *c);

#endif
