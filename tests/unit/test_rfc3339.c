/* test_rfc3339 - timestamps as text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libbase/clock.h"
#include "libproto/rfc3339.h"
#include "tests/support/test.h"

static const struct {
	const char *text;
	int rc;
	int64_t us;
} cases[] = {
    {"1970-01-01T00:00:00Z", 0, 0},
    {"2023-11-14T22:13:20Z", 0, 1700000000000000},
    {"2023-11-14t22:13:20z", 0, 1700000000000000},
    {"2023-11-14 22:13:20Z", 0, 1700000000000000},
    {"2023-11-15T00:13:20+02:00", 0, 1700000000000000},
    {"2023-11-14T16:43:20-05:30", 0, 1700000000000000},
    {"2023-11-14T22:13:20-00:00", 0, 1700000000000000},
    {"2023-11-14T22:13:20.1Z", 0, 1700000000100000},
    {"2023-11-14T22:13:20.123456Z", 0, 1700000000123456},
    {"2023-11-14T22:13:20.123456999Z", 0, 1700000000123456},
    {"2024-02-29T00:00:00Z", 0, 1709164800000000},
    {"2000-02-29T00:00:00Z", 0, 951782400000000},
    {"9999-12-31T23:59:59.999999Z", 0, 253402300799999999},
    /* A leap second is the last microsecond of its minute. */
    {"2016-12-31T23:59:60Z", 0, 1483228799999999},
    {"2016-12-31T23:59:60.5Z", 0, 1483228799999999},
    {"2017-01-01T00:59:60+01:00", 0, 1483228799999999},
    {"2016-12-31T22:59:60Z", -EINVAL, 0},
    {"1969-12-31T23:59:59Z", -ERANGE, 0},
    {"1970-01-01T00:00:00+00:01", -ERANGE, 0},
    {"9999-12-31T23:59:59-00:01", -ERANGE, 0},
    {"0000-01-01T00:00:00Z", -ERANGE, 0},
    {"", -EINVAL, 0},
    {"2023-11-14", -EINVAL, 0},
    {"2023-11-14T22:13:20", -EINVAL, 0},
    {"2023-11-14T22:13Z", -EINVAL, 0},
    {"2023-11-14T22:13:20.Z", -EINVAL, 0},
    {"2023-11-14T22:13:20.1234567890Z", 0, 1700000000123456},
    {"2023-11-14T22:13:20.12", -EINVAL, 0},
    {"2023-11-14T22:13:20,1Z", -EINVAL, 0},
    {"2023-11-14T22:13:20ZZ", -EINVAL, 0},
    {"2023-11-14T22:13:20+0200", -EINVAL, 0},
    {"2023-11-14T22:13:20+24:00", -EINVAL, 0},
    {"2023-11-14T22:13:20+02:60", -EINVAL, 0},
    {"2023-11-14T22:13:20+02:00 ", -EINVAL, 0},
    {"2023-11-14_22:13:20Z", -EINVAL, 0},
    {"2023-13-14T22:13:20Z", -EINVAL, 0},
    {"2023-00-14T22:13:20Z", -EINVAL, 0},
    {"2023-11-31T22:13:20Z", -EINVAL, 0},
    {"2023-11-00T22:13:20Z", -EINVAL, 0},
    {"2023-02-29T00:00:00Z", -EINVAL, 0},
    {"2100-02-29T00:00:00Z", -EINVAL, 0},
    {"2023-11-14T24:00:00Z", -EINVAL, 0},
    {"2023-11-14T22:60:00Z", -EINVAL, 0},
    {"2023-11-14T22:13:61Z", -EINVAL, 0},
    {"2023-1a-14T22:13:20Z", -EINVAL, 0},
    {"+023-11-14T22:13:20Z", -EINVAL, 0},
};

TEST_LOOP(reads, (sizeof cases / sizeof cases[0]))
{
	/* Exactly these bytes: the text has no NUL. */
	size_t n = strlen(cases[_i].text);
	char *copy = malloc(n + 1);
	int64_t us = 0;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, cases[_i].text, n);
	copy[n] = '5';
	ck_assert_int_eq(rfc3339_read(copy, n, &us), cases[_i].rc);
	ck_assert_int_eq(us, cases[_i].us);
	free(copy);
}

TEST(reads_back_what_clock_writes)
{
	char text[CLOCK_TEXT_BYTES + 1];
	int64_t back;

	/* A step of about 29 days, through all the years. */
	for (int64_t us = 0; us <= 253402300799999999; us += 2512345678901) {
		clock_format_us(us, text);
		ck_assert_int_eq(rfc3339_read(text, CLOCK_TEXT_BYTES, &back),
		                 0);
		ck_assert_int_eq(back, us);
	}
}
