/*
 * json_walk - check the grammar of a JSON text, from position to position.
 *
 * json_structure has found the positions of the parts.  The walk checks that
 * each is what RFC 8259 allows there, and that strings contain only what a
 * store can hold: no U+0000 and no unpaired surrogate.  It builds nothing.
 */
#ifndef LIBJSON_JSON_WALK_H
#define LIBJSON_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* What a step of the walk found. */
enum json_found {
	JSON_GOOD,
	JSON_REFUSED, /* valid JSON, but not allowed in an event */
	JSON_BROKEN,  /* not valid JSON */
};

struct json_span {
	const char *at, *end;
};

/* The last position is the end of the text, where there is a NUL. */
struct json_walk {
	const char *text, *end;
	const uint32_t *next;  /* the position to look at */
	const char *backslash; /* the first one not yet passed, or end */
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

/* For json_walk_string_at: check a string that may have a backslash. */
MUST_USE enum json_found json_walk_escapes(struct json_walk *w,
                                           const struct json_span *s);

/*
 * Read the string whose opening quote is at `open`.  `after` is the position
 * that follows it in the text; *s is set to what is between the quotes.
 */
MUST_USE static inline enum json_found
json_walk_string_at(struct json_walk *w, const char *open, const char *after,
                    struct json_span *s)
{
	const char *close = after - 1;

	/* Between the closing quote and the next position is only space. */
	while (*close != '"')
		close--;
	s->at = open + 1;
	s->end = close;
	return w->backslash < close ? json_walk_escapes(w, s) : JSON_GOOD;
}

/*
 * Read the string at w->next, which is a quote.  Like the next two functions
 * it moves w->next past what it has read.
 */
MUST_USE static inline enum json_found
json_walk_string(struct json_walk *w, struct json_span *s)
{
	const char *open = w->text + *w->next++;

	return json_walk_string_at(w, open, w->text + *w->next, s);
}

/*
 * Read the name of a member of an object at w->next, and its colon.  *s is the
 * text between the quotes, in which escapes are kept.
 */
MUST_USE enum json_found json_walk_name(struct json_walk *w,
                                        struct json_span *s);

/* Read the number at w->next, which is a digit or a minus. */
MUST_USE enum json_found json_walk_number(struct json_walk *w);

/*
 * Read the value at w->next with all that it contains.  It is refused if it
 * is nested deeper than depth_max.  The walk continues to the end of a value
 * that is refused, because that may also be broken.
 */
MUST_USE enum json_found json_walk_value(struct json_walk *w,
                                         unsigned depth_max);

#endif
