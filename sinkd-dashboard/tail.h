/*
 * tail - one connection to batchd in the role tail, on a libuv loop.
 *
 *             tail_open               welcome, stream
 *   CLOSED ───────────────► HELLO ───────────────────────► OPEN
 *     ▲                       │                              │
 *     └───────────────────────┴──────────────────────────────┘
 *        tail_close, or a failure, which on_lost reports
 *
 * In OPEN the owner sends watch and control frames; what batchd sends comes
 * with the callbacks.  The owner may close the tail in any callback.
 */
#ifndef SINKD_DASHBOARD_TAIL_H
#define SINKD_DASHBOARD_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libproto/chan.h"

struct tail;

struct tail_handler {
	/* The connection is open, to the log of this stream frame. */
	void (*on_open)(struct tail *t, const struct frame *stream);
	/* A batch frame, with complete events from frame->batch.offset on. */
	void (*on_batch)(struct tail *t, const struct frame *frame);
	void (*on_skipped)(struct tail *t, uint64_t from, uint64_t to);
	void (*on_reply)(struct tail *t, const struct frame *frame);
	/* The tail is closed, for this reason, a text for an operator. */
	void (*on_lost)(struct tail *t, const char *why);
};

enum tail_state { TAIL_CLOSED, TAIL_HELLO, TAIL_OPEN };

/* All zero apart from these members: closed. */
struct tail {
	uv_loop_t *loop;
	const char *socket; /* batchd's */
	const struct tail_handler *handler;
	void *owner; /* for the callbacks */

	enum tail_state state;
	struct chan chan;
	uv_poll_t *poll; /* owned; freed once libuv has closed it */
};

/*
 * Connect and send hello.  Returns 0, or a negative error with the tail closed,
 * without a call of on_lost.
 */
MUST_USE int tail_open(struct tail *t);

/* Close the connection, without a call of on_lost.  May be called twice. */
void tail_close(struct tail *t);

/*
 * Send a watch frame: from an offset, or from the newest event.  With 0 events
 * the tail is live: it goes on for ever, and events are skipped rather than
 * that it lags.
 */
MUST_USE int tail_watch(struct tail *t, const uint64_t *from, uint64_t events,
                        uint64_t bytes_per_s);

/* Send the control verb `status`.  Returns as chan_send. */
MUST_USE int tail_ask_status(struct tail *t, uint64_t id);

#endif
