/* json - see json.h. */
#include "libjson/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/error.h"
#include "libjson/json_event.h"
#include "libjson/json_structure.h"
#include "libjson/json_walk.h"

_Static_assert(JSON_PADDING >= JSON_STRUCTURE_PADDING,
               "callers leave the room that json_structure_find needs");

struct json_reader {
	struct json_structure *structure;
	struct json_event_reader event;

	/* The body being read. */
	const struct json_rules *rules;
	json_on_event on_event;
	void *arg;
	struct json_report *report;
	uint64_t index; /* of the event being read */
};

static const struct json_span no_field;

/* Report that an event is rejected, or that the document is broken. */
static void
json_note_error(struct json_reader *r, const struct json_span *field,
                const char *why)
{
	struct json_report *report = r->report;
	struct json_error *e;
	size_t n = json_span_bytes(field);

	report->rejected++;
	if (report->error_count == JSON_ERRORS_MAX)
		return;
	e = &report->errors[report->error_count++];
	e->index = r->index;
	e->reason = why;
	if (n > JSON_FIELD_TEXT_MAX) {
		n = JSON_FIELD_TEXT_MAX;
		while (n > 0 && (field->at[n] & 0xc0) == 0x80)
			n--; /* keep whole characters */
	}
	if (n > 0)
		memcpy(e->field, field->at, n);
	e->field_bytes = (uint32_t)n;
}

/* The document is broken: that is the only error in the report. */
static int
json_broken(struct json_reader *r, const char *why)
{
	*r->report = (struct json_report){0};
	r->event.walk.why = why; /* read_line reports it again */
	json_note_error(r, &no_field, why);
	return -EBADMSG;
}

/*
 * Go over a rejected event again, from its start to its end.  This moves past
 * it, and finds a syntax error after the reason for which it was rejected,
 * which breaks the document.
 */
static int
skip_refused(struct json_reader *r, const struct json_walk *start)
{
	struct json_walk *w = &r->event.walk;

	*w = *start;
	if (json_walk_value(w, JSON_DEPTH_BREAK) == JSON_BROKEN)
		return json_broken(r, w->why);
	return 0;
}

static int
hand_over(struct json_reader *r, const struct event *e)
{
	int rc = r->on_event(r->arg, e);

	if (rc == 0)
		r->report->accepted++;
	if (rc != -EMSGSIZE)
		return rc;
	json_note_error(r, &no_field, "larger than max_event_bytes");
	return 0;
}

/* If whole_text is set, nothing may follow the event. */
static int
one_event(struct json_reader *r, bool whole_text)
{
	struct json_walk *w = &r->event.walk;
	const struct json_walk start = *w;
	enum json_found f;
	struct event e;
	int rc = 0;

	if (r->index >= r->rules->max_events)
		return ERR_TOO_MANY_EVENTS;
	f = json_event_read(&r->event, &e);
	if (f == JSON_BROKEN)
		return json_broken(r, w->why);
	if (f == JSON_REFUSED) {
		json_note_error(r, &r->event.field, w->why);
		rc = skip_refused(r, &start);
	}
	if (rc == 0 && whole_text && !json_walk_at_end(w))
		return json_broken(r,
		                   "unexpected data after the JSON document");
	if (rc == 0 && f == JSON_GOOD)
		rc = hand_over(r, &e);
	r->index++;
	return rc;
}

static int
array(struct json_reader *r)
{
	struct json_walk *w = &r->event.walk;
	char c = ',';

	w->next++;
	if (json_walk_peek(w) == ']') {
		w->next++;
		c = ']';
	}
	while (c == ',') {
		int rc = one_event(r, false);

		if (rc < 0)
			return rc;
		c = w->text[*w->next++];
	}
	if (c != ']')
		return json_broken(r, "expected ',' or ']'");
	if (!json_walk_at_end(w))
		return json_broken(r,
		                   "unexpected data after the JSON document");
	return 0;
}

