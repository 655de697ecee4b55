/*
 * http - an HTTP/1.1 server on a libuv loop.
 *
 * This header is the whole interface for a program.  The other headers of
 * this directory that a program may need are head.h (the request), tls.h
 * (certificates), tokens.h and auth.h (who sends it), and cors.h (web pages).
 *
 * A program opens a server with a handler.  For each request the server calls
 *
 *	on_head     once the request line and the headers are complete,
 *	on_body     once the body is complete (it may be empty),
 *	on_refuse   instead of on_body, if the body cannot be accepted,
 *	on_end      when the server no longer needs the request.
 *
 * on_head and on_end are called once for each request; a request whose head is
 * malformed is refused by the server and never reaches the handler.  The
 * program responds to each request exactly once, with http_respond,
 * http_respond_error or http_stream: inside on_head (which refuses the body),
 * inside on_body, or at any later time until on_end.  To on_refuse it responds
 * at once, with one of the first two.
 *
 * A connection carries one request at a time.  Requests that a client
 * pipelines wait, unparsed, until the one before them has been answered, so
 * responses go out in order.
 *
 * The server reads HTTP/1.1 and 1.0 as RFC 9112 defines them, without the
 * tolerances that the RFC allows, because requests are smuggled past a proxy
 * when two programs read a malformed request differently.  A malformed request
 * gets one response, usually 400, and the connection closes.  head.h and
 * chunked.h list the rules.
 *
 * Threads.  Everything runs on the loop's thread: all functions must be called
 * there, and all callbacks are made there.  The loop is the only type of
 * another library in this interface.
 *
 * Lifetimes.  A request exists from on_head until on_end returns; its pointer
 * and its http_data are invalid afterwards.  on_end can come whenever the loop
 * runs, because a client may leave, a deadline may pass, or the connection may
 * be evicted.  It also comes from inside the program's own calls:
 *
 * - http_respond and http_respond_error call on_end of the request that they
 *   answer, always, before they return;
 * - http_stream calls it when there will be no content to produce (a response
 *   to HEAD) and when the connection fails;
 * - http_server_close calls it for all requests;
 * - http_respond, http_respond_error and http_stream may need memory to keep
 *   what a socket does not take, may evict other connections for it, and then
 *   call on_end of the requests of those.  So a program that walks a list of
 *   requests and responds to each must expect that any other element leaves
 *   the list meanwhile.  http_stream_wake never calls back, so a list can be
 *   walked with it.
 *
 * Memory.  A request that arrives in one piece is parsed where it was
 * received, in a buffer that all connections share.  Only what is incomplete
 * is copied.  These copies, and responses that a socket does not take at once,
 * are charged to a budget, of which a server may use max_received_bytes.  When
 * that is used up, connections are closed to make room: first those with the
 * oldest bodies of a payer that holds much (http_set_payer), then the slowest.
 * If that is not enough, new bodies are refused with 503.
 *
 * Back-pressure.  While a request is processed, the server stops to read from
 * its connection, so that a client that pipelines is slowed down by TCP.  In
 * the other direction, http_respond takes a whole body and holds what the
 * socket does not take, whereas http_stream asks the program for content only
 * when the socket can take it: a slow client makes nothing grow.
 *
 * Time.  Each state of a connection has a deadline (conn.h), except while the
 * program processes a request and while a stream has nothing to send.  To
 * limit these is up to the program.
 *
 * Connections.  When max_connections is nearly reached, each new connection
 * evicts an older one: the one that has gone longest without completing a
 * request, whether it is idle, in the middle of a request or streaming, and
 * first among those of an address that holds more than its share
 * (conn_limits.h).  A connection whose request is being processed stays.
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

/* Bytes after a body that on_body may overwrite (simdjson needs 64). */
#define HTTP_BODY_PADDING 64

/* Room for an address as text, with its NUL. */
#define HTTP_ADDRESS_TEXT 64

struct http_handler {
	/*
	 * The request line and the headers are complete.  `head` and all
	 * slices in it are valid until on_head returns; copy what is needed
	 * later.  Unless the request is answered here, on_body or on_refuse
	 * follows, if the connection lasts that long.
	 */
	void (*on_head)(struct http_request *rq, const struct http_head *head);

