/* event_json - an event as a JSON object. */
#ifndef LIBPROTO_EVENT_JSON_H
#define LIBPROTO_EVENT_JSON_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"

/*
 * Append the event: id, type, user_id (a string or null), payload, created_at
 * and received_at, without spaces and line breaks of its own.  The payload's
 * text is not changed; with as_string it is a JSON string under "payload_text".
 * Times are RFC 3339 with microseconds.  Returns 0, -EMSGSIZE or -ENOMEM, with
 * nothing appended.
 */
MUST_USE int event_json_add(struct buf *out, const struct event *event,
                            bool as_string);

#endif
