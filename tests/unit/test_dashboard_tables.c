/* test_dashboard_tables - what the dashboard keeps of events, in fixed memory.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-dashboard/series.h"
#include "sinkd-dashboard/top.h"
#include "tests/support/test.h"

static struct key
key_of(const char *text)
{
	struct key key;

	key_make(&key, slice_of(text), 7);
	return key;
}

static struct key
key_numbered(uint64_t n)
{
	char text[32];

	snprintf(text, sizeof text, "user-%llu", (unsigned long long)n);
	return key_of(text);
}

/* The number of such a key, whose text does not end with a NUL. */
static uint64_t
key_number(const struct key *key)
{
	char text[32];

	ck_assert_uint_lt(key->bytes, sizeof text);
	memcpy(text, key->text, key->bytes);
	text[key->bytes] = '\0';
	return strtoull(text + strlen("user-"), NULL, 10);
}

TEST(a_key_ends_with_a_whole_character)
{
	char name[80];
	struct key key;

	memset(name, 'x', sizeof name);
	memcpy(name + 62, "\xE2\x82\xAC",
	       3); /* the euro sign, bytes 62 to 64 */
	key_make(&key, (struct slice){name, sizeof name}, 7);
	ck_assert_uint_eq(key.bytes, 62);
	memcpy(name + 61, "\xE2\x82\xACx", 4); /* now it just fits */
	key_make(&key, (struct slice){name, sizeof name}, 7);
	ck_assert_uint_eq(key.bytes, 64);
	ck_assert_mem_eq(key.text, name, 64);
}

TEST(long_names_with_one_beginning_are_different_keys)
{
	char a[100];
	char b[100];
	struct key ka;
	struct key kb;

	memset(a, 'x', sizeof a);
	memcpy(b, a, sizeof b);
	b[99] = 'y';
	key_make(&ka, (struct slice){a, sizeof a}, 7);
	key_make(&kb, (struct slice){b, sizeof b}, 7);
	ck_assert_uint_ne(ka.hash, kb.hash);
	key_make(&kb, (struct slice){a, sizeof a}, 8); /* and of another seed */
	ck_assert_uint_ne(ka.hash, kb.hash);
}

/* The bounds of the algorithm, against exact counts of a skewed stream. */
TEST(counts_of_frequent_keys_are_within_the_bound)
{
	enum { KEYS = 5000, EVENTS = 200000, SIZE = 128 };
	struct heavy_hitters h;
	static uint64_t exact[KEYS];
	size_t found = 0;

	memset(exact, 0, sizeof exact);
	ck_assert_int_eq(heavy_hitters_init(&h, SIZE), 0);
	srand48(1);
	for (int i = 0; i < EVENTS; i++) {
		/* Key k has a share of about 1 / k. */
		int k = (int)exp(drand48() * log(KEYS)) % KEYS;
		struct key key = key_numbered((uint64_t)k);

		exact[k]++;
		heavy_hitters_add(&h, &key, 1);
	}
	ck_assert_uint_eq(h.total, EVENTS);
	ck_assert_uint_eq(h.used, SIZE);
	for (size_t i = 0; i < h.used; i++) {
		const struct heavy_hitter *e = &h.entries[i];
		uint64_t k = key_number(&e->key);

		ck_assert_uint_ge(e->count, exact[k]);
		ck_assert_uint_le(e->count - e->error, exact[k]);
		ck_assert_uint_le(e->error, EVENTS / SIZE);
		found += exact[k] > EVENTS / SIZE;
	}
	for (int k = 0; k < KEYS; k++)
		found -= exact[k] > EVENTS / SIZE;
	ck_assert_uint_eq(found, 0); /* none is missing */
	heavy_hitters_fini(&h);
}

TEST(a_table_can_be_used_again)
{
	struct heavy_hitters h;
	struct key a = key_of("a");
	struct key b = key_of("b");

	ck_assert_int_eq(heavy_hitters_init(&h, 1), 0);
	heavy_hitters_add(&h, &a, 3);
	heavy_hitters_add(&h, &b, 1);
	ck_assert_uint_eq(h.entries[0].count, 4);
	ck_assert_uint_eq(h.entries[0].error, 3);
	heavy_hitters_clear(&h);
	heavy_hitters_add(&h, &a, 2);
	ck_assert_uint_eq(h.used, 1);
	ck_assert_uint_eq(h.entries[0].count, 2);
	ck_assert_uint_eq(h.entries[0].error, 0);
	heavy_hitters_fini(&h);
}

TEST(distinct_keys_are_estimated)
{
	static const uint64_t sizes[] = {0, 1, 10, 1000, 10000, 20000, 1000000};

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		struct distinct d = {0};
		double n;

		for (uint64_t i = 0; i < 2 * sizes[s]; i++) {
			/* Each key twice. */
			struct key key = key_numbered(i / 2);

			distinct_add(&d, key.hash);
		}
		n = distinct_estimate(&d);
		/* Three standard errors of 1.6 %. */
		ck_assert_double_le(fabs(n - (double)sizes[s]),
		                    0.05 * (double)sizes[s] + 0.1);
	}
}

TEST(merged_estimates_count_a_key_once)
{
	struct distinct a = {0};
	struct distinct b = {0};

	for (uint64_t i = 0; i < 20000; i++) {
		struct key key = key_numbered(i);

		distinct_add(i < 15000 ? &a : &b, key.hash);
		if (i >= 10000 && i < 15000)
			distinct_add(&b, key.hash);
	}
	distinct_merge(&a, &b);
	ck_assert_double_le(fabs(distinct_estimate(&a) - 20000), 1000);
}