	/*
	 * The body is complete: n bytes, possibly 0.  Until on_body returns,
	 * the program may change them, and HTTP_BODY_PADDING bytes after them;
	 * afterwards they are invalid.
	 */
	void (*on_body)(struct http_request *rq, char *body, size_t n);

	/*
	 * The server does not accept the rest of the body, for one of the
	 * statuses 400, 408, 413 and 503 and the reason `why`, a sentence
	 * without a full stop.  The program must respond with that status,
	 * from memory, before this returns; otherwise the connection closes
	 * without a response.
	 */
	void (*on_refuse)(struct http_request *rq, unsigned status,
	                  const char *why);

	/*
	 * The request is over, whether it was answered or not: it is too late
	 * to respond.  Release what http_data refers to.  rq is invalid once
	 * this returns.  Do not respond to another request from here either:
	 * the server may be in the middle of writing a response, and may have
	 * ended this request to get memory for it.
	 */
	void (*on_end)(struct http_request *rq);

	/*
	 * Called at the end of each turn of the loop, after all that had
	 * arrived by then was handled.  A program that gathers the events of
	 * several requests sends them here.  May be NULL.
	 */
	void (*on_turn)(void *arg);

	void *arg;         /* passed to on_turn, and returned by http_arg */
	size_t data_bytes; /* of http_data */
};

struct http_settings {
	const char *listen; /* numeric address; NULL: http_server_adopt only */
	unsigned port;      /* 0: any free one */
	/* Other processes of this user may listen on the port as well; the
	 * kernel then distributes the connections. */
	bool shares_port;
	/*
	 * Size of each connection's buffer in the kernel, in bytes; 0: the
	 * system's, which grows to megabytes.  What is in it is as old as a
	 * slow client is slow, so a program whose streams show the present
	 * keeps it small.
	 */
	int send_buffer_bytes;

	/* NULL for plain HTTP; else loaded, and it must outlive the server. */
	struct http_tls *tls;

	size_t max_header_bytes; /* request line and headers */
	size_t max_body_bytes;
	struct budget *budget;     /* of the program; must outlive the server */
	size_t max_received_bytes; /* the part of it that the server may use */

	unsigned max_connections;
	unsigned address_share_percent; /* of max_connections; 1 to 100 */

	uint64_t idle_timeout_ms; /* between requests */
	uint64_t
	    header_timeout_ms; /* TLS handshake; first byte to last header */
	uint64_t request_timeout_ms; /* the body; and taking the response */
};

/* What a server has counted since it was opened. */
struct http_stats {
	uint64_t connections; /* open now */
	uint64_t pending;     /* requests that are processed, or whose response
	                         is partly sent, streams excepted */
	uint64_t requests;    /* whose head was complete and well-formed */
	uint64_t malformed;   /* refused by the server: 400, 417, 431 or 505 */
	uint64_t overdue;     /* connections closed by a deadline */
	uint64_t evicted;     /* connections closed to make room */
};

/* The server. */

/*
 * Listen, and serve once the loop runs.  settings and handler are copied; what
 * they point to must outlive the server.  Returns 0 with *server to be given
 * to http_server_close; or -errno with *server NULL, after logging the reason
 * if the address or port cannot be used.
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
 * Stop listening, close idle connections, and close every other connection
 * after its next response.  A stream goes on until its produce function
 * returns HTTP_STREAM_END.
 */
void http_server_quiesce(struct http_server *server);

/*
 * Close all connections now, calling on_end for each request, answered or not.
 * The server is freed once the loop has run the close callbacks.
 */
void http_server_close(struct http_server *server);

const struct http_stats *http_server_stats(const struct http_server *server);

/* The address and port that the server is bound to. */
const char *http_server_address(const struct http_server *server);
unsigned http_server_port(const struct http_server *server);

/* A request.  All of these may be called until on_end returns. */

/* The handler's arg. */
void *http_arg(const struct http_request *rq);

