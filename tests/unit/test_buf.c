/* test_buf - growing bytes, clock text and quoted log values. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/buf.h"
#include "libbase/clock.h"
#include "libbase/log.h"

START_TEST(grows_to_its_limit_and_no_further)
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
END_TEST

START_TEST(json_strings_are_escaped)
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
END_TEST

START_TEST(time_is_written_as_rfc_3339)
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
END_TEST

START_TEST(log_values_cannot_break_their_line)
{
	char text[2000];

	ck_assert_str_eq(log_quote("a \"b\"\n\\\x1b[0m"),
	                 "\"a \\\"b\\\"\\n\\\\\\x1b[0m\"");
	ck_assert_str_eq(log_quote(NULL), "\"\"");
	memset(text, '\x01', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	ck_assert_uint_eq(strlen(log_quote(text)), 2 + 4 * 500);
}
END_TEST

START_TEST(a_limited_log_says_what_it_held_back)
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
END_TEST

int
main(void)
{
	Suite *s = suite_create("base");
	TCase *tc = tcase_create("base");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, grows_to_its_limit_and_no_further);
	tcase_add_test(tc, json_strings_are_escaped);
	tcase_add_test(tc, time_is_written_as_rfc_3339);
	tcase_add_test(tc, log_values_cannot_break_their_line);
	tcase_add_test(tc, a_limited_log_says_what_it_held_back);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
