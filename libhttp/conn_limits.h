/*
 * conn_limits - how long a connection may stay in a state, and which one is
 * closed when there are too many.
 *
 * Deadlines.  Each state has one time limit, counted from when a connection
 * entered it, so a client cannot extend it by sending a byte now and then.
 *
 * Room.  When fewer than ROOM_MAX places are left (a quarter of them, if there
 * are few), each new connection evicts an older one.  A connection's age
 * counts from its last complete request, or else from its beginning; so one
 * that is in the middle of a request that never ends is as old as one that
 * never began any, and a sender at work is among the youngest.  The oldest
 * goes first, but if some addresses hold more than their share of the
 * connections, the oldest of the one that holds the most.  A connection whose
 * request waits for the program's answer is never evicted.
 *
 * An address is an IPv4 address, or the first 64 bits of an IPv6 one, which
 * is what one customer of a provider has.
 *
 * This file knows no sockets.  It tells which connection should go; the
 * caller closes it.
 */
#ifndef LIBHTTP_CONN_LIMITS_H
#define LIBHTTP_CONN_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "libbase/base.h"
#include "libbase/list.h"

#define CONN_STATES_MAX 16

/* What is known of one address. */
struct conn_address;

/* What conn_limits keeps for one connection; in the caller's memory. */
struct conn_slot {
	struct list_link by_deadline; /* in the list of its state */
	struct list_link by_age;      /* of all; not linked while waiting */
	struct list_link by_address;  /* the same, of its address */
	struct conn_address *address;
	uint64_t entered_ms; /* the state */
	unsigned state;
};

struct conn_limits {
	uint64_t max;           /* connections */
	uint64_t count;         /* connections now */
	uint64_t address_share; /* connections of one address */
	uint64_t now_ms;        /* set by the caller before each call */
	uint64_t timeout_ms[CONN_STATES_MAX]; /* 0: the state has no limit */
	struct list_link in_state[CONN_STATES_MAX];
	struct list_link ages;
	struct list_link over_share; /* addresses that hold too many */
	struct conn_address **table;
	size_t table_size; /* a power of two */
	uint64_t seed;
};

/*
 * Begin with no connections.  timeout_ms is filled in by the caller.  Returns
 * 0 or -ENOMEM; fini even so.
 */
MUST_USE int conn_limits_init(struct conn_limits *limits, uint64_t max,
                              unsigned address_share_percent);
void conn_limits_fini(struct conn_limits *limits);

/*
 * A connection begins, in a state.  Returns 0 or -ENOMEM, which leaves
 * everything as it was.
 */
MUST_USE int conn_limits_add(struct conn_limits *limits, struct conn_slot *slot,
                             unsigned state, const struct sockaddr *from);

/* It ends. */
void conn_limits_remove(struct conn_limits *limits, struct conn_slot *slot);

/* It enters another state, or the same one again. */
void conn_limits_change_state(struct conn_limits *limits,
                              struct conn_slot *slot, unsigned state);

/* Its request now waits for the program: it cannot be evicted. */
void conn_limits_exempt(struct conn_slot *slot);

/* Its request is complete: it is the youngest of all. */
void conn_limits_refresh(struct conn_limits *limits, struct conn_slot *slot);

/*
 * The connection that must go before another one is added, or NULL if there
 * is room, or if all of them wait for the program.
 */
struct conn_slot *conn_limits_victim(const struct conn_limits *limits);

/* Return true if not even one more connection can be added. */
bool conn_limits_full(const struct conn_limits *limits);

/* The connection that has been in a state for longest, or NULL. */
struct conn_slot *conn_limits_oldest(const struct conn_limits *limits,
                                     unsigned state);

/* The one that entered the same state next, or NULL. */
struct conn_slot *conn_limits_next(const struct conn_limits *limits,
                                   const struct conn_slot *slot);

/* A connection whose deadline has passed, or NULL. */
struct conn_slot *conn_limits_overdue(const struct conn_limits *limits);

#endif
