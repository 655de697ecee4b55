/*
 * send_batch - events that wait to be sent, and the requests made of them.
 *
 * The texts of the events are in one buffer, with a comma before each.  A
 * request is the first events of those that are left, as an array; the bytes
 * before and after it are overwritten with brackets for that long.  So a batch
 * can be sent in parts, and without the events that ingestd has refused, and
 * nothing is copied.
 */
#ifndef LEAT_SEND_BATCH_H
#define LEAT_SEND_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leat/send_event.h"
#include "leat/splitter.h"
#include "libbase/base.h"
#include "libbase/buf.h"

#define SEND_BATCH_EVENTS 1000
#define SEND_BATCH_BYTES (1 * MIB) /* of a request */

/* How far the input has been read, and what was rejected up to there. */
struct send_place {
	struct splitter_position position;
	uint64_t rejected; /* by the rules of leat */
};

struct send_item {
	uint32_t at;             /* of its comma, in the text */
	uint32_t bytes;          /* with the comma */
	uint64_t line;           /* in the input */
	struct send_place after; /* the event */
};

struct send_batch {
	struct buf text;  /* of the events that are left and those before */
	size_t first;     /* item that is left */
	size_t count;     /* items, from 0 on */
	size_t requested; /* items in the request that is being sent, or 0 */
	struct send_place end; /* after all its events, and what follows them */
	struct send_item items[SEND_BATCH_EVENTS];
};

void send_batch_init(struct send_batch *b);
void send_batch_fini(struct send_batch *b);

static inline size_t
send_batch_left(const struct send_batch *b)
{
	return b->count - b->first;
}

/* Return true if the next event may not fit, whatever its size. */
bool send_batch_is_full(const struct send_batch *b);

/*
 * Add an event.  b->end, which the caller keeps, is not changed.  Returns as
 * send_event_put, with nothing added unless that is 0.
 */
MUST_USE int send_batch_add(struct send_batch *b, struct send_event *events,
                            const struct splitter_piece *piece,
                            const struct send_place *after,
                            struct send_event_fault *fault);

/* Forget all events.  b->end stays. */
void send_batch_clear(struct send_batch *b);

/*
 * Begin a request of the first n events that are left, at least one.  The text,
 * of *bytes bytes, is valid until send_batch_end.
 */
const void *send_batch_request(struct send_batch *b, size_t n, size_t *bytes);

/* The request has ended; no event of it is removed. */
void send_batch_end(struct send_batch *b);

/*
 * Remove the first n events that are left.  Returns the place up to which all
 * of the input has been dealt with.
 */
struct send_place send_batch_remove(struct send_batch *b, size_t n);

/* Remove the i-th of the events that are left, from 0. */
void send_batch_take_out(struct send_batch *b, size_t i);

#endif
