/* test_when - points of the log: their texts, and times in the log on disk. */
#include <errno.h>
#include <string.h>

#include "batchd/retention.h"
#include "batchd/segment_file.h"
#include "batchd/store.h"
#include "batchd/store_append.h"
#include "leat/log_time.h"
#include "leat/when.h"
#include "libbase/log.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

#define S INT64_C(1000000)

/* 2026-11-26T14:00:00Z */
#define NOW (INT64_C(1795701600) * S)

static const struct {
	const char *text;
	int rc;
	enum when_kind kind;
	uint64_t offset;
	int64_t us;
} cases[] = {
    {"oldest", 0, WHEN_OLDEST, 0, 0},
    {"newest", 0, WHEN_NEWEST, 0, 0},
    {"0", 0, WHEN_OFFSET, 0, 0},
    {"131072", 0, WHEN_OFFSET, 131072, 0},
    {"9223372036854775807", 0, WHEN_OFFSET, INT64_MAX, 0},
    {"9223372036854775808", -ERANGE, WHEN_OFFSET, 0, 0},
    {"99999999999999999999999", -ERANGE, WHEN_OFFSET, 0, 0},
    {"-0s", 0, WHEN_TIME, 0, NOW},
    {"-90s", 0, WHEN_TIME, 0, NOW - 90 * S},
    {"-10m", 0, WHEN_TIME, 0, NOW - 600 * S},
    {"-2h", 0, WHEN_TIME, 0, NOW - 7200 * S},
    {"-1d", 0, WHEN_TIME, 0, NOW - 86400 * S},
    {"-100000d", -ERANGE, WHEN_TIME, 0, 0},
    {"-9223372036854775807d", -ERANGE, WHEN_TIME, 0, 0},
    {"-9223372036854775808s", -ERANGE, WHEN_TIME, 0, 0},
    {"2026-11-26T14:00:00Z", 0, WHEN_TIME, 0, NOW},
    {"2026-11-26T14:00Z", 0, WHEN_TIME, 0, NOW},
    {"2026-11-26 14:00Z", 0, WHEN_TIME, 0, NOW},
    {"2026-11-26T15:00+01:00", 0, WHEN_TIME, 0, NOW},
    {"2026-11-26T13:59:59.5Z", 0, WHEN_TIME, 0, NOW - S / 2},
    {"2026-11-26", 0, WHEN_TIME, 0, NOW - INT64_C(14) * 3600 * S},
    {"1970-01-01", 0, WHEN_TIME, 0, 0},
    {"2026-11-26T14:00:00.000001Z", -ERANGE, WHEN_TIME, 0, 0},
    {"2027-01-01", -ERANGE, WHEN_TIME, 0, 0},
    {"1969-12-31", -ERANGE, WHEN_TIME, 0, 0},
    {"", -EINVAL, WHEN_TIME, 0, 0},
    {"-", -EINVAL, WHEN_TIME, 0, 0},
    {"-10", -EINVAL, WHEN_TIME, 0, 0},
    {"-m", -EINVAL, WHEN_TIME, 0, 0},
    {"-10w", -EINVAL, WHEN_TIME, 0, 0},
    {"-10ms", -EINVAL, WHEN_TIME, 0, 0},
    {"--1s", -EINVAL, WHEN_TIME, 0, 0},
    {"- 1s", -EINVAL, WHEN_TIME, 0, 0},
    {"-1.5h", -EINVAL, WHEN_TIME, 0, 0},
    {"+5", -EINVAL, WHEN_TIME, 0, 0},
    {"5 ", -EINVAL, WHEN_TIME, 0, 0},
    {"0x10", -EINVAL, WHEN_TIME, 0, 0},
    {"now", -EINVAL, WHEN_TIME, 0, 0},
    {"Newest", -EINVAL, WHEN_TIME, 0, 0},
    {"14:00Z", -EINVAL, WHEN_TIME, 0, 0},
    {"2026-11-26T14:00", -EINVAL, WHEN_TIME, 0, 0},
    {"2026-11-26T14Z", -EINVAL, WHEN_TIME, 0, 0},
    {"2026-11-26T", -EINVAL, WHEN_TIME, 0, 0},
    {"2026-11-31", -EINVAL, WHEN_TIME, 0, 0},
    {"2026-11-2", -EINVAL, WHEN_TIME, 0, 0},
    {"2026-11-26T14:00:00.00000000000000000000000000000000000000000000000000"
     "00000000000Z",
     -EINVAL, WHEN_TIME, 0, 0},
};

TEST_LOOP(reads_a_point_of_the_log, ARRAY_LEN(cases))
{
	struct when when;

	ck_assert_msg(when_read(cases[_i].text, NOW, &when) == cases[_i].rc,
	              "\"%s\"", cases[_i].text);
	if (cases[_i].rc < 0)
		return;
	ck_assert_int_eq(when.kind, cases[_i].kind);
	ck_assert_uint_eq(when.offset, cases[_i].offset);
	ck_assert_int_eq(when.us, cases[_i].us);
}

/* --- a log on disk --- */

static const struct store_conf conf = {
    .max_bytes = 64 * MIB,
    .segment_bytes = 1 * MIB,
    .group_max_bytes = 256 * KIB,
};

static struct simdisk sim;
static struct store store;

