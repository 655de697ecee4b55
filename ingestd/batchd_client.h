/*
 * batchd_client - ingestd's connection to batchd: events go out, and the
 * offsets of what is durable come back.
 *
 *                 connect, hello                 welcome
 *   DISCONNECTED ───────────────► HELLO ─────────────────────► OPEN
 *        ▲                          │                            │
 *        │  a call fails, batchd closes the connection or sends  │
 *        └──────────────────────────┴────────────────────────────┘
 *           what it must not; or nothing that is pending is of
 *           use any more: then without the pause
 *
 *   any state ── batchd_client_close ──► CLOSED
 *
 * In DISCONNECTED a timer runs, after which the client connects again; the
 * pause grows from 50 ms to 1 s.  Entering that state answers all pending
 * requests, see append_queue_reset.
 *
 * What waits to become durable is bounded by the budget.  Everything runs on
 * the loop's thread.
 */
#ifndef INGESTD_BATCHD_CLIENT_H
#define INGESTD_BATCHD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "ingestd/append_queue.h"
#include "libbase/base.h"
#include "libbase/budget.h"
#include "libbase/buf.h"
#include "libbase/log.h"
#include "libproto/chan.h"

struct batchd_client_conf {
	const char *socket;     /* path; outlives the client */
	size_t max_event_bytes; /* packed */
	uint64_t append_timeout_ms;
	append_on_done on_done; /* must not call into the client */
};

enum batchd_client_state {
	BATCHD_CLIENT_DISCONNECTED, /* the retry timer runs */
	BATCHD_CLIENT_HELLO,        /* hello sent, no welcome yet */
	BATCHD_CLIENT_OPEN,   /* events are taken while intake_open is set */
	BATCHD_CLIENT_CLOSED, /* by batchd_client_close, for good */
};

struct batchd_client {
	struct batchd_client_conf conf;
	uv_loop_t *loop;

	enum batchd_client_state state;
	bool intake_open;
	char intake_reason[FRAME_TEXT_MAX + 1];
	struct chan chan;
	uv_poll_t *poll; /* owned; freed once libuv has closed it */
	bool want_write;
	uint64_t backoff_ms;
	uv_timer_t retry;
	struct log_limit unreachable_log;
	uint8_t *in;        /* FRAME_MAX bytes */
	uint64_t connects;  /* welcome frames received */
	struct buf status;  /* last status map; empty if there is none */
	uint64_t status_ms; /* when it came, by uv_now */

	struct append_queue queue;
	uv_timer_t expiry; /* runs while the queue has pending requests */
};

/*
 * Start connecting.  Returns 0 or -errno; call batchd_client_close and
 * batchd_client_fini in either case.
 */
MUST_USE int batchd_client_open(struct batchd_client *c, uv_loop_t *loop,
                                const struct batchd_client_conf *conf,
                                struct budget *budget);

/*
 * Answer all pending requests and close the loop's handles.  The loop must
 * run once more before batchd_client_fini frees the memory.
 */
void batchd_client_close(struct batchd_client *c);
void batchd_client_fini(struct batchd_client *c);

/*
 * Return true if events are taken now.  If not, *why is the reason for the
 * sender, valid until the loop runs again.
 */
bool batchd_client_takes(const struct batchd_client *c, const char **why);

/*
 * Add an event to the current request, complete or cancel it: see
 * append_queue_add, append_queue_commit and append_queue_cancel.  An event
 * may be added only while batchd_client_takes returns true.
 */
MUST_USE int batchd_client_add(struct batchd_client *c,
                               const struct event *event);
MUST_USE int batchd_client_commit(struct batchd_client *c, void *owner);
void batchd_client_cancel(struct batchd_client *c);

/* Send what was committed, as far as the socket takes it. */
void batchd_client_flush(struct batchd_client *c);

/*
 * Send a statistics map.  Returns false if it was not sent, because batchd is
 * unreachable, or lags so far that the socket is full.
 */
bool batchd_client_send_stats(struct batchd_client *c, const void *map,
                              size_t n);

#endif
