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
#include "libbase/log.h"
#include "libhttp/chunked.h"
#include "libhttp/conn_limits.h"
#include "libhttp/head.h"
#include "libhttp/http.h"
#include "libhttp/tls.h"

/* The buffer that all connections of a server receive into. */
#define CONN_RECV_BYTES (256 * KIB)

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

struct http_server {
	struct http_settings settings;
	struct http_handler handler;
	struct http_stats stats;
	uv_loop_t *loop;
	unsigned handles; /* that libuv has not let go of */
	bool closing;
	bool stopping; /* quiesced: each answer closes its connection */

	int listen_fd; /* -1: does not listen */
	uv_poll_t listener;
	bool accepting; /* the listener is watched */
	char address[HTTP_ADDRESS_TEXT];
	unsigned port;

	struct conn_limits limits;
	uv_timer_t deadlines; /* runs while there are connections */
	uint64_t tick_ms;
	uint64_t pending;      /* connections in WAITING or ANSWER */
	size_t received_bytes; /* memory of connections' `in`, `body`, `out` */

	struct list_link ready; /* have something to do, without an event */
	unsigned turn_requests; /* answered at once in this turn of the loop */
	uv_check_t turn;
	uv_idle_t again; /* runs while `ready` is not empty */

	struct http_head head; /* of the request that is being read */
	char *recv;            /* CONN_RECV_BYTES and the body's padding */
	struct buf scratch;    /* of the answer that is being written */
	struct log_limit log;  /* of what clients cause */
	char date[32];         /* as the Date header has it */
	int64_t date_s;        /* the second that `date` is of */
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

/* response.c */

/*
 * Write the head of an answer into the server's scratch buffer, which it
 * empties first.  Returns 0 or -ENOMEM.
 */
MUST_USE int response_head(struct http_server *s, const struct http_response *a,
                           const struct http_request *rq, bool closes,
                           bool streams);

/*
 * Write the body of an error, {"error":NAME,"reason":WHY}, and return its
 * length.  A reason that is too long is cut.
 */
#define RESPONSE_ERROR_BYTES 1024
size_t response_error_body(char out[RESPONSE_ERROR_BYTES], unsigned status,
                           const char *why);

/* server.c */

/* There is a connection in `ready`. */
void http_server_on_ready(struct http_server *s);

/* A connection has ended, or can be evicted again: there may be room. */
void http_server_on_room(struct http_server *s);

/* libuv has let go of a handle; the server is freed after the last one. */
void http_server_on_handle_closed(struct http_server *s);

#endif
