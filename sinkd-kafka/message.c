/* message - see message.h. */
#include "sinkd-kafka/message.h"

#include "libproto/wire.h"

/*
 * The most bytes of a message besides the texts of the event.  A key takes one
 * byte more than its text, as in this list.
 */
#define OVERHEAD_MAX                                                           \
	(1 + sizeof "id type user_id payload created_at received_at" + 4 * 5 + \
	 2 * 9)

static uint8_t *
message_put_key(uint8_t *out, const char *key)
{
	const struct slice text = slice_of(key);

	return wire_put_str(out, &text);
}

static uint8_t *
message_put_text(uint8_t *out, const char *key, const struct slice *s)
{
	out = message_put_key(out, key);
	return s->data ? wire_put_str(out, s) : wire_put_nil(out);
}

static uint8_t *
message_put_time(uint8_t *out, const char *key, int64_t wall_us)
{
	return wire_put_uint(message_put_key(out, key), (uint64_t)wall_us);
}

int
message_msgpack(struct buf *out, const struct event *event)
{
	uint8_t *p;
	int rc = buf_reserve(out, OVERHEAD_MAX + event_text_bytes(event));

	if (rc < 0)
		return rc;
	p = out->data + out->len;
	*p++ = 0x80 | FIELD_COUNT;
	p = message_put_text(p, "id", &event->id);
	p = message_put_text(p, "type", &event->type);
	p = message_put_text(p, "user_id", &event->user_id);
	p = message_put_text(p, "payload", &event->payload);
	p = message_put_time(p, "created_at", event->created_at_us);
	p = message_put_time(p, "received_at", event->received_at_us);
	out->len = (size_t)(p - out->data);
	return 0;
}
