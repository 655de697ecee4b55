/*
 * append_queue - the events on their way to batchd: the append frames that
 * carry them, and the requests that wait until they are durable.
 *
 * Events are packed into the frame that is being filled, which all requests
 * of one turn of the loop share.  Adding the events of one request is a
 * transaction: append_queue_add for each, then append_queue_commit or
 * append_queue_cancel, before any other request adds.
 *
 *   add      commit           sent                  acknowledge
 *   ─────► ADDING ───► UNSENT ─────► SENT ──────────────────► DURABLE
 *            │           │             │
 *            │ cancel    │ drop_unsent │ expire  ► TIMED_OUT
 *            ▼           │ reset       │ reset   ► CONNECTION_LOST
 *        forgotten       ▼             ▼
 *                    NOT_SENT      its events may still become durable
 *
 * A request that has timed out has been answered, but its bytes stay in the
 * budget until batchd acknowledges them or the connection is lost, because
 * the kernel and batchd still hold them.
 *
 * This module knows no loop, no socket and no clock.
 */
#ifndef INGESTD_APPEND_QUEUE_H
#define INGESTD_APPEND_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/budget.h"
#include "libproto/event.h"
#include "libproto/frame.h"

/* What became of a committed request. */
enum append_result {
	APPEND_DURABLE,  /* all of its events are (I1) */
	APPEND_NOT_SENT, /* batchd has been sent none of them: none is kept */
	/* In these two cases its events may be kept, or not. */
	APPEND_TIMED_OUT,
	APPEND_CONNECTION_LOST,
};

/* Instead of an offset: the server has none for this request. */
#define APPEND_NO_OFFSET UINT64_MAX

/*
 * Answers a committed request, once.  If the result is APPEND_DURABLE, `offset`
 * is that of its first event, or APPEND_NO_OFFSET.  Must not call into the
 * queue.
 */
typedef void (*append_on_done)(void *owner, enum append_result result,
                               uint64_t offset);

struct pending_request;
struct append_frame;

struct append_queue {
	struct budget *budget;  /* bounds what is not durable yet */
	size_t max_event_bytes; /* packed */
	append_on_done on_done;

	struct append_frame *first, *last; /* not sent; last is being filled */
	struct append_frame *spare;
	unsigned spare_count;
	uint64_t next_seq;  /* of the next frame to start */
	uint64_t sent_seq;  /* of the last frame sent */
	uint64_t acked_seq; /* of the last frame that is durable */

	struct {                           /* the request being added */
		struct append_frame *last; /* as it was before */
		size_t last_bytes;
		uint32_t last_count;
		uint64_t next_seq;
		uint64_t events;
		size_t bytes;
		uint64_t first_seq; /* frame and index of its first event */
		uint32_t first_index;
	} adding;

	struct pending_request *head, *tail; /* committed, in frame order */
	struct pending_request *unresolved;  /* first one without its offset */
	struct pending_request *spare_pending;
	uint64_t pending_count; /* requests that have no answer yet */
};

void append_queue_init(struct append_queue *q, struct budget *budget,
                       size_t max_event_bytes, append_on_done on_done);

/* Free all memory.  Call append_queue_reset first. */
void append_queue_fini(struct append_queue *q);

/*
 * Add an event of the current request.  Returns 0, -EMSGSIZE (the event is
 * larger than max_event_bytes), -ENOBUFS (the budget is used up) or -ENOMEM;
 * an event that was not added leaves the others as they are.
 */
MUST_USE int append_queue_add(struct append_queue *q,
                              const struct event *event);

/*
 * The current request is complete, with at least one event: on_done will
 * answer it.  Deadlines must not decrease from one request to the next.
 * Returns 0, or -ENOMEM with the request cancelled.
 */
MUST_USE int append_queue_commit(struct append_queue *q, void *owner,
                                 uint64_t deadline_ms);

/* Forget the events of the current request. */
void append_queue_cancel(struct append_queue *q);

/*
 * Get the next frame to send.  Its body is valid until the next call of any
 * function here.  Returns false if there is none.
 */
bool append_queue_next(const struct append_queue *q, struct frame *frame);

/* The frame that append_queue_next returned has been sent. */
void append_queue_sent(struct append_queue *q);

/*
 * batchd has sent this appended frame: answer the requests whose last frame
 * it covers.  Returns 0; -EPROTO if it does not follow the one before it, or
 * covers a frame that was not sent; or -EBADMSG if its body is malformed.
 */
MUST_USE int append_queue_acknowledge(struct append_queue *q,
                                      const struct frame *appended);

/*
 * Drop the requests of which batchd has been sent nothing and answer them
 * with APPEND_NOT_SENT.
 */
void append_queue_drop_unsent(struct append_queue *q);

/*
 * The connection is gone: answer all requests, with APPEND_NOT_SENT or
 * APPEND_CONNECTION_LOST, and start again with frame 1.
 */
void append_queue_reset(struct append_queue *q);

/*
 * Answer the requests whose deadline has passed with APPEND_TIMED_OUT.
 * Returns the next deadline, or 0 if no request waits any more.
 */
uint64_t append_queue_expire(struct append_queue *q, uint64_t now_ms);

#endif
