/*
 * message - an event as the value of a Kafka message: one JSON object
 * (libproto/event_json.h) or one msgpack map with six fields.
 */
#ifndef SINKD_KAFKA_MESSAGE_H
#define SINKD_KAFKA_MESSAGE_H

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"

/*
 * The most bytes of a value.  A byte of id, type or user_id takes up to six as
 * JSON.
 */
#define MESSAGE_MAX (EVENT_PACKED_MAX + 8 * KIB)

/*
 * Append the event as a msgpack map.  The payload is a string that holds its
 * unchanged JSON text, and times are integers in microseconds since 1970.
 * Returns as buf_reserve.
 */
MUST_USE int message_msgpack(struct buf *out, const struct event *event);

#endif
