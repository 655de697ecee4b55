/*
 * message - an event as the value of a Kafka message: one JSON object, or
 * one msgpack map, with the six fields by name.
 */
#ifndef SINKD_KAFKA_MESSAGE_H
#define SINKD_KAFKA_MESSAGE_H

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"

/* Longest value of any event, bytes: six for one in id, type and user_id. */
#define MESSAGE_MAX (EVENT_PACKED_MAX + 8 * KIB)

/*
 * Append the event as a JSON object: strings as they are, the payload's text
 * unchanged, times as RFC 3339 with microseconds.  Returns 0, -EMSGSIZE or
 * -ENOMEM.
 */
MUST_USE int message_json(struct buf *out, const struct event *event);

/*
 * Append the event as a msgpack map: the payload as a string, its JSON text
 * unchanged, times as integers, microseconds since 1970.  Returns as
 * message_json.
 */
MUST_USE int message_msgpack(struct buf *out, const struct event *event);

#endif
