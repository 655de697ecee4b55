/* dlq_record - see dlq_record.h. */
#include "libproto/dlq_record.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/hex.h"
#include "libproto/event_json.h"
#include "libproto/rfc3339.h"

static int
put_string(struct buf *out, const char *key, const struct slice *value)
{
	int rc = buf_add(out, key, strlen(key));

	return rc < 0 ? rc
	              : buf_add_json_string(out, value->data, value->bytes);
}

static int
put_time(struct buf *out, const char *key, int64_t us)
{
	char text[CLOCK_TEXT_BYTES + 1];

	clock_format_us(us, text);
	return buf_addf(out, "%s\"%s\"", key, text);
}

/*
 * Return true if the payload can be in the line as it is, and be found there
 * again.  That it is an object was checked by ingestd, but another process may
 * have sent it in ingestd's place.
 */
static bool
fits_line(const struct slice *payload)
{
	const char *text = payload->data;
	size_t n = payload->bytes;

	return n >= 2 && text[0] == '{' && text[n - 1] == '}' &&
	       !memchr(text, '\n', n) && !memchr(text, '\r', n);
}

static int
put_event(struct buf *out, const struct dlq_record *record)
{
	static const char key[] = ",\"event\":";
	const struct event *event = &record->event;
	int rc;

	if (!record->without_payload) {
		rc = buf_add(out, key, sizeof key - 1);
		if (rc == 0)
			rc = event_json_add(out, event,
			                    !fits_line(&event->payload));
		return rc < 0 ? rc : buf_add(out, "}\n", 2);
	}
	rc = put_string(out, ",\"event\":{\"id\":", &event->id);
	if (rc == 0)
		rc = put_string(out, ",\"type\":", &event->type);
	return rc < 0 ? rc
	              : buf_addf(out, ",\"payload_bytes\":%" PRIu64 "}}\n",
	                         record->payload_bytes);
}

int
dlq_record_add(struct buf *out, const struct dlq_record *record)
{
	size_t before = out->len;
	int rc = put_string(out, "{\"stream\":", &record->stream);

	if (rc == 0)
		rc = buf_addf(out, ",\"offset\":%" PRIu64, record->offset);
	if (rc == 0)
		rc = put_string(out, ",\"sink\":", &record->sink);
	if (rc == 0)
		rc = put_time(out, ",\"at\":", record->at_us);
	if (rc == 0)
		rc = put_string(out, ",\"code\":", &record->code);
	if (rc == 0)
		rc = put_string(out, ",\"reason\":", &record->reason);
	if (rc == 0)
		rc = put_event(out, record);
	if (rc < 0)
		out->len = before;
	return rc;
}

/* A reader of one line.  After a failed step all later steps do nothing. */
struct dlq_record_reader {
	char *start, *at, *end;
	const char *why; /* NULL if no step has failed */
};

static void
reader_fail(struct dlq_record_reader *r, const char *why)
{
	if (!r->why)
		r->why = why;
}

static bool
reader_skip(struct dlq_record_reader *r, const char *text)
{
	size_t n = strlen(text);

	if (r->why || (size_t)(r->end - r->at) < n ||
	    memcmp(r->at, text, n) != 0)
		return false;
	r->at += n;
	return true;
}

static void
reader_expect(struct dlq_record_reader *r, const char *text, const char *why)
{
	if (!reader_skip(r, text))
		reader_fail(r, why);
}

/* Read what follows a backslash, as buf_add_json_string writes it. */
static char
take_escape(struct dlq_record_reader *r)
{
	int high, low;

	if (reader_skip(r, "n"))
		return '\n';
	if (reader_skip(r, "\""))
		return '"';
	if (reader_skip(r, "\\"))
		return '\\';
	if (reader_skip(r, "u00") && r->end - r->at >= 2) {
		high = hex_digit(r->at[0]);
		low = hex_digit(r->at[1]);
		/* The writer uses lower case only, and nothing above 1f. */
		if ((high == 0 || high == 1) && low >= 0 &&
		    !isupper((unsigned char)r->at[1])) {
			r->at += 2;
			return (char)(high << 4 | low);
		}
	}
	reader_fail(r, "bad escape in a string");
	return 0;
}

