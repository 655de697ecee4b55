/*
 * json - request bodies: from JSON text to events, everything checked.
 *
 * leat keeps the payload's own text, and must therefore have looked at every
 * key, string, number and literal in it, while building nothing.  So simdjson
 * finds where they stand (json_structure), and one pass over these places
 * checks the grammar of RFC 8259 and what stores cannot hold (json_walk), and
 * the fields and limits of each event (json_event).  Here it is put together:
 * bodies, lines, and the report of what was refused.
 *
 * A syntax error breaks a document: nothing of it counts.  A refused event
 * (missing type, bad time, ...) is reported, and the walk goes on behind it.
 * In NDJSON each line is a document of its own.
 */
#ifndef INGESTD_JSON_H
#define INGESTD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/* Bytes behind the text that json_read may read and write. */
#define JSON_PADDING 64

#define JSON_DEPTH_MAX 64 /* of a payload; its own braces are one */

/* Deeper documents break, whatever they hold. */
#define JSON_DEPTH_BREAK 1024

#define JSON_ERRORS_MAX 10     /* kept in a report; all are counted */
#define JSON_FIELD_TEXT_MAX 64 /* bytes of a field's name in a report */

struct json_error {
	uint64_t index;     /* of the event, from 0 */
	const char *reason; /* static text */
	char field[JSON_FIELD_TEXT_MAX];
	uint32_t field_bytes; /* 0: the event as a whole */
};

struct json_report {
	uint64_t accepted; /* events handed over */
	uint64_t rejected;
	uint64_t
	    ignored_fields; /* unknown ones, of all events that were read */
	const char *ignored_name; /* the first one's; "" if there are none */
	uint32_t error_count;     /* of errors[], at most JSON_ERRORS_MAX */
	struct json_error errors[JSON_ERRORS_MAX];
};

struct json_rules {
	int64_t received_at_us;
	uint64_t max_events;
	bool ignore_unknown; /* fields: pass over, rather than refuse */
	bool ndjson;
};

/*
 * Called for each good event, in order.  Slices live until it returns.  0;
 * -EMSGSIZE to refuse this event as too large and go on; or any other
 * -errno, which ends the reading and is what json_read returns.
 */
typedef int (*json_on_event)(void *arg, const struct event *event);

/* Memory for reading, kept between bodies. */
struct json_reader;

/* Returns NULL when out of memory. */
struct json_reader *json_reader_new(void);
void json_reader_free(struct json_reader *r);

/*
 * Read a body: an array of events, one event, or (rules->ndjson) one event a
 * line.  text holds len bytes and JSON_PADDING writable bytes more; the
 * padding is overwritten.  Returns 0 when it was read to its end, with what
 * was refused in report; -EBADMSG when it broke, with the reason and the
 * event as the report's only error; ERR_TOO_MANY_EVENTS when it holds more than
 * max_events; -ENOMEM; or what on_event returned.
 */
MUST_USE int json_read(struct json_reader *r, char *text, size_t len,
                       const struct json_rules *rules, json_on_event on_event,
                       void *arg, struct json_report *report);

#endif