/* data_bytes bytes of the program's own, zeroed before on_head. */
void *http_data(struct http_request *rq);

/*
 * The account to which the memory of requests is charged.  A program has one
 * for each party that should get a fair share, such as one for each token.  It
 * is in the program's memory, zeroed at first, and must outlive the requests
 * that refer to it.
 */
struct http_payer {
	size_t held_bytes; /* of bodies that are not complete yet */
};

/*
 * Call in on_head: the memory for this request's body is charged to the payer.
 * When memory is short, the server closes connections with the oldest bodies
 * whose payer holds more than twice as much as the payer that needs more.
 */
void http_set_payer(struct http_request *request, struct http_payer *payer);

/* The request that has this http_data. */
struct http_request *http_request_of(void *data);

/* The client's address as text, or "unknown". */
void http_client_address(const struct http_request *rq,
                         char out[HTTP_ADDRESS_TEXT]);

/* Responses. */

struct http_response {
	unsigned status;
	const char *type;    /* Content-Type; NULL if there is no content */
	const char *headers; /* more lines, each with its CRLF; may be NULL */
	const void *body;    /* copied if it cannot be sent at once */
	size_t body_bytes;
};

/*
 * Respond to a request.  What `response` points to is needed only during the
 * call.  The server adds Date, Content-Length and Connection, and omits the
 * body if the request's method is HEAD.  on_end is called before this returns.
 * If the response cannot be sent or held, the connection closes.
 *
 * A response that is given before the body has arrived refuses the body.  The
 * server then reads and drops a short rest of the body before it sends the
 * response, so that the connection stays usable.  If the rest is long, or the
 * client holds it back (Expect: 100-continue), the server sends the response
 * at once and closes the connection.
 */
void http_respond(struct http_request *rq,
                  const struct http_response *response);

/*
 * Respond with {"error":...,"reason":why} in JSON, in which the error is the
 * name of the status.  headers is as in struct http_response.
 */
void http_respond_error(struct http_request *rq, unsigned status,
                        const char *why, const char *headers);

/* Responses that are produced over time, such as server-sent events. */

/*
 * Write up to `room` bytes of content to out; room is at least
 * HTTP_STREAM_ROOM.  Returns their number; or HTTP_STREAM_WAIT if there is
 * nothing to send now, after which it is not called until http_stream_wake;
 * or HTTP_STREAM_END if the content is complete.
 *
 * It must not respond to any request, because `out` is the buffer in which the
 * server writes responses.  It may call http_stream_wake for other requests.
 */
typedef ssize_t (*http_produce)(struct http_request *rq, char *out,
                                size_t room);
#define HTTP_STREAM_ROOM ((size_t)16 * 1024)
#define HTTP_STREAM_WAIT 0
#define HTTP_STREAM_END (-1)

/*
 * Respond with content that `produce` writes piece by piece.  `response` has
 * no body; it is needed only during the call.
 *
 * produce is called from the loop, never inside this call, whenever the socket
 * can take more and the last call did not return HTTP_STREAM_WAIT.  So what it
 * writes is as new as it can be, and nothing is queued for a slow client
 * except the rest of one piece.  A slow client's program state should
 * therefore be a position, not a queue: produce skips what is out of date.
 *
 * on_end is called when the content is complete or the client has gone.  The
 * server notices a client that closes its connection at once, but one that
 * vanishes without closing only when sending to it fails, or when it has taken
 * nothing for request_timeout_ms.  A program with long silences should
 * therefore produce something now and then, such as a comment line of
 * server-sent events.
 *
 * The connection closes after the response, which announces it.  Whatever the
 * client sends meanwhile is dropped; if the client ends its sending, the
 * stream ends.  A stream can be evicted like an idle connection, counting from
 * when it began.
 */
void http_stream(struct http_request *rq, const struct http_response *response,
                 http_produce produce);

/*
 * Have produce called again, because it has content.  May be called at any
 * time from http_stream until on_end, from any callback; extra calls do no
 * harm.  A call inside produce itself is lost if produce then returns
 * HTTP_STREAM_WAIT.
 */
void http_stream_wake(struct http_request *rq);

#endif
