/*
 * event - convert an event between its msgpack bytes and a struct.
 *
 * An event is a msgpack array of six: id, type, user_id, payload,
 * created_at, received_at (docs/protocol.md).  The limits below are checked
 * by each daemon that reads an event, because none trusts the bytes of another.
 * Only ingestd checks that texts are UTF-8 and the payload is JSON.
 */
#ifndef LIBPROTO_EVENT_H
#define LIBPROTO_EVENT_H

#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/wire.h"

#define EVENT_ID_MAX 128   /* bytes; at least 1 */
#define EVENT_TYPE_MAX 128 /* bytes; at least 1 */
#define EVENT_USER_ID_MAX 256

/* Largest packed event, bytes: it must fit one frame. */
#define EVENT_PACKED_MAX (128 * 1024)

/* created_at and received_at: 1970-01-01 to the end of 9999. */
#define EVENT_TIME_MIN_US INT64_C(0)
#define EVENT_TIME_MAX_US INT64_C(253402300799999999)

/* The fields of an event, in their order. */
enum event_field {
	FIELD_ID,
	FIELD_TYPE,
	FIELD_USER_ID,
	FIELD_PAYLOAD,
	FIELD_CREATED_AT,
	FIELD_RECEIVED_AT,
	FIELD_COUNT,
};

struct event {
	struct slice id;
	struct slice type;
	struct slice user_id; /* data is NULL when the event has none */
	struct slice payload; /* JSON text of an object */
	int64_t created_at_us;
	int64_t received_at_us;
};

/* Return the bytes of its texts together. */
static inline size_t
event_text_bytes(const struct event *e)
{
	return (size_t)e->id.bytes + e->type.bytes + e->user_id.bytes +
	       e->payload.bytes;
}

/* Return the name that senders, columns and messages use: "id", "type" ... */
const char *event_field_name(enum event_field field);

/*
 * Append the event's msgpack form to out.  Returns 0, -EMSGSIZE when it does
 * not fit out, or -ENOMEM; out is then as before.  The fields must be within
 * the limits.
 */
MUST_USE int event_pack(struct buf *out, const struct event *event);

/*
 * Read one event.  Its slices point into r's bytes and live as long as they.
 * Returns 0 or -EBADMSG.
 */
MUST_USE int event_read(struct wire_reader *r, struct event *event);

/*
 * Move r past `count` events, checking the shape of each as event_read
 * does.  Returns 0 or -EBADMSG.
 */
MUST_USE int event_skip(struct wire_reader *r, uint64_t count);

#endif
