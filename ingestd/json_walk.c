/* json_walk - see json_walk.h. */
#include "ingestd/json_walk.h"

#include <errno.h>
#include <string.h>

#include "ingestd/json.h"
#include "ingestd/json_escape.h"

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

enum json_found
json_walk_number(struct json_walk *w)
{
	const char *p = w->text + *w->next++;

	if (*p == '-')
		p++;
	if (!json_digit(*p))
		return json_walk_stop(w, JSON_BROKEN, "bad number");
	if (*p++ != '0')
		while (json_digit(*p))
			p++;
	if (*p == '.') {
		if (!json_digit(*++p))
			return json_walk_stop(w, JSON_BROKEN, "bad number");
		while (json_digit(*p))
			p++;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		if (!json_digit(*p))
			return json_walk_stop(w, JSON_BROKEN, "bad number");
		while (json_digit(*p))
			p++;
	}
	if (!may_follow[(unsigned char)*p] && p != w->end)
		return json_walk_stop(w, JSON_BROKEN, "bad number");
	return JSON_GOOD;
}

/* Inline, so that each word's length is a constant. */
static inline enum json_found
literal(struct json_walk *w, const char *word, size_t n)
{
	const char *p = w->text + *w->next++;

	/* The padding is readable: no check of the length. */
	if (memcmp(p, word, n) != 0 ||
	    (!may_follow[(unsigned char)p[n]] && p + n != w->end))
		return json_walk_stop(w, JSON_BROKEN, "not a JSON value");
	return JSON_GOOD;
}

static enum json_found
scalar(struct json_walk *w)
{
	struct json_span ignored;

	switch (json_walk_peek(w)) {
	case '"':
		return json_walk_string(w, &ignored);
	case 't':
		return literal(w, "true", 4);
	case 'f':
		return literal(w, "false", 5);
	case 'n':
		return literal(w, "null", 4);
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return json_walk_number(w);
	default:
		return json_walk_stop(w, JSON_BROKEN,
		                      json_walk_at_end(w)
		                          ? "text ends too early"
		                          : "not a JSON value");
	}
}

/* A name and its colon. */
static enum json_found
name(struct json_walk *w)
{
	struct json_span ignored;
	enum json_found f;

	if (json_walk_peek(w) != '"')
		return json_walk_stop(w, JSON_BROKEN, "expected a name");
	f = json_walk_string(w, &ignored);
	if (w->text[*w->next++] != ':' && f != JSON_BROKEN)
		return json_walk_stop(w, JSON_BROKEN, "expected ':'");
	return f;
}

/* Whether f ends the walk; the first refusal is remembered. */
static bool
breaks(const struct json_walk *w, enum json_found f, const char **refused)
{
	if (f == JSON_REFUSED && !*refused)
		*refused = w->why;
	return f == JSON_BROKEN;
}

enum json_found
json_walk_value(struct json_walk *w, unsigned depth_max)
{
	char closing[JSON_DEPTH_BREAK]; /* what is open, by what closes it */
	const char *refused = NULL;
	unsigned depth = 0;
	char c, close = 0;

	for (;;) {
		c = json_walk_peek(w);
		if (c == '{' || c == '[') {
			w->next++;
			if (depth == JSON_DEPTH_BREAK)
				return json_walk_stop(w, JSON_BROKEN,
				                      "nested too deeply");
			if (depth == depth_max && !refused)
				refused = "nested too deeply";
			close = c == '{' ? '}' : ']';
			closing[depth++] = close;
			if (json_walk_peek(w) != close) {
				if (close == '}' &&
				    breaks(w, name(w), &refused))
					return JSON_BROKEN;
				continue;
			}
		} else if (breaks(w, scalar(w), &refused)) {
			return JSON_BROKEN;
		}
		/* Behind a value: what ends here, then a comma. */
		for (;; depth--) {
			if (depth == 0)
				return refused ? json_walk_stop(w, JSON_REFUSED,
				                                refused)
				               : JSON_GOOD;
			close = closing[depth - 1];
			c = w->text[*w->next++];
			if (c != close)
				break;
		}
		if (c != ',')
			return json_walk_stop(w, JSON_BROKEN,
			                      close == '}'
			                          ? "expected ',' or '}'"
			                          : "expected ',' or ']'");
		if (close == '}' && breaks(w, name(w), &refused))
			return JSON_BROKEN;
	}
}
