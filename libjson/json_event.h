/*
 * json_event - read the fields of one event from a JSON object.
 */
#ifndef LIBJSON_JSON_EVENT_H
#define LIBJSON_JSON_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "libjson/json_escape.h"
#include "libjson/json_report.h"
#include "libjson/json_walk.h"
#include "libproto/event.h"

struct json_event_reader {
	struct json_walk walk;
	const struct json_rules *rules;
	struct json_span field; /* the name of the field being read */

	/* Unknown fields that were ignored; zeroed by the caller. */
	uint64_t ignored;
	char ignored_name[JSON_FIELD_TEXT_MAX + 1]; /* the first one's */

	/* Names and texts that had escapes, after removing these. */
	char name[JSON_FIELD_TEXT_MAX + JSON_ESCAPE_SPARE];
	char texts[FIELD_COUNT][EVENT_USER_ID_MAX + JSON_ESCAPE_SPARE];
};

/*
 * Read the event at walk.next.  Returns
 *   JSON_GOOD: *e is the event, valid until the next call, and walk.next is
 *     the position after it;
 *   JSON_REFUSED: walk.why is the reason, `field` is the name of the field
 *     concerned or empty, and walk.next is anywhere within the event;
 *   JSON_BROKEN: walk.why is the reason.
 */
MUST_USE enum json_found json_event_read(struct json_event_reader *r,
                                         struct event *e);

#endif
