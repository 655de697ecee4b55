/*
 * http - libmicrohttpd on the libuv loop.
 *
 * libmicrohttpd keeps its sockets in an epoll set of its own, which the loop
 * watches.  It runs once a turn of the loop, after all other callbacks:
 * connections that were resumed in this turn are answered in it, and requests
 * that arrived together share a frame to batchd.
 *
 * Facts of libmicrohttpd 0.9.75 that the code leans on:
 * - In external polling resuming costs no system call, but needs MHD_run.
 * - A response queued at the first call of a request makes it close the
 *   connection.  An answer on a connection that stays usable is queued at the
 *   last call, when the body is through.
 * - What it refuses by itself (malformed request lines and headers, a request
 *   line and headers beyond its memory) it answers with a page of its own,
 *   not JSON, and closes.
 * - Of a TLS session it is told of the certificate only at the handshake
 *   (tls.h), so a reload needs no new daemon.
 */
#ifndef INGESTD_HTTP_H
#define INGESTD_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>
#include <uv.h>

#include "ingestd/halfclose.h"
#include "ingestd/places.h"
#include "ingestd/settings.h"
#include "ingestd/tls.h"
#include "libbase/base.h"
#include "libbase/log.h"

struct http_hooks {
	/* As MHD_AccessHandlerCallback, with arg for its closure. */
	enum MHD_Result (*on_request)(void *arg, struct MHD_Connection *c,
	                              const char *url, const char *method,
	                              const char *version, const char *upload,
	                              size_t *upload_bytes, void **request);
	/* The request is over, answered or not; let go of it. */
	void (*on_completed)(void *arg, void *request);
	void *arg; /* of these two */
	/* libmicrohttpd has run: everything that was ready has been read. */
	void (*on_ran)(void *ran_arg);
	void *ran_arg;
};

struct http {
	struct http_hooks hooks;
	uv_loop_t *loop;
	struct MHD_Daemon *daemon;
	int listen_fd; /* owned until quiesced; -1 */
	struct halfclose halfclose;
	struct places places;
	struct tls *tls; /* NULL: plain HTTP */
	uv_poll_t poll;
	uv_prepare_t prepare;
	uv_timer_t timer;
	bool opened; /* the handles are the loop's */
	bool due;    /* run in this turn */
	struct log_limit log;
	char address[64]; /* as bound */
	unsigned port;
};

/*
 * Listen and serve, over TLS if tls is not NULL (it must be loaded, and
 * outlive h).  Returns 0 or -errno after saying why; close even so.
 */
MUST_USE int http_open(struct http *h, uv_loop_t *loop,
                       const struct settings *settings,
                       unsigned max_connections, struct tls *tls,
                       const struct http_hooks *hooks);

/* c's request has entered another phase; completing it is seen here. */
void http_phase(struct http *h, struct MHD_Connection *c,
                enum place_phase phase);

/* Resume a suspended connection; it is answered in this turn of the loop. */
void http_resume(struct http *h, struct MHD_Connection *c);

/* Open connections. */
uint64_t http_connections(const struct http *h);

/* Take no further connections. */
void http_quiesce(struct http *h);

/*
 * Let what is answered be sent, close the connections and let go of the
 * loop's handles.  No connection may be suspended.
 */
void http_close(struct http *h);

#endif
