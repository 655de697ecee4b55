/* json_event - see json_event.h. */
#include "libjson/json_event.h"

#include <errno.h>
#include <string.h>

#include "libproto/rfc3339.h"

/* Limit on the length of a time that has escapes; others have none. */
#define TIME_TEXT_MAX EVENT_USER_ID_MAX

/*
 * As milliseconds this is March 1973; as seconds, the year 5138.  A smaller
 * number is a time in seconds, sent by mistake.
 */
#define MILLISECONDS_MIN INT64_C(100000000000)

static enum json_found
refuse(struct json_event_reader *r, const char *why)
{
	return json_walk_stop(&r->walk, JSON_REFUSED, why);
}

static enum json_found
json_event_broken(struct json_event_reader *r, const char *why)
{
	return json_walk_stop(&r->walk, JSON_BROKEN, why);
}

/* Read a string of min to max bytes; `range` is the reason if it is not. */
static enum json_found
json_event_read_text(struct json_event_reader *r, struct slice *out,
                     enum event_field field, size_t min, size_t max,
                     const char *range)
{
	struct json_walk *w = &r->walk;
	struct json_span s;
	enum json_found f;
	const char *at;
	size_t n;

	if (json_walk_peek(w) != '"')
		return refuse(r, "must be a string");
	f = json_walk_string(w, &s);
	if (f != JSON_GOOD)
		return f;
	at = s.at;
	n = json_span_bytes(&s);
	if (w->backslash < s.end) {
		n = json_escape_remove(s.at, s.end, r->texts[field], max);
		at = r->texts[field];
	}
	if (n < min || n > max)
		return refuse(r, range);
	*out = (struct slice){at, (uint32_t)n};
	return JSON_GOOD;
}

static const char time_shape[] =
    "must be an RFC 3339 time or whole milliseconds";
static const char time_range[] = "must be within the years 1970 to 9999";

static enum json_found
read_milliseconds(struct json_event_reader *r, int64_t *us)
{
	const char *p = r->walk.text + *r->walk.next;
	enum json_found f = json_walk_number(&r->walk);
	int64_t ms = 0;

	if (f != JSON_GOOD)
		return f;
	if (*p == '-')
		return refuse(r, time_range);
	for (; json_digit(*p); p++) {
		ms = ms * 10 + (*p - '0');
		if (ms > EVENT_TIME_MAX_US / 1000)
			return refuse(r, time_range);
	}
	if (*p == '.' || *p == 'e' || *p == 'E')
		return refuse(r, time_shape);
	if (ms < MILLISECONDS_MIN)
		return refuse(r, "looks like seconds; send milliseconds");
	*us = ms * 1000;
	return JSON_GOOD;
}

static enum json_found
json_event_read_time(struct json_event_reader *r, int64_t *us)
{
	struct json_walk *w = &r->walk;
	char c = json_walk_peek(w);
	struct json_span s;
	enum json_found f;
	size_t n;
	int rc;

	if (c == '-' || json_digit(c))
		return read_milliseconds(r, us);
	if (c != '"')
		return refuse(r, time_shape);
	f = json_walk_string(w, &s);
	if (f != JSON_GOOD)
		return f;
	if (w->backslash < s.end) {
		n = json_escape_remove(s.at, s.end, r->texts[FIELD_CREATED_AT],
		                       TIME_TEXT_MAX);
		if (n > TIME_TEXT_MAX)
			return refuse(r, time_shape);
		s.at = r->texts[FIELD_CREATED_AT];
		s.end = s.at + n;
	}
	rc = rfc3339_read(s.at, json_span_bytes(&s), us);
	if (rc < 0)
		return refuse(r, rc == -ERANGE ? time_range : time_shape);
	return JSON_GOOD;
}

/* The payload is kept byte for byte, as it was sent. */
static enum json_found
read_payload(struct json_event_reader *r, struct slice *out)
{
	struct json_walk *w = &r->walk;
	const char *start = w->text + *w->next;
	enum json_found f;

	if (*start != '{')
		return refuse(r, "must be an object");
	f = json_walk_value(w, JSON_DEPTH_MAX);
	if (f == JSON_GOOD) {
		const char *last = w->text + w->next[-1];

		*out = (struct slice){start, (uint32_t)(last + 1 - start)};
	}
	return f;
}

/* Return the field of this name, or FIELD_COUNT if it is unknown. */
static enum event_field
field_of(const struct json_span *name)
{
	const char *p = name->at;

	/* With constant lengths the compiler compares without a call. */
	switch (json_span_bytes(name)) {
	case 2:
		return memcmp(p, "id", 2) == 0 ? FIELD_ID : FIELD_COUNT;
	case 4:
		return memcmp(p, "type", 4) == 0 ? FIELD_TYPE : FIELD_COUNT;
	case 7:
		if (memcmp(p, "payload", 7) == 0)
			return FIELD_PAYLOAD;
		return memcmp(p, "user_id", 7) == 0 ? FIELD_USER_ID
		                                    : FIELD_COUNT;
	case 10:
		return memcmp(p, "created_at", 10) == 0 ? FIELD_CREATED_AT
		                                        : FIELD_COUNT;
	case 11:
		return memcmp(p, "received_at", 11) == 0 ? FIELD_RECEIVED_AT
		                                         : FIELD_COUNT;
	default:
		return FIELD_COUNT;
	}
}

