/* Text in lines that fit a terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/wrap.h"
#include "tests/support/test.h"

/* Print text from the column `indent` on.  To be freed. */
static char *
wrapped(size_t indent, const char *text)
{
	char *out = NULL;
	size_t bytes;
	struct wrap w = {.indent = indent};

	w.out = open_memstream(&out, &bytes);
	ck_assert_ptr_nonnull(w.out);
	wrap_text(&w, text);
	wrap_end(&w);
	ck_assert_int_eq(fclose(w.out), 0);
	return out;
}

static void
check_wrapped(size_t indent, const char *text, const char *expected)
{
	char *out = wrapped(indent, text);

	ck_assert_str_eq(out, expected);
	free(out);
}

TEST(keeps_short_text_on_one_line)
{
	check_wrapped(0, "one two", "one two\n");
	check_wrapped(4, "one  two ", "    one two\n");
	check_wrapped(0, "", "\n");
}

TEST(begins_a_new_line_before_the_last_column)
{
	char text[200], expected[400];

	memset(text, 'a', 39);
	text[39] = ' ';
	memset(text + 40, 'b', 39);
	text[79] = '\0';
	(void)snprintf(expected, sizeof expected, "%s\n", text);
	check_wrapped(0, text, expected); /* 79 columns */
	(void)snprintf(text + 79, sizeof text - 79, "c");
	(void)snprintf(expected, sizeof expected, "%.39s\n%s\n", text,
	               text + 40);
	check_wrapped(0, text, expected);
}

TEST(prints_a_word_that_is_too_long_on_a_line_of_its_own)
{
	char text[200], expected[400];

	memset(text, 'a', 100);
	memcpy(text + 100, " b", sizeof " b");
	(void)snprintf(expected, sizeof expected, "  %.100s\n  b\n", text);
	check_wrapped(2, text, expected);
}

TEST(keeps_line_feeds)
{
	check_wrapped(2, "one\n\ntwo", "  one\n\n  two\n");
}

TEST(goes_to_a_column_on_this_line_or_the_next)
{
	char *out = NULL;
	size_t bytes;
	struct wrap w = {.indent = 8};

	w.out = open_memstream(&out, &bytes);
	ck_assert_ptr_nonnull(w.out);
	w.column = (size_t)fprintf(w.out, "abc");
	wrap_to(&w, 8);
	wrap_word(&w, "b");
	wrap_to(&w, 8);
	wrap_word(&w, "c");
	wrap_end(&w);
	ck_assert_int_eq(fclose(w.out), 0);
	ck_assert_str_eq(out, "abc     b\n        c\n");
	free(out);
}
