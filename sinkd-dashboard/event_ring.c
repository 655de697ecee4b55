/* event_ring - see event_ring.h. */
#include "sinkd-dashboard/event_ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/printable.h"

int
event_ring_init(struct event_ring *r)
{
	*r = (struct event_ring){
	    .events = calloc(EVENT_RING_EVENTS, sizeof *r->events),
	    .text = malloc(EVENT_RING_BYTES)};
	if (!r->events || !r->text)
		return -ENOMEM;
	/*
	 * Touch the pages now: then the process has its final size from the
	 * start, and a machine without memory is noticed at once.
	 */
	memset(r->text, ' ', EVENT_RING_BYTES);
	for (size_t i = 0; i < EVENT_RING_EVENTS; i++)
		r->events[i].offset = UINT64_MAX;
	return 0;
}

void
event_ring_fini(struct event_ring *r)
{
	free(r->events);
	free(r->text);
	*r = (struct event_ring){0};
}

static struct ring_event *
slot_of(const struct event_ring *r, uint64_t number)
{
	return &r->events[number % EVENT_RING_EVENTS];
}

const struct ring_event *
event_ring_get(const struct event_ring *r, uint64_t number)
{
	assert(number >= r->first && number < r->next);
	return slot_of(r, number);
}

/*
 * Make room for n bytes in one piece.  The oldest event is the first one after
 * `at`, so that the events in the way are always the oldest.
 */
static char *
make_room(struct event_ring *r, uint32_t n)
{
	bool wraps = r->at + n > EVENT_RING_BYTES;
	uint32_t from = wraps ? 0 : r->at;

	while (r->first < r->next) {
		const struct ring_event *oldest = slot_of(r, r->first);
		uint32_t at = (uint32_t)(oldest->type.data - r->text);
		bool skipped = wraps && at >= r->at;
		bool overwritten = at >= from && at < from + n;

		if (!skipped && !overwritten &&
		    r->next - r->first < EVENT_RING_EVENTS)
			break;
		r->first++;
	}
	r->at = from + n;
	return r->text + from;
}

static struct slice
ring_copy(char **to, struct slice text)
{
	struct slice copy = {text.data ? *to : NULL, text.bytes};

	if (text.data && text.bytes > 0)
		memcpy(*to, text.data, text.bytes);
	*to += text.bytes;
	return copy;
}

void
event_ring_add(struct event_ring *r, const struct ring_event *event)
{
	struct slice payload =
	    printable_cut(event->payload, EVENT_RING_PAYLOAD);
	/* At least one byte, so that each event has its own address. */
	char *to = make_room(r, event->type.bytes + event->user.bytes +
	                            payload.bytes + 1);
	struct ring_event *slot = slot_of(r, r->next++);

	*slot = *event;
	slot->type = ring_copy(&to, event->type);
	slot->user = ring_copy(&to, event->user);
	slot->payload = ring_copy(&to, payload);
	slot->payload_bytes = event->payload.bytes;
}
