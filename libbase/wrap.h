/*
 * wrap - print text in lines that fit a terminal of 80 columns.
 */
#ifndef LIBBASE_WRAP_H
#define LIBBASE_WRAP_H

#include <stddef.h>
#include <stdio.h>

struct wrap {
	FILE *out;
	size_t indent; /* of each line after the first */
	size_t column; /* where the next character is printed */
};

/* Print text, which is not divided, after a blank or on a new line. */
void wrap_word(struct wrap *w, const char *text);

/* Print the words of text.  A line feed in it begins a new line. */
void wrap_text(struct wrap *w, const char *text);

/* Go to this column: on a new line, unless the column is free on this one. */
void wrap_to(struct wrap *w, size_t column);

/* End the line. */
void wrap_end(struct wrap *w);

#endif