/* Return true if null means the same as leaving the field out. */
static bool
may_be_null(enum event_field field)
{
	return field == FIELD_ID || field == FIELD_USER_ID ||
	       field == FIELD_PAYLOAD || field == FIELD_CREATED_AT;
}

/* Keep the name of a field that is ignored, for the log. */
static void
keep_ignored(struct json_event_reader *r)
{
	size_t n = json_span_bytes(&r->field);

	if (n > JSON_FIELD_TEXT_MAX)
		n = JSON_FIELD_TEXT_MAX;
	memcpy(r->ignored_name, r->field.at, n);
	r->ignored_name[n] = '\0';
}

/* Read the value of the field whose name is in r->field. */
static enum json_found
read_value(struct json_event_reader *r, struct event *e, unsigned *seen)
{
	enum event_field field = field_of(&r->field);

	if (field != FIELD_COUNT && *seen >> field & 1)
		return refuse(r, "duplicate field");
	*seen |= 1U << field;
	if (may_be_null(field) && json_walk_peek(&r->walk) == 'n')
		return json_walk_value(&r->walk, 0);
	switch (field) {
	case FIELD_ID:
		return json_event_read_text(r, &e->id, field, 1, EVENT_ID_MAX,
		                            "must be 1 to 128 bytes long");
	case FIELD_TYPE:
		return json_event_read_text(r, &e->type, field, 1,
		                            EVENT_TYPE_MAX,
		                            "must be 1 to 128 bytes long");
	case FIELD_USER_ID:
		return json_event_read_text(r, &e->user_id, field, 0,
		                            EVENT_USER_ID_MAX,
		                            "must be at most 256 bytes long");
	case FIELD_PAYLOAD:
		return read_payload(r, &e->payload);
	case FIELD_CREATED_AT:
		return json_event_read_time(r, &e->created_at_us);
	case FIELD_RECEIVED_AT:
		return refuse(r, "is set by the server; leave it out");
	case FIELD_COUNT:
		break;
	}
	if (!r->rules->ignore_unknown)
		return refuse(r, "unknown field");
	if (r->ignored++ == 0)
		keep_ignored(r);
	return json_walk_value(&r->walk, JSON_DEPTH_MAX);
}

/*
 * Read a field's name into r->field, and its colon.
 *
 * json_walk_string writes the two pointers of the span directly into r->field.
 * With a local span that is then copied as a whole, the processor would have
 * to wait for the two stores before it could load both at once.
 */
static enum json_found
json_event_read_name(struct json_event_reader *r)
{
	struct json_walk *w = &r->walk;
	enum json_found f;

	r->field.at = r->field.end = NULL;
	if (json_walk_peek(w) != '"')
		return json_event_broken(r, "expected a field name in quotes");
	f = json_walk_string(w, &r->field);
	if (f != JSON_GOOD) {
		r->field.at = r->field.end = NULL;
		return f;
	}
	if (w->backslash < r->field.end) {
		size_t n = json_escape_remove(r->field.at, r->field.end,
		                              r->name, JSON_FIELD_TEXT_MAX);

		/* No field that we know has a longer name. */
		if (n <= JSON_FIELD_TEXT_MAX) {
			r->field.at = r->name;
			r->field.end = r->name + n;
		}
	}
	if (w->text[*w->next++] != ':')
		return json_event_broken(r, "expected ':'");
	return JSON_GOOD;
}

/* The type is the only required field. */
static enum json_found
missing_type(struct json_event_reader *r)
{
	static const char type[] = "type";

	r->field = (struct json_span){type, type + strlen(type)};
	return refuse(r, "missing");
}

static enum json_found
json_event_read_fields(struct json_event_reader *r, struct event *e)
{
	struct json_walk *w = &r->walk;
	unsigned seen = 0;
	char c;

	do {
		enum json_found f = json_event_read_name(r);

		if (f == JSON_GOOD)
			f = read_value(r, e, &seen);
		if (f != JSON_GOOD)
			return f;
		c = w->text[*w->next++];
	} while (c == ',');
	if (c != '}')
		return json_event_broken(r, "expected ',' or '}'");
	return seen >> FIELD_TYPE & 1 ? JSON_GOOD : missing_type(r);
}

enum json_found
json_event_read(struct json_event_reader *r, struct event *e)
{
	*e = (struct event){
	    .payload = {"{}", 2},
	    .created_at_us = r->rules->received_at_us,
	    .received_at_us = r->rules->received_at_us,
	};
	r->field = (struct json_span){NULL, NULL};
	if (json_walk_peek(&r->walk) != '{')
		return refuse(r, "must be an object");
	r->walk.next++;
	if (json_walk_peek(&r->walk) != '}')
		return json_event_read_fields(r, e);
	r->walk.next++;
	return missing_type(r);
}
