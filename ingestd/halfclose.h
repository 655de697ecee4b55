/*
 * halfclose - notice connections whose client has said its last word.
 *
 * libmicrohttpd 0.9.75 takes a read shorter than its buffer for "nothing more
 * to read" and waits for the next edge of its epoll set.  When the end of the
 * stream arrived together with the last bytes, that edge is past: the
 * connection, and the budget its cut-off body holds, would stay until
 * idle_timeout_ms.  So the end of each stream is watched here, and once all
 * bytes before it are read, shutdown(SHUT_RD), which changes nothing else,
 * gives libmicrohttpd its edge.
 */
#ifndef INGESTD_HALFCLOSE_H
#define INGESTD_HALFCLOSE_H

#include <stdbool.h>

#include <uv.h>

#include "libbase/base.h"

/* One connection; allocated by halfclose_add. */
struct halfclose_peer {
	struct halfclose_peer *prev, *next; /* among those at their end */
	bool at_end;
	int fd; /* not owned */
};

struct halfclose {
	int epoll_fd;
	uv_poll_t poll;
	struct halfclose_peer *ended; /* not woken yet */
	bool *due; /* set when halfclose_wake has something to do */
	bool opened;
};

/* Returns 0 or -errno; close even so. */
MUST_USE int halfclose_open(struct halfclose *h, uv_loop_t *loop, bool *due);
void halfclose_close(struct halfclose *h);

/*
 * Watch a connected socket, until halfclose_remove, before it is closed.
 * Returns NULL when out of memory: then it is not watched.
 */
struct halfclose_peer *halfclose_add(struct halfclose *h, int fd);
void halfclose_remove(struct halfclose *h, struct halfclose_peer *p);

/*
 * Wake the connections at their end of which all is read.  Returns whether
 * there were any: then libmicrohttpd has something to do.
 */
bool halfclose_wake(struct halfclose *h);

#endif
