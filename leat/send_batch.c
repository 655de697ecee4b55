/* send_batch - see send_batch.h. */
#include "leat/send_batch.h"

#include <assert.h>
#include <string.h>

/* What one event can add, with its comma; and the last bracket. */
#define EVENT_BYTES_MAX (1 + SPLITTER_PIECE_MAX + SEND_EVENT_GROWTH)

void
send_batch_init(struct send_batch *b)
{
	buf_init(&b->text, SEND_BATCH_BYTES);
	send_batch_clear(b);
	b->end = (struct send_place){.position = {.line = 1}};
}

void
send_batch_fini(struct send_batch *b)
{
	buf_fini(&b->text);
}

bool
send_batch_is_full(const struct send_batch *b)
{
	return b->count == SEND_BATCH_EVENTS ||
	       b->text.len + EVENT_BYTES_MAX + 1 > SEND_BATCH_BYTES;
}

int
send_batch_add(struct send_batch *b, struct send_event *events,
               const struct splitter_piece *piece,
               const struct send_place *after, struct send_event_fault *fault)
{
	const size_t at = b->text.len;
	int rc;

	assert(b->count < SEND_BATCH_EVENTS);
	rc = buf_add(&b->text, ",", 1);
	if (rc == 0)
		rc = send_event_put(events, piece->text, piece->bytes,
		                    piece->start.bytes, &b->text, fault);
	if (rc == 0)
		rc = buf_reserve(&b->text, 1); /* for the last bracket */
	if (rc < 0) {
		b->text.len = at;
		return rc;
	}
	b->items[b->count++] = (struct send_item){
	    .at = (uint32_t)at,
	    .bytes = (uint32_t)(b->text.len - at),
	    .line = piece->start.line,
	    .after = *after,
	};
	return 0;
}

void
send_batch_clear(struct send_batch *b)
{
	buf_clear(&b->text);
	b->first = b->count = b->requested = 0;
}

/* The end of the text of the request that is being sent. */
static uint8_t *
request_end(const struct send_batch *b)
{
	const struct send_item *last = &b->items[b->first + b->requested - 1];

	return b->text.data + last->at + last->bytes;
}

const void *
send_batch_request(struct send_batch *b, size_t n, size_t *bytes)
{
	uint8_t *begin = b->text.data + b->items[b->first].at;

	assert(n > 0 && n <= send_batch_left(b) && b->requested == 0);
	b->requested = n;
	*begin = '[';
	*request_end(b) = ']';
	*bytes = (size_t)(request_end(b) + 1 - begin);
	return begin;
}

void
send_batch_end(struct send_batch *b)
{
	b->text.data[b->items[b->first].at] = ',';
	*request_end(b) = ',';
	b->requested = 0;
}

struct send_place
send_batch_remove(struct send_batch *b, size_t n)
{
	assert(n <= send_batch_left(b) && b->requested == 0);
	b->first += n;
	if (send_batch_left(b) > 0)
		return b->items[b->first - 1].after;
	send_batch_clear(b);
	return b->end;
}

void
send_batch_take_out(struct send_batch *b, size_t i)
{
	struct send_item *out = &b->items[b->first + i];
	struct send_item *end = b->items + b->count;
	const uint32_t bytes = out->bytes;
	uint8_t *text = b->text.data + out->at;

	assert(i < send_batch_left(b) && b->requested == 0);
	memmove(text, text + bytes,
	        b->text.len - (size_t)(text - b->text.data) - bytes);
	b->text.len -= bytes;
	/* What was before it has now been dealt with, as far as its end. */
	if (b->first + i > 0)
		out[-1].after = out->after;
	memmove(out, out + 1, (size_t)((char *)end - (char *)(out + 1)));
	b->count--;
	for (; out < b->items + b->count; out++)
		out->at -= bytes;
}
