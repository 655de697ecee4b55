/*
 * order - what an operator has ordered of one sink: to pause, to resume, or to
 * move its position (replay, skip).
 *
 * An order belongs to the sink and not to the command that asked for it, so it
 * goes on when the command ends.  A sink has one order at a time.  Each order
 * takes some of these steps, in this order:
 *
 *	         PAUSE          RESUME         SEEK
 *	HALT     2              -              1
 *	RECORD   1              1              2
 *	KEEP     -              -              3
 *	MOVE     -              -              4
 *	COMMIT   -              -              5
 *
 * A pause is on disk before the sink is halted, so that a sink that is halted
 * stays so after any crash.  A new position is on disk before the sink moves
 * its store there.  After a crash batchd finds it in the cursor and takes the
 * order up at KEEP.
 *
 * Only order_enter, in order_steps.c, moves an order to another step.  All
 * functions are called from the main thread.
 */
#ifndef BATCHD_ORDER_H
#define BATCHD_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/cursor.h"
#include "libproto/frame.h"

struct peer;

enum order_kind {
	ORDER_NONE,
	ORDER_PAUSE,
	ORDER_RESUME,
	ORDER_SEEK,
};

enum order_step {
	ORDER_HALT,   /* the sink closes its store, and `to` is synced */
	ORDER_RECORD, /* the cursor is written, with the order */
	ORDER_KEEP,   /* a retention job ends that did not know of the order */
	ORDER_MOVE,   /* the sink moves its store's position */
	ORDER_COMMIT, /* the cursor is written, with the result */
};

/* What batchd wants of the sink. */
enum order_task {
	TASK_NONE, /* nothing for now */
	TASK_WORK,
	TASK_HALT,
	TASK_SEEK, /* from order.from to order.to */
};

struct order {
	enum order_kind kind; /* ORDER_NONE: the rest has no meaning */
	enum order_step step;
	struct peer *asker; /* borrowed; is owed a reply; NULL: none is */
	uint64_t from, to;  /* of a seek */
	bool asked_again;   /* the sink had another position than `from` */
	/* RECORD, COMMIT: see cursor_want_write. */
	uint64_t sequence;
	/* What the store has, as the sink reported it during the order. */
	bool has_position;
	uint64_t position;
	char refusal[FRAME_TEXT_MAX + 1]; /* why it was not done; else empty */
};

/* The asker has gone.  The order goes on. */
void order_forget(struct order *o, const struct peer *asker);

/* What the sink with this order and this cursor should do now. */
enum order_task order_task(const struct order *o,
                           const struct cursor_slot *now);

/* Return true if the order waits for the cursor to be written. */
bool order_awaits_cursor(const struct order *o);

/* The order as `leat status` shows it; "" if there is none. */
const char *order_name(const struct order *o);

#endif
