/* test_buf - buffers, the text of the clock, and quoted values of the log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/buf.h"
#include "libbase/clock.h"
#include "libbase/log.h"
#include "tests/support/test.h"

TEST(grows_to_its_limit_and_no_further)
{
	struct buf b;

	buf_init(&b, 1000);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(buf_add(&b, "0123456789", 10), 0);
	ck_assert_int_eq(buf_add(&b, "x", 1), -EMSGSIZE);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 1000);
	buf_clear(&b);
	ck_assert_int_eq(buf_addf(&b, "%d-%s", 42, "x"), 0);
	ck_assert_uint_eq(b.len, 4);
	ck_assert_mem_eq(b.data, "42-x", 4);
	buf_fini(&b);
	buf_fini(&b);
}

TEST(numbers_are_written_in_decimal_digits)
{
	static const uint64_t values[] = {0, 9, 10, 202, UINT64_MAX};
	static const char want[] = "0 9 10 202 18446744073709551615 ";
	struct buf b;

	buf_init(&b, sizeof want - 1);
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		ck_assert_int_eq(buf_add_u64(&b, values[i]), 0);
		ck_assert_int_eq(buf_add(&b, " ", 1), 0);
	}
	ck_assert_uint_eq(b.len, sizeof want - 1);
	ck_assert_mem_eq(b.data, want, b.len);
	ck_assert_int_eq(buf_add_u64(&b, 0), -EMSGSIZE);
	buf_fini(&b);
}

TEST(json_strings_are_escaped)
{
	static const char text[] = "a\"b\\c\nd\te\x01\xc3\xbc";
	static const char want[] = "\"a\\\"b\\\\c\\nd\\u0009e\\u0001\xc3\xbc\"";
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_int_eq(buf_add_json_string(&b, text, sizeof text - 1), 0);
	ck_assert_uint_eq(b.len, sizeof want - 1);
	ck_assert_mem_eq(b.data, want, b.len);
	buf_fini(&b);
}

TEST(time_is_written_as_rfc_3339)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
	    {0, "1970-01-01T00:00:00.000000Z"},
	    {-1, "1969-12-31T23:59:59.999999Z"},
	    {INT64_C(1709251199123456), "2024-02-29T23:59:59.123456Z"},
	    {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
	    {INT64_MAX, "9999-12-31T23:59:59.775807Z"},
	};
	char out[CLOCK_TEXT_BYTES + 1];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_format_us(cases[i].us, out);
		ck_assert_str_eq(out, cases[i].text);
	}
}

TEST(log_values_cannot_break_their_line)
{
	static const struct {
		const char *text, *want;
	} shown[] = {
	    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	     "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
	    {"\xd7\xa9\xd7\x9c", "\"\xd7\xa9\xd7\x9c\""},
	    {"\x7f\t\xc2\x9b\x32J", "\"\\x7f\\x09\\u009b2J\""},
	    {"\xe2\x80\xae\xe2\x81\xa6\xd8\x9c", "\"\\u202e\\u2066\\u061c\""},
	    {"\xe2\x80\xa8\xef\xbb\xbf", "\"\\u2028\\ufeff\""},
	    {"\xf3\xa0\x80\x81", "\"\\U000e0001\""},
	    /*
	     * Not UTF-8: a lone byte, truncated, overlong, a surrogate, too
	     * large.
	     */
	    {"\x9b\xff", "\"\\x9b\\xff\""},
	    {"a\xe2\x82", "\"a\\xe2\\x82\""},
	    {"\xc0\x8a", "\"\\xc0\\x8a\""},
	    {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
	    {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},
	};
	char text[2000];

	ck_assert_str_eq(log_quote("a \"b\"\n\\\x1b[0m"),
	                 "\"a \\\"b\\\"\\n\\\\\\x1b[0m\"");
	ck_assert_str_eq(log_quote(NULL), "\"\"");
	/* UTF-8 is kept, except what misleads a terminal or its reader. */
	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		ck_assert_str_eq(log_quote(shown[i].text), shown[i].want);
	/* A character is not split: 999 bytes, and then one of three bytes. */
	memset(text, 'x', sizeof text);
	memcpy(text + 999, "\xe2\x82\xac", 4);
	ck_assert_uint_eq(strlen(log_quote(text)), 2 + 999);
	memset(text, '\x01', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	ck_assert_uint_eq(strlen(log_quote(text)), 2 + 4 * 1000);
}

TEST(a_line_is_one_line_whatever_was_not_quoted)
{
	char line[8192], text[8192];
	int fds[2], before = dup(STDERR_FILENO);
	ssize_t n;

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	log_error("refused: %s", "a\nb\x1b[2J \xc3\xbc \xc2\x85");
	n = read(fds[0], line, sizeof line - 1);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	ck_assert_ptr_nonnull(
	    strstr(line, " refused: a\\nb\\x1b[2J \xc3\xbc \\u0085\n"));
	memset(text, '\x01', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	log_error("%s", text);
	n = read(fds[0], line, sizeof line);
	ck_assert_int_eq(n, 2048);
	ck_assert_ptr_eq(memchr(line, '\n', (size_t)n), line + n - 1);
	ck_assert_int_ge(dup2(before, STDERR_FILENO), 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(before);
}

TEST(a_limited_log_counts_what_it_suppressed)
{
	struct log_limit limit = {.interval_ms = 60000, .burst = 2};
	unsigned held;

	ck_assert(log_allow(&limit, &held));
	ck_assert(log_allow(&limit, &held));
	ck_assert(!log_allow(&limit, &held));
	ck_assert(!log_allow(&limit, &held));
	limit.window_start_ms = clock_mono_ms() - 60000; /* a minute on */
	ck_assert(log_allow(&limit, &held));
	ck_assert_uint_eq(held, 2);
}
