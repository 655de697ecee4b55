/*
 * slice - a pointer and a length: text in memory that the slice does not own,
 * without a NUL at its end.
 */
#ifndef LIBBASE_SLICE_H
#define LIBBASE_SLICE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char *data; /* not owned */
	uint32_t bytes;
};

static inline struct slice
slice_of(const char *text)
{
	return (struct slice){text, (uint32_t)strlen(text)};
}

/*
 * Take the next word from a list of words, which blanks and tabs separate, and
 * move *list past it.  Returns an empty slice at the end.
 */
static inline struct slice
slice_take_word(const char **list)
{
	const char *word = *list + strspn(*list, " \t");

	*list = word + strcspn(word, " \t");
	return (struct slice){word, (uint32_t)(*list - word)};
}

/* Return true if the slice is exactly this text. */
static inline bool
slice_is(struct slice s, const char *text)
{
	size_t n = strlen(text);

	return s.bytes == n && (n == 0 || memcmp(s.data, text, n) == 0);
}

/* The same, with ASCII letters of either case taken as equal. */
static inline bool
slice_is_nocase(struct slice s, const char *text)
{
	size_t n = strlen(text);

	return s.bytes == n && (n == 0 || strncasecmp(s.data, text, n) == 0);
}

#endif
