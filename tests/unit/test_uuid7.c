/* test_uuid7 - identifiers of RFC 9562 version 7. */
#include <stdlib.h>
#include <string.h>

#include "ingestd/uuid7.h"
#include "tests/support/test.h"

#define WALL_US INT64_C(1645557742000123) /* the example of RFC 9562, A.6 */

static struct uuid7 u;
static char text[UUID7_TEXT_BYTES + 1];

static void
setup(void)
{
	ck_assert_int_eq(uuid7_init(&u), 0);
	memset(text, 0, sizeof text);
}

TEST_CASE(identifiers, .setup = setup);

TEST(has_the_form_of_version_7)
{
	uuid7_next(&u, WALL_US, text);
	ck_assert_uint_eq(strlen(text), UUID7_TEXT_BYTES);
	ck_assert_uint_eq(strspn(text, "0123456789abcdef-"), UUID7_TEXT_BYTES);
	ck_assert_mem_eq(text, "017f22e2-79b0-7", 15);
	ck_assert_int_eq(text[18], '-');
	ck_assert_int_eq(text[23], '-');
	ck_assert_ptr_nonnull(strchr("89ab", text[19]));
}

TEST(sorts_in_the_order_made_even_if_the_clock_goes_back)
{
	char before[UUID7_TEXT_BYTES + 1] = "";

	for (int i = 0; i < 100000; i++) {
		uuid7_next(&u, WALL_US - (i % 7) * 1000, text);
		ck_assert_int_lt(strcmp(before, text), 0);
		memcpy(before, text, sizeof text);
	}
}

TEST(borrows_from_the_next_millisecond_when_one_is_used_up)
{
	char before[UUID7_TEXT_BYTES + 1] = "";

	uuid7_next(&u, WALL_US, before);
	u.high = 0xfff;
	u.low = (UINT64_C(1) << 62) - 1;
	uuid7_next(&u, WALL_US, text);
	ck_assert_int_lt(strcmp(before, text), 0);
	ck_assert_mem_eq(text, "017f22e2-79b1-7000-8", 20);
}

TEST(two_generators_differ)
{
	struct uuid7 other;
	char text2[UUID7_TEXT_BYTES];

	ck_assert_int_eq(uuid7_init(&other), 0);
	uuid7_next(&u, WALL_US, text);
	uuid7_next(&other, WALL_US, text2);
	ck_assert_mem_ne(text, text2, UUID7_TEXT_BYTES);
}
