/*
 * json_report - the limits of a body's JSON, the rules of one reading, and
 * what was rejected: what all files that read JSON share.
 */
#ifndef LIBJSON_JSON_REPORT_H
#define LIBJSON_JSON_REPORT_H

#include <stdbool.h>
#include <stdint.h>

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

#endif
