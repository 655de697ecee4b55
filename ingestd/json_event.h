/*
 * json_event - one event's fields, out of a JSON object.
 */
#ifndef INGESTD_JSON_EVENT_H
#define INGESTD_JSON_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "ingestd/json.h"
#include "ingestd/json_escape.h"
#include "ingestd/json_walk.h"
#include "libproto/event.h"

struct json_event_reader {
	struct json_walk walk;
	const struct json_rules *rules;
	struct json_span field; /* the name of the one being read */

	/* Unknown fields that were ignored; zeroed by the caller. */
	uint64_t ignored;
	char ignored_name[JSON_FIELD_TEXT_MAX + 1]; /* the first one's */

	/* Names and texts in which escapes stood, without them. */
	char name[JSON_FIELD_TEXT_MAX + JSON_ESCAPE_SPARE];
	char texts[FIELD_COUNT][EVENT_USER_ID_MAX + JSON_ESCAPE_SPARE];
};

/*
 * Read the event at the walk's next.  JSON_GOOD: e holds it, until the next
 * is read, and the walk stands behind it.  JSON_REFUSED: field says which is
 * to blame, or is empty, walk.why says why, and the walk stands anywhere.
 * JSON_BROKEN: walk.why says why.
 */
MUST_USE enum json_found json_event_read(struct json_event_reader *r,
                                         struct event *e);

#endif
