/*
 * http - an HTTP/1.1 server on a libuv loop.
 *
 * A program opens a server with a handler.  For each request the server calls
 * on_head once the request line and the headers are complete, on_body once
 * the body is complete, and on_end when it needs the request no more.  The
 * handler answers a request once, with http_respond or http_stream: inside
 * on_head (which refuses the body), inside on_body, or at any later time.
 *
 * Connections carry one request at a time.  Requests that a client pipelines
 * wait, unparsed, until the one before them has been answered, so answers go
 * out in order.
 *
 * The server reads HTTP/1.1 and 1.0 as RFC 9112 defines them, without the
 * tolerances that the RFC allows: two programs that read a sloppy request
 * differently are how requests are smuggled past a proxy.  Whatever is
 * malformed gets one answer, 400, and the connection closes.  head.h and
 * chunked.h list the rules.
 *
 * Memory.  A request that arrives in one piece is parsed where it was
 * received, in a buffer that all connections share.  Only what is incomplete
 * is copied, and these copies are charged to a budget: max_received_bytes of
 * it at most.  When the budget is used up, the oldest bodies of a payer who
 * holds much (http_set_payer), or else the slowest ones, lose their
 * connections, and new bodies are refused with 503.
 *
 * Time.  Each state of a connection has a deadline (conn.h), except waiting
 * for the program's answer, which is the program's to limit.
 *
 * Connections.  When max_connections is nearly reached, each new connection
 * closes an older one: the one that has gone longest without completing a
 * request, be it idle or in the middle of one, and first among those of an
 * address that holds more than its share (conn_limits.h).
 *
 * Everything runs on the loop's thread.  The loop is the only type of another
 * library in this interface.
 */
#ifndef LIBHTTP_HTTP_H
#define LIBHTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libbase/base.h"
#include "libbase/budget.h"
#include "libhttp/head.h"

struct uv_loop_s; /* libuv's uv_loop_t */
struct http_server;
struct http_request;
struct http_tls; /* tls.h */

/* Bytes after a body that on_body may overwrite (simdjson wants 64). */
#define HTTP_BODY_PADDING 64

/* Room for an address as text, with its NUL. */
#define HTTP_ADDRESS_TEXT 64

struct http_handler {
	/*
	 * The request line and headers have arrived.  `head` and all slices
	 * in it are valid until on_head returns: copy what is needed later.
	 */
	void (*on_head)(struct http_request *rq, const struct http_head *head);

	/*
	 * The body has arrived: n bytes, possibly 0.  They may be changed, as
	 * may HTTP_BODY_PADDING bytes after them, until on_body returns.
	 */
	void (*on_body)(struct http_request *rq, char *body, size_t n);

	/*
	 * The server gives up on the rest of the request, for one of the
	 * statuses 400, 408, 413 or 503 and for `why`, a sentence without a
	 * full stop.  Answer with it, before this returns; the connection may
	 * close afterwards.
	 */
	void (*on_refuse)(struct http_request *rq, unsigned status,
	                  const char *why);

	/*
	 * The request is over, answered or not.  Release what http_data
	 * refers to; rq is invalid from here on.
	 */
	void (*on_end)(struct http_request *rq);

	/*
	 * All that had arrived by this turn of the loop has been handled: the
	 * place to send what several requests have gathered.  May be NULL.
	 */
	void (*on_turn)(void *arg);

	void *arg;         /* of on_turn, and http_arg returns it */
	size_t data_bytes; /* of http_data */
};

struct http_settings {
	const char *listen; /* numeric address; NULL: http_server_adopt only */
	unsigned port;      /* 0: any free one */
	struct http_tls *tls; /* NULL: plain HTTP; must outlive the server */

	size_t max_header_bytes; /* request line and headers */
	size_t max_body_bytes;
	struct budget *budget;     /* of the program; must outlive the server */
	size_t max_received_bytes; /* the part of it that requests may fill */

	unsigned max_connections;
	unsigned address_share_percent; /* of max_connections; 1 to 100 */

	uint64_t idle_timeout_ms; /* between requests */
	uint64_t
	    header_timeout_ms; /* TLS handshake; first byte to last header */
	uint64_t request_timeout_ms; /* the body; and taking the answer */
};

/* What a server has counted since it was opened. */
struct http_stats {
	uint64_t connections; /* open now */
	uint64_t requests;    /* whose head was complete and well-formed */
	uint64_t malformed;   /* answered with 400, 417, 431 or 505 by us */
	uint64_t overdue;     /* connections closed by a deadline */
	uint64_t evicted;     /* connections closed to make room */
};

