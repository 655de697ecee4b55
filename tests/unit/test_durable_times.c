/* test_marks - how old events are by the marks, and rates. */
#include <stdlib.h>
#include <string.h>

#include "batchd/durable_times.h"
#include "batchd/rate.h"
#include "tests/support/test.h"

static struct durable_times m;
static struct histogram h;

static void
setup(void)
{
	memset(&m, 0, sizeof m);
	memset(&h, 0, sizeof h);
}

TEST_CASE(marks, .setup = setup);

static uint64_t
counted(void)
{
	uint64_t n = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		n += h.counts[i];
	return n;
}

TEST(each_event_counts_by_its_own_mark)
{
	durable_times_add(&m, 100, 110, 1000000);
	durable_times_add(&m, 110, 110, 1500000); /* nothing new */
	durable_times_add(&m, 110, 140, 2000000);
	/* 2 from before all marks, 10 of 1 s, 3 of 0 s. */
	durable_times_count(&m, 98, 113, 2000000, 7, &h);
	ck_assert_uint_eq(h.sum_us, 2 * 7 + 10 * 1000000);
	ck_assert_uint_eq(h.counts[0], 5);
	ck_assert_uint_eq(counted(), 15);
	/* Without any, all are old. */
	memset(&h, 0, sizeof h);
	setup();
	durable_times_count(&m, 5, 9, 2000000, 20000000, &h);
	ck_assert_uint_eq(counted(), 4);
	ck_assert_uint_eq(h.counts[HISTOGRAM_BUCKETS - 2], 4);
}

TEST(marks_that_are_close_are_one)
{
	for (uint64_t i = 0; i < 100; i++)
		durable_times_add(&m, i, i + 1, 1000 + i * 10);
	ck_assert_uint_lt(m.count, 6);
	durable_times_count(&m, 0, 100, 2000, 0, &h);
	ck_assert_uint_eq(counted(), 100);
}

TEST(the_oldest_marks_make_room)
{
	uint64_t n = 2 * DURABLE_TIMES_MAX + 17;

	for (uint64_t i = 0; i < n; i++)
		durable_times_add(&m, 3 * i, 3 * i + 3, 1000 * (i + 1));
	ck_assert_uint_eq(m.first_offset, 3 * (n - DURABLE_TIMES_MAX));
	durable_times_count(&m, 0, 3 * n, 1000 * n, UINT64_C(100000000), &h);
	ck_assert_uint_eq(counted(), 3 * n);
	ck_assert_uint_eq(h.counts[HISTOGRAM_BUCKETS - 1],
	                  3 * (n - DURABLE_TIMES_MAX));
}

TEST(a_rate_is_of_the_last_seconds)
{
	struct rate r = {0};

	ck_assert_uint_eq(rate_per_s(&r), 0);
	rate_sample(&r, 1000, 500);
	ck_assert_uint_eq(rate_per_s(&r), 0);
	rate_sample(&r, 3000, 900);
	ck_assert_uint_eq(rate_per_s(&r), 200);
	for (uint64_t i = 0; i < RATE_SAMPLES; i++)
		rate_sample(&r, 4000 + 1000 * i, 900 + 10 * i);
	ck_assert_uint_eq(rate_per_s(&r), 10);
	for (uint64_t i = 0; i < RATE_SAMPLES; i++)
		rate_sample(&r, 20000 + 1000 * i, 2000);
	ck_assert_uint_eq(rate_per_s(&r), 0);
}
