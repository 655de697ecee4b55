/*
 * connections - accept peers, wait for their sockets, evict them when there are
 * too many, and close them.
 *
 * This is where peers meet the event loop.  Main thread only.
 */
#ifndef BATCHD_CONNECTIONS_H
#define BATCHD_CONNECTIONS_H

#include <uv.h>

#include "batchd/peer.h"

struct connections {
	struct broker *broker; /* borrowed; its list of peers is kept here */
	uv_loop_t *loop;       /* borrowed */
	int listener;          /* owned; -1 when closed */
	uv_poll_t listen_poll;
	bool accept_failed;         /* accept again in the next second */
	struct log_limit evictions; /* log lines of peers that are evicted */
};

/* The caller opens the listening socket. */
void connections_init(struct connections *c, struct broker *b);

/* Begin to accept.  Returns 0 or libuv's -errno. */
MUST_USE int connections_start(struct connections *c, uv_loop_t *loop);

/* Remove the socket's path and accept no more.  May be called again. */
void connections_stop_accepting(struct connections *c);

/*
 * Close all peers and log `why`, as peer_close.  Their memory is freed in a
 * later turn of the loop.
 */
void connections_close_all(struct connections *c, int why);

/* Close one peer in the same way.  It is off broker->peers then. */
void connections_close(struct peer *p, int why);

/*
 * Call once a second: read reports of peers that wait, close silent peers, and
 * accept again if that has failed.
 */
void connections_tick(struct connections *c);

/* Call at the end of each turn of the loop: wait for the right events. */
void connections_update_polls(struct connections *c);

#endif
