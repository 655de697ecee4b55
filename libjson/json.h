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
#ifndef LIBJSON_JSON_H
#define LIBJSON_JSON_H

#include <stddef.h>

#include "libbase/base.h"
#include "libjson/json_report.h"
#include "libproto/event.h"

/* Bytes after the text that json_read may read and write. */
#define JSON_PADDING 64

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