/* The server. */

/*
 * Listen, and serve once the loop runs.  settings and handler are copied;
 * what they point to must outlive the server.  Returns 0 with *server to be
 * given to http_server_close; or -errno, after saying why in the log, with
 * *server NULL.
 */
MUST_USE int http_server_open(struct http_server **server,
                              struct uv_loop_s *loop,
                              const struct http_settings *settings,
                              const struct http_handler *handler);

/*
 * Serve a connected stream socket as if it had been accepted.  The server
 * owns fd from here on, and closes it on failure too.  Returns 0 or -errno.
 */
MUST_USE int http_server_adopt(struct http_server *server, int fd);

/*
 * Stop to listen, and let each connection end with its next answer.
 * Connections that are idle close now.
 */
void http_server_quiesce(struct http_server *server);

/* Requests whose answer is not wholly sent: those on_body has been given. */
uint64_t http_server_pending(const struct http_server *server);

/*
 * Close all connections and free the server once the loop has run the close
 * callbacks.  Requests that still wait for the program's answer are dropped:
 * on_end is called for each.
 */
void http_server_close(struct http_server *server);

const struct http_stats *http_server_stats(const struct http_server *server);

/* The address and port that the server is bound to. */
const char *http_server_address(const struct http_server *server);
unsigned http_server_port(const struct http_server *server);

/* A request. */

/* The handler's arg. */
void *http_arg(const struct http_request *rq);

/* data_bytes bytes of the program's own, zeroed before on_head. */
void *http_data(struct http_request *rq);

/*
 * Who sends a request, as far as memory goes: all requests of one token have
 * one payer, say.  In the program's memory, which must outlive the requests;
 * zeroed at first.
 */
struct http_payer {
	size_t held_bytes; /* of bodies that have not come to their end */
};

/*
 * From on_head: the memory that this request's body takes counts for the payer.
 * When memory is short, the oldest bodies of payers who hold more than twice as
 * much as the one that asks for more lose their connections.
 */
void http_set_payer(struct http_request *request, struct http_payer *payer);

/* The request that has this http_data. */
struct http_request *http_request_of(void *data);

/* The client's address as text. */
void http_client_address(const struct http_request *rq,
                         char out[HTTP_ADDRESS_TEXT]);

/* Answers. */

struct http_response {
	unsigned status;
	const char *type;    /* of the content; NULL: there is no content */
	const char *headers; /* more lines, each with its CRLF; may be NULL */
	const void *body;    /* copied where it cannot be sent at once */
	size_t body_bytes;
};

/*
 * Answer a request, once.  The server adds Date, Content-Length and
 * Connection, and leaves the body out of the answer to HEAD.  on_end is called
 * before this returns.  When the answer cannot be sent, the connection closes.
 *
 * An answer given before the body has arrived refuses it.  A short rest of
 * the body is read and dropped first, so that the connection stays usable; a
 * long one, or one that the client holds back (Expect: 100-continue), closes
 * the connection after the answer.
 */
void http_respond(struct http_request *rq, const struct http_response *answer);

/*
 * Answer with {"error":...,"reason":why} in JSON, the error being the name of
 * the status.  headers is as in struct http_response.
 */
void http_respond_error(struct http_request *rq, unsigned status,
                        const char *why, const char *headers);

/*
 * Write up to `room` bytes of an answer to out.  Returns how many, or
 * HTTP_STREAM_WAIT: nothing now, http_stream_wake will say when; or
 * HTTP_STREAM_END: the answer is complete.
 */
typedef ssize_t (*http_produce)(struct http_request *rq, char *out,
                                size_t room);
#define HTTP_STREAM_WAIT 0
#define HTTP_STREAM_END (-1)

/*
 * Answer with content that is produced over time.  `answer` has no body.
 * produce is called, never from inside this call, whenever the socket can
 * take more; so what it writes is as new as can be, and nothing is queued for
 * a slow client.  Its room is at least HTTP_STREAM_ROOM bytes.  on_end is
 * called when the answer is complete or the client has gone.  The connection
 * closes after the answer, which says so; requests that the client sends
 * meanwhile are dropped.
 */
#define HTTP_STREAM_ROOM ((size_t)16 * 1024)
void http_stream(struct http_request *rq, const struct http_response *answer,
                 http_produce produce);

/* produce has something again. */
void http_stream_wake(struct http_request *rq);

#endif
