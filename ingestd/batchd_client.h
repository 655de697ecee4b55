/*
 * batchd_client - the connection to batchd: events out, durable offsets back.
 *
 * Events are packed into the frame that is being filled, shared by all
 * requests of one turn of the loop; batchd_client_flush sends what there is.
 * Adding the events of one request is a transaction: batchd_client_add for
 * each, then batchd_client_commit or batchd_client_cancel, before any other
 * request adds.
 *
 * What waits to become durable is bounded by the budget.  While batchd is
 * away the connection is tried again with a back-off; whatever waited is
 * answered with -EPIPE at once, its outcome unknown.
 *
 * Everything runs on the loop's thread.
 */
#ifndef INGESTD_BATCHD_CLIENT_H
#define INGESTD_BATCHD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libbase/budget.h"
#include "libbase/buf.h"
#include "libbase/log.h"
#include "libproto/chan.h"
#include "libproto/event.h"

struct batchd_client_conf {
	const char *socket;     /* path; outlives the batchd_client */
	size_t max_event_bytes; /* packed */
	uint64_t append_timeout_ms;
	/*
	 * Answers a committed request, once.  rc is 0 with the offset of its
	 * first event, which is durable with all others of the request (I1);
	 * -EAGAIN: batchd takes no more, or went away, and has been sent
	 * nothing of it: nothing was kept; -EPIPE: batchd became unreachable;
	 * -ETIMEDOUT: append_timeout_ms passed.  After the latter two its
	 * events may still become durable.  Must not call into the
	 * batchd_client.
	 */
	void (*on_done)(void *owner, int rc, uint64_t offset);
};

enum batchd_client_state {
	BATCHD_CLIENT_DISCONNECTED, /* waiting to try again */
	BATCHD_CLIENT_HELLO,        /* connected, no welcome yet */
	BATCHD_CLIENT_OPEN, /* welcome: requests are taken while intake_open */
	BATCHD_CLIENT_CLOSED, /* batchd_client_close was called */
};

struct pending_request;
struct out_frame;

struct batchd_client {
	struct batchd_client_conf conf;
	struct budget *budget;
	uv_loop_t *loop;

	enum batchd_client_state state;
	bool intake_open;
	char intake_reason[FRAME_TEXT_MAX + 1];
	struct chan chan;
	uv_poll_t *poll; /* owned; freed when libuv lets go */
	bool want_write;
	uint64_t backoff_ms;
	uv_timer_t retry;
	struct log_limit away_log;
	uint8_t *in;       /* FRAME_MAX bytes */
	uint64_t connects; /* times that batchd said welcome */
	struct buf
	    status; /* the map it pushed last; empty: away, or none yet */
	uint64_t status_ms; /* when that came, on the loop's clock */

	struct out_frame *first, *last; /* not sent; last is being filled */
	struct out_frame *spare;
	unsigned spare_count;
	uint64_t next_seq;  /* of the next frame to start */
	uint64_t sent_seq;  /* of the last frame sent */
	uint64_t acked_seq; /* of the last frame that is durable */

	struct {                        /* the request being added */
		struct out_frame *last; /* as it was before */
		size_t last_bytes;
		uint32_t last_count;
		uint64_t next_seq;
		uint64_t events;
		size_t bytes;
		uint64_t first_seq; /* frame and place of its first event */
		uint32_t first_index;
	} adding;

	struct pending_request *head,
	    *tail; /* committed, not durable; by frame */
	struct pending_request *unresolved; /* first one without its offset */
	struct pending_request *spare_pending;
	uint64_t pending_count; /* requests that have no answer yet */
	uv_timer_t expiry;      /* runs while there are pending requests */
};

/* Start connecting.  Returns 0 or -errno; close even so. */
MUST_USE int batchd_client_open(struct batchd_client *c, uv_loop_t *loop,
                                const struct batchd_client_conf *conf,
                                struct budget *budget);

/*
 * Answer all that wait with -EPIPE and let go of the loop's handles, which
 * needs the loop to run once more; then batchd_client_fini.
 */
void batchd_client_close(struct batchd_client *c);
void batchd_client_fini(struct batchd_client *c);

/* Whether requests are taken now; if not, *why says it in a few words. */
bool batchd_client_takes(const struct batchd_client *c, const char **why);

/*
 * Add an event of the current request.  Returns 0, -EMSGSIZE (the event is
 * larger than allowed), -ENOBUFS (the budget is used up) or -ENOMEM; an event
 * that was not added leaves the others as they are.
 */
MUST_USE int batchd_client_add(struct batchd_client *c,
                               const struct event *event);

/*
 * The current request is complete, with at least one event: on_done will
 * answer it.  Returns 0, or -ENOMEM with the request cancelled.
 */
MUST_USE int batchd_client_commit(struct batchd_client *c, void *owner);

/* Forget the events of the current request. */
void batchd_client_cancel(struct batchd_client *c);

/* Send what was committed, as far as the socket takes it. */
void batchd_client_flush(struct batchd_client *c);

/*
 * Send a stats map.  Returns whether it was sent: it is left out while batchd
 * is unreachable, or lags so far that the socket is full.
 */
bool batchd_client_send_stats(struct batchd_client *c, const void *map,
                              size_t n);

#endif
