/*
 * ack_queue - the append frames of one ingestd that batchd has received and
 * not acknowledged yet.
 *
 * An ingestd numbers its append frames from 1, and batchd acknowledges them in
 * that order.  A frame passes through three stages: it is in the group of
 * records that is being filled, then in the group that a thread writes, then
 * durable.  Only a durable frame may be acknowledged (I1).  The log has one
 * group of each kind, so a queue needs no more than one counter for each stage.
 *
 * All functions are called from the main thread.
 */
#ifndef BATCHD_ACK_QUEUE_H
#define BATCHD_ACK_QUEUE_H

#include <stdint.h>

#include "libbase/buf.h"
#include "libproto/frame.h"

struct ack_queue {
	/*
	 * The offset of the first event of each frame in the queue, oldest
	 * first, in the form that an `appended` frame's body has.
	 */
	struct buf offsets;
	uint32_t filling, writing, durable; /* frames in each stage */
	uint64_t acknowledged; /* number of the last acknowledged frame */
};

void ack_queue_init(struct ack_queue *q);
void ack_queue_fini(struct ack_queue *q);

/* The number of frames that are not acknowledged. */
uint32_t ack_queue_count(const struct ack_queue *q);

/* The number that the next append frame must have. */
uint64_t ack_queue_next_seq(const struct ack_queue *q);

/*
 * Make room for one more frame, so that ack_queue_add cannot fail after the
 * frame's events are in the log.  Returns 0, -ENOMEM, or -EMSGSIZE when the
 * offsets would need more than 1 MiB, which is far above what a peer may have.
 */
MUST_USE int ack_queue_reserve(struct ack_queue *q);

/* The next frame's events are in the group that is being filled. */
void ack_queue_add(struct ack_queue *q, uint64_t first_offset);

/* The group that was being filled is now being written. */
void ack_queue_write_begins(struct ack_queue *q);

/* The group that was being written is durable. */
void ack_queue_write_ends(struct ack_queue *q);

/*
 * Fill in an `appended` frame that acknowledges the oldest durable frames, at
 * most FRAME_APPENDED_MAX.  Returns their number, which may be 0.  The frame's
 * body points into the queue and is valid until the next change of the queue.
 */
uint32_t ack_queue_peek(const struct ack_queue *q, struct frame *appended);

/* The frame that ack_queue_peek filled in was sent: it covered `count`. */
void ack_queue_remove(struct ack_queue *q, uint32_t count);

#endif
