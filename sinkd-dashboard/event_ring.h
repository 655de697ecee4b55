/*
 * event_ring - the newest events that were read, in fixed memory.
 *
 * An event that is added takes the room of the oldest ones.  Each has a number
 * in the order of their arrival.  A viewer has the number of the next event
 * that it has not seen.  If that is below event_ring_first, the events between
 * were overwritten before the viewer's socket took them.
 */
#ifndef SINKD_DASHBOARD_EVENT_RING_H
#define SINKD_DASHBOARD_EVENT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/slice.h"

#define EVENT_RING_EVENTS 32768
#define EVENT_RING_BYTES ((uint32_t)4 * 1024 * 1024)

/* Bytes of a payload that are kept. */
#define EVENT_RING_PAYLOAD 2048

struct ring_event {
	uint64_t offset;
	int64_t received_us;
	uint64_t type_hash, user_hash; /* user_hash: 0 if it has no user */
	struct slice type;
	struct slice user;      /* data is NULL if it has none */
	struct slice payload;   /* the beginning of it */
	uint32_t payload_bytes; /* of the whole payload */
};

struct event_ring {
	uint64_t first, next; /* numbers: those in the ring are below next */
	uint32_t at;          /* in text, where the next one goes */
	struct ring_event *events; /* owned; slices point into text */
	char *text;                /* owned */
};

/* Returns 0 or -ENOMEM; the caller must event_ring_fini it in either case. */
MUST_USE int event_ring_init(struct event_ring *r);
void event_ring_fini(struct event_ring *r);

/* Add an event, of which the texts are copied and the payload is cut. */
void event_ring_add(struct event_ring *r, const struct ring_event *event);

/*
 * Return the event of this number, from r->first to below r->next.  It is
 * valid until the next event_ring_add.
 */
const struct ring_event *event_ring_get(const struct event_ring *r,
                                        uint64_t number);

#endif
