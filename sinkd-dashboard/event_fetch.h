/*
 * event_fetch - read one event from the log, whole.
 *
 * Each fetch has a connection to batchd of its own, so that it does not disturb
 * the newest events.  There are EVENT_FETCHES at most at a time, because batchd
 * has few tails.
 */
#ifndef SINKD_DASHBOARD_EVENT_FETCH_H
#define SINKD_DASHBOARD_EVENT_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "sinkd-dashboard/tail.h"

#define EVENT_FETCHES 2

enum fetch_result {
	FETCH_DONE,        /* here is the event */
	FETCH_DELETED,     /* it was deleted, or lost to damage */
	FETCH_NOT_YET,     /* no event has that offset yet */
	FETCH_UNREACHABLE, /* batchd did not send it in time */
};

/* event is NULL unless the result is FETCH_DONE. */
typedef void (*event_fetch_done)(void *owner, enum fetch_result result,
                                 uint64_t offset, const struct event *event);

struct event_fetch {
	struct tail tail;
	uv_timer_t deadline;
	uint64_t offset;
	void *owner; /* of the fetch that is going on; NULL: none */
	event_fetch_done on_done;
};

struct event_fetches {
	struct event_fetch list[EVENT_FETCHES];
};

void event_fetches_open(struct event_fetches *f, uv_loop_t *loop,
                        const char *socket, event_fetch_done on_done);

/* End all fetches without a call of on_done.  The loop must run once more. */
void event_fetches_close(struct event_fetches *f);

/*
 * Begin a fetch; on_done is called from the loop, once, with this owner.
 * Returns 0, -EBUSY if EVENT_FETCHES are going on, or another negative error if
 * batchd is unreachable.
 */
MUST_USE int event_fetch_begin(struct event_fetches *f, void *owner,
                               uint64_t offset);

/* End the fetch of this owner, if there is one, without a call of on_done. */
void event_fetch_cancel(struct event_fetches *f, const void *owner);

#endif
