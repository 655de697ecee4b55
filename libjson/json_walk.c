/* json_walk - see json_walk.h. */
#include "libjson/json_walk.h"

#include <errno.h>
#include <string.h>

#include "libjson/json_escape.h"
#include "libjson/json_report.h"

/* Bytes that may follow a number or a literal. */
static const bool may_follow[256] = {
    [' '] = true, ['\t'] = true, ['\r'] = true, ['\n'] = true,
    [','] = true, [']'] = true,  ['}'] = true,
};

enum json_found
json_walk_escapes(struct json_walk *w, const struct json_span *s)
{
	if (w->backslash < s->at) {
		w->backslash = memchr(s->at, '\\', (size_t)(w->end - s->at));
		if (!w->backslash)
			w->backslash = w->end;
		if (w->backslash >= s->end)
			return JSON_GOOD;
	}
	switch (json_escape_check(w->backslash, s->end, &w->why)) {
	case 0:
		return JSON_GOOD;
	case -EBADMSG:
		return JSON_BROKEN;
	default:
		return JSON_REFUSED;
	}
}

/* Read the number at p, which is a digit or a minus. */
static enum json_found
json_walk_number_at(struct json_walk *w, const char *p)
{
	if (*p == '-')
		p++;
	if (!json_digit(*p))
		return json_walk_stop(w, JSON_BROKEN, "invalid number");
	if (*p++ != '0')
		while (json_digit(*p))
			p++;
	if (*p == '.') {
		if (!json_digit(*++p))
			return json_walk_stop(w, JSON_BROKEN, "invalid number");
		while (json_digit(*p))
			p++;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		if (!json_digit(*p))
			return json_walk_stop(w, JSON_BROKEN, "invalid number");
		while (json_digit(*p))
			p++;
	}
	if (!may_follow[(unsigned char)*p] && p != w->end)
		return json_walk_stop(w, JSON_BROKEN, "invalid number");
	return JSON_GOOD;
}

enum json_found
json_walk_number(struct json_walk *w)
{
	return json_walk_number_at(w, w->text + *w->next++);
}

/* Inline, so that n is a constant and memcmp is not called. */
static inline enum json_found
literal(struct json_walk *w, const char *p, const char *name, size_t n)
{
	/* The padding may be read, so the length is not checked. */
	if (memcmp(p, name, n) != 0 ||
	    (!may_follow[(unsigned char)p[n]] && p + n != w->end))
		return json_walk_stop(w, JSON_BROKEN, "expected a JSON value");
	return JSON_GOOD;
}

/*
 * Read the string, number or literal at p; *next is the position after it.
 */
static inline enum json_found
scalar(struct json_walk *w, const char *p, const uint32_t *next)
{
	struct json_span ignored;

	switch (*p) {
	case '"':
		return json_walk_string_at(w, p, w->text + *next, &ignored);
	case 't':
		return literal(w, p, "true", 4);
	case 'f':
		return literal(w, p, "false", 5);
	case 'n':
		return literal(w, p, "null", 4);
	case '-':
	case '0' ... '9':
		return json_walk_number_at(w, p);
	default:
		return json_walk_stop(
		    w, JSON_BROKEN,
		    p == w->end ? "unexpected end of the JSON document"
				: "expected a JSON value");
	}
}

/* Read a field name and its colon, and move *next past them. */
static inline enum json_found
name(struct json_walk *w, const uint32_t **next)
{
	const char *open = w->text + *(*next)++, *after;
	struct json_span ignored;
	enum json_found f;

	if (*open != '"')
		return json_walk_stop(w, JSON_BROKEN,
		                      "expected a field name in quotes");
	after = w->text + *(*next)++;
	f = json_walk_string_at(w, open, after, &ignored);
	if (*after != ':' && f != JSON_BROKEN)
		return json_walk_stop(w, JSON_BROKEN, "expected ':'");
	return f;
}

enum json_found
json_walk_name(struct json_walk *w, struct json_span *s)
{
	enum json_found f;

	if (json_walk_peek(w) != '"')
		return json_walk_stop(w, JSON_BROKEN,
		                      "expected a field name in quotes");
	f = json_walk_string(w, s);
	if (w->text[*w->next++] != ':' && f != JSON_BROKEN)
		return json_walk_stop(w, JSON_BROKEN, "expected ':'");
	return f;
}

/* Return true if f ends the walk; remember the first refusal. */
static inline bool
breaks(const struct json_walk *w, enum json_found f, const char **refused)
{
	if (f == JSON_REFUSED && !*refused)
		*refused = w->why;
	return f == JSON_BROKEN;
}

_Static_assert(JSON_DEPTH_MAX == 64 && JSON_DEPTH_BREAK == 1024,
               "these texts have the numbers");
static const char depth_reason[] = "nested more than 64 levels deep";
static const char break_reason[] = "nested more than 1024 levels deep";

/* The position is a local variable, which can stay in a register. */
enum json_found
json_walk_value(struct json_walk *w, unsigned depth_max)
{
	char closing[JSON_DEPTH_BREAK]; /* the closing bracket of each level */
	const char *const text = w->text, *refused = NULL;
	const uint32_t *next = w->next;
	unsigned depth = 0;
	char c, close = 0;

	for (;;) {
		c = text[*next];
		if (c == '{' || c == '[') {
			next++;
			if (depth == JSON_DEPTH_BREAK)
				return json_walk_stop(w, JSON_BROKEN,
				                      break_reason);
			if (depth == depth_max && !refused)
				refused = depth_reason;
			close = c == '{' ? '}' : ']';
			closing[depth++] = close;
			if (text[*next] != close) {
				if (close == '}' &&
				    breaks(w, name(w, &next), &refused))
					return JSON_BROKEN;
				continue;
			}
		} else {
			const char *at = text + *next++;

			if (breaks(w, scalar(w, at, next), &refused))
				return JSON_BROKEN;
		}
		/* After a value come closing brackets, then a comma. */
		for (;; depth--) {
			if (depth == 0) {
				w->next = next;
				return refused ? json_walk_stop(w, JSON_REFUSED,
				                                refused)
				               : JSON_GOOD;
			}
			close = closing[depth - 1];
			c = text[*next++];
			if (c != close)
				break;
		}
		if (c != ',')
			return json_walk_stop(w, JSON_BROKEN,
			                      close == '}'
			                          ? "expected ',' or '}'"
			                          : "expected ',' or ']'");
		if (close == '}' && breaks(w, name(w, &next), &refused))
			return JSON_BROKEN;
	}
}
