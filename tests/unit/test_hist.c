/* test_hist - quantiles stay within the promised error. */
#include <stdlib.h>

#include "bench/hist.h"
#include "tests/support/test.h"

static struct hist h;

static void
setup(void)
{
	h = (struct hist){0};
}

TEST_CASE(quantiles, .setup = setup);

TEST(an_empty_one_has_zero)
{
	ck_assert_uint_eq(hist_quantile(&h, 0.99), 0);
}

TEST(small_values_are_exact)
{
	for (uint64_t us = 1; us <= 100; us++)
		hist_add(&h, us);
	ck_assert_uint_eq(hist_quantile(&h, 0), 1);
	ck_assert_uint_eq(hist_quantile(&h, 0.5), 50);
	ck_assert_uint_eq(hist_quantile(&h, 0.99), 99);
	ck_assert_uint_eq(hist_quantile(&h, 1), 100);
}

TEST(every_value_is_at_most_two_percent_too_high)
{
	for (uint64_t us = 1; us < UINT64_C(1) << 39; us += us / 7 + 1) {
		uint64_t found;

		setup();
		hist_add(&h, us);
		hist_add(&h, UINT64_C(1) << 39); /* so that max hides nothing */
		found = hist_quantile(&h, 0.5);
		ck_assert_uint_ge(found, us);
		ck_assert_uint_le(found, us + us / 50);
	}
}

TEST(a_value_beyond_all_buckets_counts_as_the_largest)
{
	hist_add(&h, 5);
	hist_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.total, 2);
	ck_assert_uint_eq(h.max_us, UINT64_MAX);
	ck_assert_uint_eq(hist_quantile(&h, 0.5), 5);
	ck_assert_uint_ge(hist_quantile(&h, 1), UINT64_C(1) << 39);
}