/*
 * Return the index of the event in which json_structure found its fault: a
 * control character in a string, bytes that are not UTF-8, or a string without
 * an end.  json_structure does not tell where that is, so this function looks
 * for the first such fault and counts the commas between events before it.
 */
static uint64_t
locate(const char *text, size_t len)
{
	bool in_string = false;
	unsigned depth = 0;
	uint64_t commas = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x80) {
			size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

			if (n > len - i || !json_structure_utf8(text + i, n))
				break;
			i += n - 1;
		} else if (in_string) {
			if (c < 0x20)
				break;
			if (c == '\\')
				i++;
			in_string = c != '"';
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		} else if (c == ',' && depth == 1) {
			commas++;
		}
	}
	return commas;
}

/* Start the walk over a text.  Returns as json_structure_find. */
static int
json_begin(struct json_reader *r, const char *text, size_t len)
{
	struct json_walk *w = &r->event.walk;

	w->text = text;
	w->end = text + len;
	w->backslash = text;
	return json_structure_find(r->structure, text, len, &w->next, &w->why);
}

static int
document(struct json_reader *r, const char *text, size_t len)
{
	struct json_walk *w = &r->event.walk;
	int rc = json_begin(r, text, len);

	if (rc == -EBADMSG) {
		if (memchr(text, '[', len) == text + strspn(text, " \t\r\n"))
			r->index = locate(text, len);
		return json_broken(r, w->why);
	}
	if (rc < 0)
		return rc;
	if (json_walk_peek(w) == '[')
		return array(r);
	if (json_walk_peek(w) == '{')
		return one_event(r, true);
	return json_broken(r, "must be an event or an array of events");
}

static bool
blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p == end;
}

/*
 * Read one line as the event at r->index.  A line that is not valid JSON is
 * one rejected event; it does not affect other lines.
 */
static int
line(struct json_reader *r, const char *text, size_t len)
{
	const struct json_report so_far = *r->report;
	const uint64_t index = r->index;
	int rc = json_begin(r, text, len);

	if (rc == 0)
		rc = one_event(r, true);
	r->index = index; /* one_event may have counted it already */
	if (rc == -EBADMSG) {
		*r->report = so_far;
		json_note_error(r, &no_field, r->event.walk.why);
		rc = 0;
	}
	r->index++;
	return rc;
}

static int
lines(struct json_reader *r, const char *text, size_t len)
{
	const char *p = text, *end = text + len, *line_end;
	int rc = 0;

	for (; rc == 0 && p < end; p = line_end + 1) {
		line_end = memchr(p, '\n', (size_t)(end - p));
		if (!line_end)
			line_end = end;
		if (blank(p, line_end))
			continue;
		/* Lines that are not valid JSON count, too. */
		if (r->index >= r->rules->max_events)
			return ERR_TOO_MANY_EVENTS;
		rc = line(r, p, (size_t)(line_end - p));
	}
	return rc;
}

struct json_reader *
json_reader_new(void)
{
	struct json_reader *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->structure = json_structure_new();
	if (!r->structure) {
		free(r);
		return NULL;
	}
	return r;
}

void
json_reader_free(struct json_reader *r)
{
	if (!r)
		return;
	json_structure_free(r->structure);
	free(r);
}

int
json_read(struct json_reader *r, char *text, size_t len,
          const struct json_rules *rules, json_on_event on_event, void *arg,
          struct json_report *report)
{
	int rc;

	/* RFC 8259, section 8.1, lets a reader skip a byte order mark. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	memset(text + len, 0, JSON_PADDING);
	*report = (struct json_report){0};
	r->rules = rules;
	r->event.rules = rules;
	r->on_event = on_event;
	r->arg = arg;
	r->report = report;
	r->index = 0;
	r->event.ignored = 0;
	r->event.ignored_name[0] = '\0';
	rc = rules->ndjson ? lines(r, text, len) : document(r, text, len);
	report->ignored_fields = r->event.ignored;
	report->ignored_name = r->event.ignored_name;
	if (json_structure_trim(r->structure) < 0)
		return -ENOMEM;
	return rc;
}
