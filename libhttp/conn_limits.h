/*
 * conn_limits - how long a connection may stay in a state, and which one is
 * closed when there are too many.
 *
 * Deadlines.  Each state has one time limit, which counts from when the
 * connection entered the state.  So a client cannot extend it by sending a
 * byte now and then.
 *
 * Room.  Up to ROOM_MAX connections (conn_limits.c), or a quarter of the
 * maximum if that is less, are kept free for new clients.  Once fewer are
 * free, each new connection evicts an older one.  A connection's age counts
 * from its last complete request, or else from its beginning.  So one that is
 * in the middle of a request that never ends is as old as one that never began
 * a request, and the connection of an active sender is among the youngest.
 * The oldest connection is evicted first; but if some addresses hold more than
 * their share of the connections, it is the oldest of the address that holds
 * the most.  A connection whose request is being processed is never evicted.
 *
 * An address is an IPv4 address, or the first 64 bits of an IPv6 address,
 * because that is what a provider gives to one customer.
 *
 * This file knows no sockets.  It decides which connection is closed; the
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

/* An address with its connections; conn_limits.c defines it. */
struct conn_address;

/* What conn_limits keeps of one connection; in the caller's memory. */
struct conn_slot {
	struct list_link by_deadline; /* in the list of its state */
	struct list_link by_age;      /* of all; not linked while exempt */
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
 * Begin with no connections.  The caller fills in timeout_ms.  Returns 0 or
 * -ENOMEM; conn_limits_fini must be called in either case, when no connection
 * is left.
 */
MUST_USE int conn_limits_init(struct conn_limits *limits, uint64_t max,
                              unsigned address_share_percent);
void conn_limits_fini(struct conn_limits *limits);

/*
 * Add a connection, which is in this state.  Returns 0, or -ENOMEM and changes
 * nothing.
 */
MUST_USE int conn_limits_add(struct conn_limits *limits, struct conn_slot *slot,
                             unsigned state, const struct sockaddr *from);

/* Remove a connection, which is closing. */
void conn_limits_remove(struct conn_limits *limits, struct conn_slot *slot);

/*
 * Note that a connection enters a state, which may be the present one again:
 * its deadline counts from limits->now_ms.
 */
void conn_limits_change_state(struct conn_limits *limits,
                              struct conn_slot *slot, unsigned state);

/*
 * Exempt a connection from eviction until conn_limits_refresh, because its
 * request is being processed.
 */
void conn_limits_exempt(struct conn_slot *slot);

/* Make a connection the youngest of all: it has completed a request. */
void conn_limits_refresh(struct conn_limits *limits, struct conn_slot *slot);

/*
 * The connection to close before another one is added; or NULL if there is
 * room, or if all connections are exempt.
 */
struct conn_slot *conn_limits_victim(const struct conn_limits *limits);

/* Return true if the maximum of connections is reached. */
bool conn_limits_full(const struct conn_limits *limits);

/* The connection that has been in this state for longest, or NULL. */
struct conn_slot *conn_limits_oldest(const struct conn_limits *limits,
                                     unsigned state);

/* The connection that entered the same state after this one, or NULL. */
struct conn_slot *conn_limits_next(const struct conn_limits *limits,
                                   const struct conn_slot *slot);

/* A connection whose deadline has passed, or NULL. */
struct conn_slot *conn_limits_overdue(const struct conn_limits *limits);

#endif
