/*
 * json - read the events in a request body, and check all of it.
 *
 * leat stores the payload's own text.  It must therefore check every key,
 * string, number and literal in it, but need not build anything from them.
 * So simdjson finds the positions of these parts (json_structure), and one
 * pass through the positions checks the grammar of RFC 8259 and the characters
 * that stores cannot hold (json_walk), and the fields and limits of each event
 * (json_event).  This file puts these together: it reads documents and lines
 * and reports what was rejected.
 *
 * A syntax error breaks a document, so that none of its events is accepted.
 * An event that is valid JSON but has, for example, no type is rejected by
 * itself: it is reported, and reading continues after it.  In NDJSON each line
 * is a document of its own.
 */
#ifndef INGESTD_JSON_H
#define INGESTD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/* Bytes after the text that json_read may read and write. */
#define JSON_PADDING 64

#define JSON_DEPTH_MAX 64 /* of a payload; its own braces are one */

/* A document that is nested deeper is broken, whatever it contains. */
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
	uint64_t accepted; /* events for which on_event returned 0 */
	uint64_t rejected;
	uint64_t ignored_fields;  /* unknown, in all events that were read */
	const char *ignored_name; /* of the first of them; "" if none */
	uint32_t error_count;     /* of errors[], at most JSON_ERRORS_MAX */
	struct json_error errors[JSON_ERRORS_MAX];
};

struct json_rules {
	int64_t received_at_us;
	uint64_t max_events;
	bool ignore_unknown; /* skip unknown fields; else reject the event */
	bool ndjson;
};

/*
 * Called for each valid event, in order.  Its slices are valid until it
 * returns.  It returns 0; -EMSGSIZE to reject this event as too large and
 * continue; or any other -errno, which json_read returns at once.
 */
typedef int (*json_on_event)(void *arg, const struct event *event);

/* Memory for reading, which is kept from one body to the next. */
struct json_reader;

/* Returns NULL when out of memory. */
struct json_reader *json_reader_new(void);
void json_reader_free(struct json_reader *r);

/*
 * Read a body: an array of events, one event, or (with rules->ndjson) one
 * event per line.  `text` has len bytes and JSON_PADDING writable bytes after
 * them, which are overwritten.  Returns
 *   0 if the body was read to its end; the report has what was rejected;
 *   -EBADMSG if the body is broken; the report has the reason and the index of
 *     the event as its only error;
 *   ERR_TOO_MANY_EVENTS if it has more than max_events;
 *   -ENOMEM; or
 *   what on_event returned.
 */
MUST_USE int json_read(struct json_reader *r, char *text, size_t len,
                       const struct json_rules *rules, json_on_event on_event,
                       void *arg, struct json_report *report);

#endif
