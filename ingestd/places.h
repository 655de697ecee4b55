/*
 * places - the connections: each holds one of max_connections places, and
 * none for ever.
 *
 * Two bounds keep a client that is slow on purpose from holding its place:
 *
 * - Deadlines.  libmicrohttpd closes a connection that is silent for
 *   idle_timeout_ms, but one byte before that starts the time anew.  So a
 *   request must be there, from its first byte to the end of its headers,
 *   within idle_timeout_ms + request_timeout_ms of the answer before it (or
 *   of the connection's begin), its body within request_timeout_ms of its
 *   headers, and the answer must be taken within the same time.
 * - Room.  When few places are left, each new connection makes the one go
 *   that has waited longest for its request, or, when there is none, the one
 *   that has sent its body longest.  A sender at work is at the other end of
 *   that row.  Likewise, when the budget for bodies is used up, the one that
 *   has sent longest goes, if that is a tenth of request_timeout_ms.
 *
 * A request that waits for batchd has its own limit and is never made to go.
 * A connection goes by shutdown(2): libmicrohttpd then sees its end.
 */
#ifndef INGESTD_PLACES_H
#define INGESTD_PLACES_H

#include <stdint.h>

#include <uv.h>

enum place_phase {
	PLACE_IDLE,    /* no request, or not all of its headers */
	PLACE_BUSY,    /* its body comes, or its answer goes */
	PLACE_WAITING, /* suspended */
	PLACE_GOING,   /* shut down */
};

/* One connection; lies in the caller's memory. */
struct place {
	struct place *prev, *next; /* in the row of its phase */
	enum place_phase phase;
	int fd;               /* not owned */
	uint64_t deadline_ms; /* by uv_now */
};

/* By deadline, the nearest first: each row has one time-out. */
struct place_row {
	struct place *first, *last;
	uint64_t timeout_ms;
};

struct places {
	const uv_loop_t *loop;
	struct place_row rows[2]; /* PLACE_IDLE, PLACE_BUSY */
	uint64_t count, max;
	uint64_t overdue; /* made to go by a deadline */
	uint64_t evicted; /* made to go for room */
};

void places_init(struct places *ps, const uv_loop_t *loop, uint64_t max,
                 uint64_t idle_timeout_ms, uint64_t request_timeout_ms);

/* A connection begins, as idle; an older one may have to go. */
void places_add(struct places *ps, struct place *p, int fd);

/* It is about to be closed. */
void places_remove(struct places *ps, struct place *p);

/* It enters another phase; one that is going stays so. */
void places_move(struct places *ps, struct place *p, enum place_phase phase);

/* The budget is used up: the slowest body goes, if it is slow. */
void places_press(struct places *ps);

/* Make those go whose deadline has passed. */
void places_sweep(struct places *ps);

#endif
