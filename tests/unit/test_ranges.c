/* test_ranges - a bounded list of ranges, and what it still knows when full. */
#include "libbase/ranges.h"

#include "libbase/base.h"
#include "tests/support/test.h"

static struct ranges r;

static void
setup(void)
{
	r = (struct ranges){0};
}

TEST_CASE(ranges, .setup = setup);

TEST(ranges_that_adjoin_are_one)
{
	ranges_add(&r, 5, 5);
	ck_assert_ptr_null(ranges_last(&r));
	ranges_add(&r, 5, 8);
	ranges_add(&r, 8, 10);
	ranges_add(&r, 20, 21);
	ck_assert_uint_eq(r.n, 2);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 6);
	ck_assert_uint_eq(ranges_count(&r, 5), 0);
	ck_assert_uint_eq(ranges_count(&r, 7), 2);
	ck_assert_uint_eq(ranges_count(&r, 15), 5);
	ck_assert_uint_eq(ranges_last(&r)->from, 20);
}

TEST(cutting_forgets_what_is_at_or_above)
{
	ranges_add(&r, 5, 10);
	ranges_add(&r, 20, 30);
	ranges_cut(&r, 30);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 15);
	ranges_cut(&r, 22);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 7);
	ck_assert_uint_eq(ranges_last(&r)->to, 22);
	ranges_add(&r, 22, 23);
	ck_assert_uint_eq(r.n, 2);
	ranges_cut(&r, 20);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 5);
	ranges_cut(&r, 0);
	ck_assert_uint_eq(r.n, 0);
}

TEST(some_of_the_last_range_need_not_count)
{
	ranges_add(&r, 0, 2);
	ranges_add(&r, 10, 20);
	ranges_uncount(&r, 3);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 9);
	/* It does not tell which: a range after it is another one. */
	ranges_add(&r, 20, 21);
	ck_assert_uint_eq(r.n, 3);
	ranges_cut(&r, 12);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 4);
	ranges_uncount(&r, 5);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 2);
	ranges_uncount(&r, 5);
	ranges_uncount(&r, 5);
	ck_assert_uint_eq(r.n, 0);
}

TEST(a_full_list_keeps_its_count)
{
	for (uint64_t i = 0; i < 100; i++)
		ranges_add(&r, 10 * i, 10 * i + 2);
	ck_assert_uint_eq(r.n, RANGES_MAX);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 200);
	/* The newer ranges are still exact, */
	ranges_cut(&r, 991);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 199);
	ranges_cut(&r, 10 * (100 - RANGES_MAX + 1));
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX),
	                  2 * (100 - RANGES_MAX + 1));
	/* and the lowest one never counts more than there can be. */
	ranges_cut(&r, 7);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 7);
}

TEST(offsets_are_inserted_anywhere)
{
	static const uint64_t offsets[] = {50, 10, 30, 11, 9, 49, 30, 10};

	for (size_t i = 0; i < ARRAY_LEN(offsets); i++)
		ranges_insert(&r, offsets[i]);
	ck_assert_uint_eq(r.n, 3);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 6);
	ck_assert_uint_eq(r.at[0].from, 9);
	ck_assert_uint_eq(r.at[0].to, 12);
	ck_assert_uint_eq(r.at[1].from, 30);
	ck_assert_uint_eq(r.at[2].from, 49);
	ranges_cut(&r, 50);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), 5);
}

/* Between the two lowest ranges, which are joined to make room for it. */
TEST_LOOP(an_offset_inserted_into_a_full_list_counts, 3)
{
	const uint64_t offset = (uint64_t)_i * 10 + 5;

	for (uint64_t i = 1; i <= RANGES_MAX; i++)
		ranges_insert(&r, i * 10);
	ck_assert_uint_eq(r.n, RANGES_MAX);
	ranges_insert(&r, offset);
	ck_assert_uint_eq(r.n, _i == 1 ? RANGES_MAX - 1 : RANGES_MAX);
	ck_assert_uint_eq(ranges_count(&r, UINT64_MAX), RANGES_MAX + 1);
	for (size_t i = 1; i < r.n; i++)
		ck_assert_uint_le(r.at[i - 1].to, r.at[i].from);
}
