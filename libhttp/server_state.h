/*
 * server_state - what the connections of one server share (inside libhttp;
 * programs include http.h).
 */
#ifndef LIBHTTP_SERVER_STATE_H
#define LIBHTTP_SERVER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/list.h"
#include "libbase/log.h"
#include "libhttp/conn_limits.h"
#include "libhttp/head.h"
#include "libhttp/http.h"

/*
 * Size of the buffer that all connections of a server receive into.  What is
 * left in it when the next connection receives was copied before (conn_hold).
 */
#define CONN_RECV_BYTES (256 * KIB)

struct http_server {
	struct http_settings settings;
	struct http_handler handler;
	struct http_stats stats;
	uv_loop_t *loop;
	unsigned handles; /* that libuv has not released */
	bool closing;
	bool stopping; /* quiesced: each response closes its connection */

	int listen_fd; /* -1: does not listen */
	uv_poll_t listener;
	bool accepting; /* the listener is watched */
	char address[HTTP_ADDRESS_TEXT];
	unsigned port;

	struct conn_limits limits;
	uv_timer_t deadlines; /* runs while there are connections */
	uint64_t tick_ms;
	size_t received_bytes; /* memory of connections' `in`, `body`, `out` */

	struct list_link ready; /* have something to do, without an event */
	unsigned turn_requests; /* handled in this turn of the loop */
	uv_check_t turn;
	uv_idle_t again; /* runs while `ready` is not empty */

	struct http_head head; /* of the request that is being read */
	char *recv;            /* CONN_RECV_BYTES and the body's padding */
	struct buf scratch;    /* of the response that is being written */
	struct log_limit log;  /* of what clients cause */
	char date[32];         /* as the Date header has it */
	int64_t date_s;        /* the second that `date` is of */
};

/* A connection was added to `ready`: keep the loop from waiting. */
void http_server_on_ready(struct http_server *s);

/*
 * A connection has ended, or can be evicted again.  Accept connections again
 * if that was suspended for lack of room.
 */
void http_server_on_room(struct http_server *s);

/*
 * libuv has released a handle of the server or of a connection.  The server is
 * freed after the last one.
 */
void http_server_on_handle_closed(struct http_server *s);

#endif
