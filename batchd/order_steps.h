/*
 * order_steps - begin the orders of order.h, and take their steps.
 *
 * Main thread only.
 */
#ifndef BATCHD_ORDER_STEPS_H
#define BATCHD_ORDER_STEPS_H

#include "batchd/broker.h"

/* Take up the order that the cursor contains, if there is one. */
void order_open(struct broker_sink *sink);

/*
 * Begin an order.  `asker` is sent the reply at its end; it must call
 * order_forget before it is freed.  Returns NULL, or why the order is refused,
 * as a text for people that is valid until the next order of this sink.
 */
const char *order_pause(struct broker_sink *sink, struct peer *asker,
                        const struct cursor_pause *pause);
const char *order_resume(struct broker_sink *sink, struct peer *asker);

/* `seen` is the position that the operator saw when deciding. */
const char *order_seek(struct broker_sink *sink, struct peer *asker,
                       uint64_t seen, uint64_t to);

/* The sink has answered halt or, if `sought`, seek. */
void order_on_halted(struct broker_sink *sink, const struct frame *halted,
                     bool sought);

/*
 * Take the steps that can be taken now, and end a pause whose time is over.
 * Call it in each turn of the loop.
 */
void order_step(struct broker_sink *sink, int64_t now_us);

#endif