static void
take_string(struct dlq_record_reader *r, struct slice *s, size_t min,
            size_t max)
{
	char *out;

	reader_expect(r, "\"", "a string must follow");
	out = r->at;
	*s = (struct slice){out, 0};
	while (!r->why && r->at < r->end && *r->at != '"') {
		char c = *r->at++;

		if (c == '\\')
			c = take_escape(r);
		*out++ = c;
	}
	reader_expect(r, "\"", "the string has no end");
	if (r->why)
		return;
	s->bytes = (uint32_t)(out - s->data);
	if (s->bytes < min || s->bytes > max)
		reader_fail(r, "the string is too short or too long");
}

static void
take_number(struct dlq_record_reader *r, uint64_t *value)
{
	char *first = r->at;
	uint64_t v = 0;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9' &&
	       v <= (INT64_MAX - 9) / 10)
		v = v * 10 + (uint64_t)(*r->at++ - '0');
	if (r->at == first)
		reader_fail(r, "a number must follow");
	*value = v;
}

/* Read a time as clock_format_us writes it.  Any other form is refused. */
static void
take_time(struct dlq_record_reader *r, int64_t *us)
{
	char again[CLOCK_TEXT_BYTES + 1] = "";
	int rc;

	reader_expect(r, "\"", "a time must follow");
	if (r->why || r->end - r->at < CLOCK_TEXT_BYTES) {
		reader_fail(r, "a time must follow");
		return;
	}
	rc = rfc3339_read(r->at, CLOCK_TEXT_BYTES, us);
	if (rc == 0)
		clock_format_us(*us, again);
	if (rc < 0 || memcmp(r->at, again, CLOCK_TEXT_BYTES) != 0) {
		reader_fail(
		    r, "not a time of the form 2026-01-31T23:59:59.123456Z");
		return;
	}
	r->at += CLOCK_TEXT_BYTES;
	reader_expect(r, "\"", "the time has no end");
}

/* ,"created_at":"..","received_at":".."}} has one length, from the end. */
#define TAIL_BYTES (2 * (CLOCK_TEXT_BYTES + 2) + 14 + 15 + 2)

static void
take_payload(struct dlq_record_reader *r, struct slice *payload)
{
	if (reader_skip(r, ",\"payload_text\":")) {
		take_string(r, payload, 2, EVENT_PACKED_MAX);
		return;
	}
	reader_expect(r, ",\"payload\":", "payload must follow");
	if (r->why || r->end - r->at < TAIL_BYTES + 2 ||
	    r->end - r->at > TAIL_BYTES + EVENT_PACKED_MAX || *r->at != '{') {
		reader_fail(
		    r, "payload must be an object, and the two times follow");
		return;
	}
	*payload =
	    (struct slice){r->at, (uint32_t)(r->end - r->at - TAIL_BYTES)};
	r->at += payload->bytes;
	if (r->at[-1] != '}')
		reader_fail(r, "payload must be an object");
}

static void
take_event(struct dlq_record_reader *r, struct dlq_record *record)
{
	struct event *event = &record->event;

	reader_expect(r, ",\"event\":{\"id\":", "event must follow");
	take_string(r, &event->id, 1, EVENT_ID_MAX);
	reader_expect(r, ",\"type\":", "type must follow");
	take_string(r, &event->type, 1, EVENT_TYPE_MAX);
	record->without_payload = reader_skip(r, ",\"payload_bytes\":");
	if (record->without_payload) {
		take_number(r, &record->payload_bytes);
		event->user_id = event->payload = (struct slice){0};
		event->created_at_us = event->received_at_us = 0;
		goto end;
	}
	record->payload_bytes = 0;
	reader_expect(r, ",\"user_id\":", "user_id must follow");
	if (reader_skip(r, "null"))
		event->user_id = (struct slice){0};
	else
		take_string(r, &event->user_id, 0, EVENT_USER_ID_MAX);
	take_payload(r, &event->payload);
	reader_expect(r, ",\"created_at\":", "created_at must follow");
	take_time(r, &event->created_at_us);
	reader_expect(r, ",\"received_at\":", "received_at must follow");
	take_time(r, &event->received_at_us);
end:
	reader_expect(r, "}}", "the line has no end");
	if (r->at != r->end)
		reader_fail(r, "something follows the end");
}