TEST(top_adds_minutes_and_forgets_them)
{
	struct top t;
	struct top_entry out[2];
	struct key a = key_of("a");
	struct key b = key_of("b");
	struct key c = key_of("c");

	ck_assert_int_eq(top_init(&t, 8, 100), 0);
	for (int i = 0; i < 5; i++)
		top_add(&t, &a);
	top_advance(&t, 101);
	for (int i = 0; i < 3; i++) {
		top_add(&t, &b);
		top_add(&t, &b);
		top_add(&t, &a);
	}
	top_add(&t, &c);
	ck_assert_uint_eq(top_read(&t, out, 2), 2);
	ck_assert_uint_eq(out[0].key->hash, a.hash);
	ck_assert_uint_eq(out[0].count, 8);
	ck_assert_uint_eq(out[0].error, 0);
	ck_assert_uint_eq(out[1].key->hash, b.hash);
	ck_assert_uint_eq(out[1].count, 6);
	ck_assert_double_eq_tol(top_distinct(&t), 3, 0.1);
	top_advance(&t, 115); /* minute 100 is over 15 minutes old */
	ck_assert_uint_eq(top_read(&t, out, 2), 2);
	ck_assert_uint_eq(out[0].key->hash, b.hash);
	ck_assert_uint_eq(out[1].count, 3);
	top_advance(&t, UINT64_MAX);
	ck_assert_uint_eq(top_read(&t, out, 2), 0);
	ck_assert_double_eq(top_distinct(&t), 0);
	top_fini(&t);
}

/* The table of each minute is too small; the error bounds the effect. */
TEST(top_knows_how_wrong_it_can_be)
{
	enum { KEYS = 300, MINUTES = 10 };
	static uint64_t exact[KEYS];
	struct top t;
	struct top_entry out[20];

	memset(exact, 0, sizeof exact);
	ck_assert_int_eq(top_init(&t, 64, 0), 0);
	srand48(2);
	for (int m = 0; m < MINUTES; m++) {
		top_advance(&t, (uint64_t)m);
		for (int i = 0; i < 10000; i++) {
			int k = (int)exp(drand48() * log(KEYS)) % KEYS;
			struct key key = key_numbered((uint64_t)k);

			exact[k]++;
			top_add(&t, &key);
		}
	}
	ck_assert_uint_eq(top_read(&t, out, 20), 20);
	for (int i = 0; i < 20; i++) {
		uint64_t k = key_number(out[i].key);

		ck_assert_uint_le(out[i].count, exact[k] + out[i].error);
		ck_assert_uint_ge(out[i].count + out[i].error, exact[k]);
		if (i > 0)
			ck_assert_uint_le(out[i].count, out[i - 1].count);
	}
	top_fini(&t);
}

static struct series s;

TEST(series_moves_with_time)
{
	struct key a = key_of("a");

	memset(&s, 0, sizeof s);
	series_advance(&s, 1000);
	series_add(&s, 10, 100);
	series_read(&s, &a);
	series_advance(&s, 1001);
	series_advance(&s, 999); /* never back */
	series_add(&s, 20, 200);
	series_read(&s, &a);
	series_read(&s, &a);
	ck_assert_uint_eq(s.points[series_at(1000)].events, 10);
	ck_assert_uint_eq(s.points[series_at(1001)].bytes, 200);
	ck_assert_uint_eq(s.points[series_at(1001)].read, 2);
	ck_assert_uint_eq(s.types[0].sum, 3);
	series_advance(&s, 1901); /* takes the slot of 1000 */
	ck_assert_uint_eq(s.points[series_at(1901)].events, 0);
	ck_assert_uint_eq(s.types[0].sum, 2);
	series_advance(&s, 100000);
	for (int i = 0; i < SERIES_SECONDS; i++)
		ck_assert_uint_eq(s.points[i].events, 0);
	ck_assert_uint_eq(s.types[0].sum, 0);
}

TEST(types_have_rows_while_there_are_rows)
{
	struct key key;

	memset(&s, 0, sizeof s);
	for (uint64_t i = 0; i < 2 * SERIES_TYPES; i++) {
		key = key_numbered(i);
		for (uint64_t n = 0; n <= i % SERIES_TYPES; n++)
			series_read(&s, &key);
	}
	ck_assert_uint_eq(s.points[0].read, SERIES_TYPES * (SERIES_TYPES + 1));
	key = key_numbered(70); /* it has none, and has had 7 events */
	series_promote(&s, &key, 1);
	ck_assert_uint_eq(s.types[0].sum, 1); /* not more than the row has */
	series_promote(&s, &key, 7);
	ck_assert_uint_eq(s.types[0].sum, 0);
	ck_assert_uint_eq(s.types[0].key.hash, key.hash);
	series_promote(&s, &key, 100); /* it has one now */
	ck_assert_uint_eq(s.types[1].sum, 2);
	series_read(&s, &key);
	ck_assert_uint_eq(s.types[0].counts[0], 1);
}

TEST(a_row_without_events_is_given_to_another)
{
	struct key key;

	memset(&s, 0, sizeof s);
	for (uint64_t i = 0; i < SERIES_TYPES; i++) {
		key = key_numbered(i);
		series_read(&s, &key);
	}
	series_advance(&s, SERIES_SECONDS);
	key = key_of("new");
	series_read(&s, &key);
	ck_assert_uint_eq(s.types[0].key.hash, key.hash);
	ck_assert_uint_eq(s.types[0].sum, 1);
}