/* Append a record of `count` events at this time. */
static void
append_at(int64_t us, uint32_t count)
{
	static char payload[10000];
	struct event e = {.id = {"id", 2},
	                  .type = {"t", 1},
	                  .payload = {payload, sizeof payload},
	                  .created_at_us = 1,
	                  .received_at_us = 1};
	uint8_t *at = store_append_buffer(&store);
	struct buf body;

	ck_assert_ptr_nonnull(at);
	memset(payload, 'x', sizeof payload);
	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(event_pack(&body, &e), 0);
	memcpy(at, body.data, body.len);
	(void)store_append(&store, (uint32_t)body.len, count, us);
	buf_fini(&body);
	ck_assert(store_append_begin(&store, us));
	ck_assert_int_eq(store_append_run(&store), 0);
	ck_assert_int_eq(store_append_end(&store, us), 0);
}

/* Delete what was released, and make a spare segment. */
static void
run_retention(uint64_t below)
{
	if (!retention_begin(&store, below))
		return;
	retention_run(&store);
	retention_end(&store);
}

static void
setup(void)
{
	log_set_level((enum log_level)(LOG_ERROR + 1));
	sim_init(&sim, 1);
	ck_assert_int_eq(store_open(&store, &sim.disk, &conf), 0);
	ck_assert_int_eq(store_start(&store, 0), 0);
	run_retention(0);
}

static void
teardown(void)
{
	store_close(&store);
	sim_fini(&sim);
}

static uint64_t
offset_at(int64_t us)
{
	uint64_t offset = 0;

	ck_assert_int_eq(log_time_find(&sim.disk, us, &offset), 0);
	return offset;
}

TEST_CASE(log_time, .setup = setup, .teardown = teardown);

TEST(an_empty_log_has_all_times_at_its_end)
{
	ck_assert_uint_eq(offset_at(0), 0);
	ck_assert_uint_eq(offset_at(NOW), 0);
}

TEST(a_time_is_found_in_any_segment)
{
	/* Three events each 10 s: more than 30 segments. */
	for (int i = 0; i < 1000; i++) {
		append_at((100 + 10 * i) * S, 3);
		run_retention(0);
	}
	ck_assert_uint_gt(store.segment_count, 20);
	ck_assert_uint_eq(offset_at(0), 0);
	ck_assert_uint_eq(offset_at(100 * S), 0);
	for (int i = 0; i < 1000; i += 29) {
		ck_assert_uint_eq(offset_at((100 + 10 * i) * S),
		                  3 * (uint64_t)i);
		ck_assert_uint_eq(offset_at((100 + 10 * i) * S - 1),
		                  3 * (uint64_t)i);
		ck_assert_uint_eq(offset_at((100 + 10 * i) * S + 1),
		                  3 * (uint64_t)i + 3);
	}
	ck_assert_uint_eq(offset_at(NOW), 3000);
}

TEST(a_time_before_the_log_is_its_oldest_event)
{
	for (int i = 0; i < 300; i++) {
		append_at((100 + 10 * i) * S, 3);
		run_retention(600);
	}
	run_retention(600);
	ck_assert_uint_gt(store.segments[0].first_offset, 0);
	ck_assert_uint_eq(offset_at(100 * S), store.segments[0].first_offset);
}

TEST(a_damaged_record_or_header_hides_no_other_time)
{
	static const uint8_t zeros[SEGMENT_HEADER];
	int file;

	for (int i = 0; i < 300; i++) {
		append_at((100 + 10 * i) * S, 3);
		run_retention(0);
	}
	/* Its first record begins after the header. */
	file = segment_file_open(&sim.disk, store.segments[2].first_offset);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(disk_write(&sim.disk, file, zeros, sizeof zeros, 0),
	                 0);
	ck_assert_int_eq(
	    disk_write(&sim.disk, file, zeros, sizeof zeros, SEGMENT_HEADER),
	    0);
	sim.disk.close(&sim.disk, file);
	for (int i = 0; i < 300; i++) {
		uint64_t at = offset_at((100 + 10 * i) * S);

		if (3 * (uint64_t)i == store.segments[2].first_offset)
			ck_assert_uint_eq(at, 3 * (uint64_t)i + 3);
		else
			ck_assert_uint_eq(at, 3 * (uint64_t)i);
	}
}

TEST(a_clock_that_was_set_back_leaves_the_newest_segments_findable)
{
	uint64_t second;

	for (int i = 0; store.segment_count < 4; i++) {
		append_at((1000 + i) * S, 3);
		run_retention(0);
	}
	second = store.next_offset;
	for (int i = 0; i < 100; i++) {
		append_at((500 + i) * S, 3);
		run_retention(0);
	}
	ck_assert_uint_gt(store.segment_count, 5);
	ck_assert_uint_eq(offset_at(599 * S), second + 297);
}

static int
no_names(struct disk *d, const char *directory,
         int (*on_name)(void *arg, const char *name), void *arg)
{
	(void)d;
	(void)directory;
	(void)on_name;
	(void)arg;
	return 0;
}

TEST(a_directory_without_a_log_is_an_error)
{
	int (*list)(struct disk * d, const char *directory,
	            int (*on_name)(void *arg, const char *name), void *arg) =
	    sim.disk.list;
	uint64_t offset;

	sim.disk.list = no_names;
	ck_assert_int_eq(log_time_find(&sim.disk, 0, &offset), -ENOENT);
	sim.disk.list = list;
}
