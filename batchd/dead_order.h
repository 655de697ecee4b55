/*
 * dead_order - an operator's order to retry or drop the dead letters of a sink.
 *
 * The sink carries it out (libsink/dlq_retry.h).  batchd passes it on as soon
 * as the sink's position of that moment is on disk, so that no event below it
 * can be sent again, and passes the answer back.  The order belongs to the sink
 * and goes on when the command ends.  Main thread only.
 */
#ifndef BATCHD_DEAD_ORDER_H
#define BATCHD_DEAD_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/cursor.h"
#include "libproto/chan.h"

struct peer;

/* Most bytes of the map that a sink answers with. */
#define DEAD_ORDER_REPLY_MAX 256

/*
 * Called at the end: the order was not carried out, for a reason for people,
 * or, if that is empty, the answer is a map.
 */
typedef void dead_order_reply(struct peer *asker, const char *refusal,
                              const uint8_t *map, size_t bytes);

struct dead_order {
	bool is_active;
	bool is_sent;
	uint64_t id; /* of the latest order */
	enum frame_retry action;
	uint64_t position; /* of the sink when it was ordered */
	uint8_t *map;      /* owned: the arguments */
	size_t map_bytes;
	struct peer *asker; /* borrowed; is owed a reply; NULL: none is */
	dead_order_reply *reply;
};

/*
 * Begin the order that the arguments of a control frame ask for; the cursor is
 * that of the sink.  Returns NULL, and calls `reply` at its end; or why it is
 * refused, as a static text for people.
 */
const char *dead_order_begin(struct dead_order *o, const uint8_t *args,
                             size_t bytes, const struct cursor *cursor,
                             struct peer *asker, dead_order_reply *reply);

/* If the asker is `peer`, it has gone.  The order goes on. */
void dead_order_forget(struct dead_order *o, const struct peer *peer);

/* Return true if the order waits for the cursor to be written. */
bool dead_order_awaits_cursor(const struct dead_order *o,
                              const struct cursor *cursor);

/* Send the order to the sink if it is time.  Returns as chan_send. */
MUST_USE int dead_order_flush(struct dead_order *o, const struct cursor *cursor,
                              struct chan *sink);

/* The sink has answered.  Returns 0 or -EPROTO. */
MUST_USE int dead_order_on_retried(struct dead_order *o,
                                   const struct frame *retried);

/* The sink has disconnected, or was halted. */
void dead_order_interrupt(struct dead_order *o);

void dead_order_fini(struct dead_order *o);

/* The order as the status shows it; "" if there is none. */
const char *dead_order_name(const struct dead_order *o);

#endif