int
dlq_record_read(char *line, size_t bytes, struct dlq_record *record,
                const char **why, size_t *at)
{
	struct dlq_record_reader r = {
	    .start = line, .at = line, .end = line + bytes};

	reader_expect(&r, "{\"stream\":", "not a dead letter");
	take_string(&r, &record->stream, 1, 64);
	reader_expect(&r, ",\"offset\":", "offset must follow");
	take_number(&r, &record->offset);
	reader_expect(&r, ",\"sink\":", "sink must follow");
	take_string(&r, &record->sink, 1, 64);
	reader_expect(&r, ",\"at\":", "at must follow");
	take_time(&r, &record->at_us);
	reader_expect(&r, ",\"code\":", "code must follow");
	take_string(&r, &record->code, 0, 64);
	reader_expect(&r, ",\"reason\":", "reason must follow");
	take_string(&r, &record->reason, 0, 4096);
	take_event(&r, record);
	if (!r.why)
		return 0;
	*why = r.why;
	*at = (size_t)(r.at - r.start);
	return -EBADMSG;
}

int
dlq_record_peek(const char *line, size_t bytes, struct slice *stream,
                uint64_t *offset)
{
	/*
	 * The line is not changed: the steps skip, and the string has no
	 * escapes.
	 */
	struct dlq_record_reader r = {.start = (char *)(uintptr_t)line,
	                              .at = (char *)(uintptr_t)line,
	                              .end = (char *)(uintptr_t)line + bytes};
	const char *close;

	reader_expect(&r, "{\"stream\":\"", "");
	if (r.why)
		return -EBADMSG;
	close = memchr(r.at, '"', (size_t)(r.end - r.at));
	if (!close)
		return -EBADMSG;
	*stream = (struct slice){r.at, (uint32_t)(close - r.at)};
	r.at += stream->bytes;
	reader_expect(&r, "\",\"offset\":", "");
	if (!r.why)
		take_number(&r, offset);
	return r.why ? -EBADMSG : 0;
}

/* Go to the end of a string, without unescaping it. */
static struct slice
peek_string(struct dlq_record_reader *r)
{
	struct slice s;

	reader_expect(r, "\"", "");
	s.data = r->at;
	while (!r->why && r->at < r->end && *r->at != '"')
		r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
	s.bytes = (uint32_t)(r->at - s.data);
	reader_expect(r, "\"", "");
	return s;
}

int
dlq_record_peek_type(const char *line, size_t bytes, struct slice *type,
                     bool *without_payload)
{
	static const char *const keys[] = {
	    ",\"sink\":",          ",\"at\":",   ",\"code\":", ",\"reason\":",
	    ",\"event\":{\"id\":", ",\"type\":",
	};
	/* The line is not changed. */
	struct dlq_record_reader r = {.start = (char *)(uintptr_t)line,
	                              .at = (char *)(uintptr_t)line,
	                              .end = (char *)(uintptr_t)line + bytes};
	uint64_t offset;

	reader_expect(&r, "{\"stream\":", "");
	(void)peek_string(&r);
	reader_expect(&r, ",\"offset\":", "");
	if (!r.why)
		take_number(&r, &offset);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		reader_expect(&r, keys[i], "");
		*type = peek_string(&r);
	}
	*without_payload = reader_skip(&r, ",\"payload_bytes\":");
	return r.why ? -EBADMSG : 0;
}
