/*
 * conn - one connection of a server (inside libhttp; programs want http.h).
 *
 * States, and what ends each:
 *
 *	HANDSHAKE       TLS is being agreed on       header_timeout_ms
 *	IDLE            no byte of a request yet     idle_timeout_ms
 *	HEAD            part of a head has come      header_timeout_ms: 408
 *	BODY            part of a body has come      request_timeout_ms: 408
 *	DISCARD         the same, of a body that has been refused; the answer
 *	                waits in `out`               request_timeout_ms: answer
 *	WAITING         the program has the request  none
 *	ANSWER          the socket cannot take more  request_timeout_ms
 *	STREAM          the program has nothing to send at the moment    none
 *	STREAM_BLOCKED  the socket cannot take more  request_timeout_ms
 *	LINGER          the answer is sent, and sending is shut down; what
 *	                still comes is dropped       LINGER_MS
 *	CLOSED          waits for libuv to let go of it
 *
 *	HANDSHAKE -> IDLE -> HEAD -> BODY -> WAITING -> ANSWER -> IDLE
 *	               |              |         |         |
 *	               +--(whole)-----+---------+         +-> LINGER -> CLOSED
 *	                              +-> DISCARD -> ANSWER
 *
 * A request that arrives whole goes from IDLE to WAITING at once, and an
 * answer that the socket takes at once from WAITING to IDLE.
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

/* Enough for a client to read an answer that came before its body's end. */
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
	bool no_body;   /* HEAD: the answer's body is left out */
	bool chunked;   /* as the request's body is sent */
	bool expects;   /* 100-continue, which has not been sent */
	bool complete;  /* the body has come */
	bool abandoned; /* the rest of the body cannot be, or is not, read */
	unsigned minor;
	uint64_t left;      /* bytes of the body to come, unless chunked */
	uint64_t discarded; /* bytes that came as body and were dropped */
	http_produce produce;
	bool produces; /* produce has something */
};

struct conn {
	struct http_server *server;
	uv_poll_t poll;
	int fd;
	int watched; /* UV_READABLE, UV_WRITABLE */
	enum conn_state state;
	struct conn_slot slot;
	struct list_link ready;  /* in the server's list */
	struct tls_session *tls; /* NULL: plain */
	bool running;            /* handle_input is further up the stack */
	bool at_end;             /* the client has closed its sending side */
	bool closes;             /* after the answer */
	struct head_scan scan;
	struct buf in;  /* received, but not handled yet; a request begins */
	size_t in_done; /* of it, handled */
	struct buf body;
	struct http_payer *payer; /* of the open request's body; or NULL */
	struct chunked *chunked;  /* of a chunked body */
	struct buf out;           /* of an answer, not sent */
	size_t out_done;          /* of it, sent */
	uint64_t lingered;        /* bytes */
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

/* Close at once, whatever it does; its memory lives until libuv lets go. */
void conn_close(struct conn *c);

/* Its deadline has passed. */
void conn_expire(struct conn *c);

/* It was in the server's list `ready`. */
void conn_resume(struct conn *c);

#endif
