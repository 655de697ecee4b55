/*
 * json_walk - from place to place through a JSON text, checking its grammar.
 *
 * json_structure has found where the parts stand; the walk checks that they
 * are what RFC 8259 allows there, and holds nothing but what a store can:
 * no U+0000, no lone surrogate.  Nothing is built.
 */
#ifndef INGESTD_JSON_WALK_H
#define INGESTD_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* What a step of the walk found. */
enum json_found {
	JSON_GOOD,
	JSON_REFUSED, /* well-formed, but no event may hold it */
	JSON_BROKEN,  /* not JSON */
};

struct json_span {
	const char *at, *end;
};

/* After the last place stands the end of the text, which holds a NUL. */
struct json_walk {
	const char *text, *end;
	const uint32_t *next;  /* the place to look at */
	const char *backslash; /* the first one not behind us, or end */
	const char *why;       /* after JSON_REFUSED or JSON_BROKEN */
};

static inline char
json_walk_peek(const struct json_walk *w)
{
	return w->text[*w->next];
}

static inline bool
json_walk_at_end(const struct json_walk *w)
{
	return w->text + *w->next == w->end;
}

static inline enum json_found
json_walk_stop(struct json_walk *w, enum json_found found, const char *why)
{
	w->why = why;
	return found;
}

static inline size_t
json_span_bytes(const struct json_span *s)
{
	return (size_t)(s->end - s->at);
}

static inline bool
json_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* For json_walk_string alone: s may hold a backslash. */
MUST_USE enum json_found json_walk_escapes(struct json_walk *w,
                                           const struct json_span *s);

/*
 * The string whose opening quote stands at `open`, when `after` is the place
 * that follows it in the text; s is what stands between its quotes.
 */
MUST_USE static inline enum json_found
json_walk_string_at(struct json_walk *w, const char *open, const char *after,
                    struct json_span *s)
{
	const char *close = after - 1;

	/* Behind its closing quote only blanks precede what comes next. */
	while (*close != '"')
		close--;
	s->at = open + 1;
	s->end = close;
	return w->backslash < close ? json_walk_escapes(w, s) : JSON_GOOD;
}

/*
 * The string at next, which is a quote.
 * Like the two below it moves next behind what it looked at.
 */
MUST_USE static inline enum json_found
json_walk_string(struct json_walk *w, struct json_span *s)
{
	const char *open = w->text + *w->next++;

	return json_walk_string_at(w, open, w->text + *w->next, s);
}

/* The number at next, which is a digit or a minus. */
MUST_USE enum json_found json_walk_number(struct json_walk *w);

/*
 * Any value at next, with all that is in it, refused when it is nested
 * deeper than depth_max.  Goes on to its end after something refused.
 */
MUST_USE enum json_found json_walk_value(struct json_walk *w,
                                         unsigned depth_max);

#endif
