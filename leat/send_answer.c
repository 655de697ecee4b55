/* send_answer - see send_answer.h. */
#include "leat/send_answer.h"

#include <string.h>

#include "libjson/json_escape.h"
#include "libjson/json_walk.h"

static bool
is(const struct json_span *name, const char *text)
{
	return json_span_bytes(name) == strlen(text) &&
	       memcmp(name->at, text, json_span_bytes(name)) == 0;
}

/* Read any value; returns false if it is broken. */
static bool
skip(struct json_walk *w)
{
	return json_walk_value(w, JSON_DEPTH_BREAK) == JSON_GOOD;
}

/* Read a whole number into *out.  Any other value is skipped. */
static bool
answer_number(struct json_walk *w, uint64_t *out)
{
	const char *p = w->text + *w->next;
	uint64_t n = 0;

	for (; json_digit(*p) && n < UINT64_MAX / 100; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	*out = n;
	return skip(w);
}

/* Read a string into out, which has room for SEND_ANSWER_TEXT bytes or less. */
static bool
answer_text(struct json_walk *w, char *out, size_t size)
{
	char plain[SEND_ANSWER_TEXT + JSON_ESCAPE_SPARE];
	struct json_span s;
	size_t n;

	if (json_walk_peek(w) != '"')
		return skip(w);
	if (json_walk_string(w, &s) != JSON_GOOD)
		return false;
	n = json_escape_remove(s.at, s.end, plain, size - 1);
	if (n > size - 1)
		n = size - 1; /* the beginning was written */
	memcpy(out, plain, n);
	out[n] = '\0';
	return true;
}

/*
 * Move to the next member of an object, whose brace or comma is at w->next.
 * Returns false at the end of the object, which w->next is then past, or if it
 * is broken, with w->why.
 */
static bool
next_member(struct json_walk *w, struct json_span *name, char *separator)
{
	char c = w->text[*w->next++];

	if (c == *separator && c == '{' && json_walk_peek(w) == '}') {
		w->next++;
		return false;
	}
	if (c != *separator) {
		if (c != '}')
			w->why = "expected ',' or '}'";
		return false;
	}
	*separator = ',';
	return json_walk_name(w, name) == JSON_GOOD;
}

static bool
read_error(struct json_walk *w, struct send_answer_error *e)
{
	char separator = '{';
	struct json_span name;

	*e = (struct send_answer_error){.index = UINT64_MAX};
	if (json_walk_peek(w) != '{')
		return skip(w);
	while (next_member(w, &name, &separator)) {
		bool good = is(&name, "index") ? answer_number(w, &e->index)
		            : is(&name, "field")
		                ? answer_text(w, e->field, sizeof e->field)
		            : is(&name, "reason")
		                ? answer_text(w, e->reason, sizeof e->reason)
		                : skip(w);

		if (!good)
			return false;
	}
	return !w->why;
}

static bool
read_errors(struct json_walk *w, struct send_answer *a)
{
	char c = ',';

	if (json_walk_peek(w) != '[')
		return skip(w);
	w->next++;
	if (json_walk_peek(w) == ']') {
		w->next++;
		return true;
	}
	while (c == ',') {
		if (a->error_count == JSON_ERRORS_MAX) {
			if (!skip(w))
				return false;
		} else if (!read_error(w, &a->errors[a->error_count++])) {
			return false;
		}
		c = w->text[*w->next++];
	}
	return c == ']';
}

static bool
read_member(struct json_walk *w, const struct json_span *name,
            struct send_answer *a)
{
	if (is(name, "accepted")) {
		a->has_accepted = true;
		return answer_number(w, &a->accepted);
	}
	if (is(name, "rejected"))
		return answer_number(w, &a->rejected);
	if (is(name, "ignored_fields"))
		return answer_number(w, &a->ignored_fields);
	if (is(name, "error"))
		return answer_text(w, a->error, sizeof a->error);
	if (is(name, "reason"))
		return answer_text(w, a->reason, sizeof a->reason);
	if (is(name, "errors"))
		return read_errors(w, a);
	return skip(w);
}

bool
send_answer_read(struct json_structure *structure, const char *text,
                 size_t bytes, struct send_answer *a)
{
	struct json_walk w = {
	    .text = text, .end = text + bytes, .backslash = text};
	char separator = '{';
	struct json_span name;

	*a = (struct send_answer){0};
	if (json_structure_find(structure, text, bytes, &w.next, &w.why) < 0 ||
	    json_walk_peek(&w) != '{')
		return false;
	while (next_member(&w, &name, &separator))
		if (!read_member(&w, &name, a))
			return false;
	return !w.why && json_walk_at_end(&w);
}
