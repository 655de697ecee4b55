/*
 * test_flip - damage every byte of a 1 MiB segment in turn.  The damage must be
 * found, must cost at most the record that it is in, and must be reported with
 * the record's offsets.
 *
 * Every byte is tested with scan, the code that recovery, readers and
 * `leat log verify` share.  Every STRIDE-th byte (701 by default, 1 for all) is
 * tested with each of these three as a whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/consumer.h"
#include "leat/verify.h"
#include "libbase/log.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

#define SEGMENT_BYTES (1 * MIB)
#define RECORDS_MAX 4096

static const struct store_conf conf = {
    .max_bytes = 16 * MIB,
    .segment_bytes = SEGMENT_BYTES,
    .group_max_bytes = 256 * KIB,
};

/* The position of a record in the segment, and its events. */
struct record_position {
	uint64_t at, used; /* the checksum covers `used` bytes */
	uint64_t offset;
	uint32_t count;
};

static struct simdisk sim;
static size_t watched; /* positions are of this segment, counted from 1 */
static struct record_position positions[RECORDS_MAX];
static size_t position_count;
static uint8_t segment[SEGMENT_BYTES]; /* its bytes */
static uint64_t stream_seed;

/* Damage a byte; over all bytes, each bit is flipped. */
static uint8_t
damaged(uint64_t at, uint8_t byte)
{
	return byte ^ (uint8_t)(1U << at % 8);
}

static void
flip_commit(struct store *s)
{
	ck_assert(store_append_begin(s, 1));
	ck_assert_int_eq(store_append_run(s), 0);
	ck_assert_int_eq(store_append_end(s, 1), 0);
}

static void
flip_append(struct store *s, uint32_t count, size_t payload_bytes)
{
	static char payload[FRAME_BODY_MAX];
	struct event e = {.id = {"id", 2},
	                  .type = {"t", 1},
	                  .payload = {payload, (uint32_t)payload_bytes},
	                  .created_at_us = 1,
	                  .received_at_us = 1};
	uint8_t *at = store_append_buffer(s);
	struct buf body;

	ck_assert_ptr_nonnull(at);
	memset(payload, 'x', sizeof payload);
	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(event_pack(&body, &e), 0);
	memcpy(at, body.data, body.len);
	if (s->segment_count == watched && !s->filling->roll) {
		ck_assert_uint_lt(position_count, RECORDS_MAX);
		positions[position_count++] =
		    (struct record_position){.at = s->end_bytes,
		                             .used = RECORD_HEADER + body.len,
		                             .offset = s->next_offset,
		                             .count = count};
	}
	(void)store_append(s, (uint32_t)body.len, count, 1);
	buf_fini(&body);
}

static void
flip_run_retention(struct store *s)
{
	if (!retention_begin(s, 0))
		return;
	retention_run(s);
	retention_end(s);
}

static int
open_file(uint64_t first_offset)
{
	char name[SEGMENT_NAME_BYTES];
	int file;

	segment_name(first_offset, name);
	file = sim.disk.open(&sim.disk, name, false);
	ck_assert_int_ge(file, 0);
	return file;
}

/* Read the bytes of the watched segment.  Returns their number. */
static uint64_t
take_in(uint64_t first_offset)
{
	int file = open_file(first_offset);
	ssize_t n = disk_read(&sim.disk, file, segment, sizeof segment, 0);

	ck_assert_int_gt(n, SEGMENT_HEADER);
	sim.disk.close(&sim.disk, file);
	return (uint64_t)n;
}

/* Make a log with a full first segment, and three records in the second. */
static void
setup(void)
{
	struct store s;

	/* Each damaged byte makes the log report errors. */
	log_set_level((enum log_level)(LOG_ERROR + 1));
	position_count = 0;
	watched = 1;
	sim_init(&sim, 1);
	/* The first segment after a start is small otherwise. */
	ck_assert_int_eq(store_open(&s, &sim.disk, &conf), 0);
	ck_assert_int_eq(store_start(&s, 0), 0);
	for (int i = 0; s.segment_count < 2; i++) {
		flip_append(&s, 1 + (uint32_t)(i % 5), (size_t)(i * 37 % 900));
		flip_commit(&s);
		flip_run_retention(&s);
	}
	flip_append(&s, 2, 10);
	flip_commit(&s);
	flip_append(&s, 2, 10);
	flip_commit(&s);
	stream_seed = s.seed;
	store_close(&s);
	ck_assert_uint_eq(take_in(0), SEGMENT_BYTES);
}

static void
teardown(void)
{
	sim_fini(&sim);
}

TEST_CASE(flip, .setup = setup, .teardown = teardown,
          .timeout_s = TEST_NO_TIMEOUT);

/* The record that byte `at` belongs to, or NULL in padding and the tail. */
static const struct record_position *
position_of(uint64_t at)
{
	size_t low = 0, high = position_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (positions[middle].at + positions[middle].used <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low < position_count && positions[low].at <= at ? &positions[low]
	                                                       : NULL;
}

/* --- every byte, through scan alone --- */

/* Where the segment ends for view_pread. */
static uint64_t view_end;

static ssize_t
view_pread(struct disk *d, int file, void *buf, size_t n, uint64_t at)
{
	(void)d;
	(void)file;
	if (at >= view_end)
		return 0;
	if (n > view_end - at)
		n = (size_t)(view_end - at);
	memcpy(buf, segment + at, n);
	return (ssize_t)n;
}

/* Flip byte `at` of record i.  The record after it must still be found. */
static void
flip_in_record(struct disk *view, struct scan *scan, size_t i, uint64_t at)
{
	const struct record_position *bad = &positions[i], *next = bad + 1;
	uint8_t byte = segment[at];
	const uint8_t *body;
	struct record r;
	int rc;

	segment[at] = damaged(at, byte);
	scan_start(scan, view, 0, stream_seed);
	scan->at = bad->at;
	rc = scan_peek(scan, &r, &body);
	ck_assert_msg(rc == -EBADMSG, "byte %" PRIu64 " goes unnoticed", at);
	rc = scan_resync(scan, bad->offset, &r);
	ck_assert_msg(rc == 0 && r.offset == next->offset &&
	                  scan->at == next->at,
	              "byte %" PRIu64 " hides the next record", at);
	segment[at] = byte;
}

TEST(every_byte_of_a_record_is_guarded_and_guards_no_other)
{
	struct disk view = {.pread = view_pread};
	struct scan scan = {.file = -1};
	uint64_t flips = 0;

	for (size_t i = 0; i + 1 < position_count; i++) {
		const struct record_position *p = &positions[i], *last = p + 1;

		for (uint64_t at = p->at; at < p->at + p->used; at++, flips++) {
			/* A damaged header may point anywhere. */
			view_end = at < p->at + RECORD_HEADER
			               ? SEGMENT_BYTES
			               : last->at + record_size(last->used -
			                                        RECORD_HEADER);
			flip_in_record(&view, &scan, i, at);
		}
	}
	scan_fini(&scan);
	printf("%" PRIu64 " bytes of %zu records\n", flips, position_count - 1);
	ck_assert_uint_gt(flips, SEGMENT_BYTES / 10 * 8);
}

/* --- some bytes, through all of the log --- */

static void
flip_on_disk(int file, uint64_t at)
{
	uint8_t byte = damaged(at, segment[at]);

	ck_assert_int_eq(disk_write(&sim.disk, file, &byte, 1, at), 0);
}

static void
repair_on_disk(int file, uint64_t at)
{
	ck_assert_int_eq(disk_write(&sim.disk, file, segment + at, 1, at), 0);
}

/* Without batchd: verify reports the bytes and the offsets. */
static void
verify_reports(uint64_t at, const struct record_position *bad, FILE *nowhere)
{
	struct verify v;

	ck_assert_int_eq(verify_run(&v, &sim.disk, nowhere), 0);
	if (bad) {
		ck_assert_msg(v.damages == 1 && v.lost_events == bad->count &&
		                  v.first.from == bad->offset &&
		                  v.first.to == bad->offset + bad->count &&
		                  v.first.at <= at && at < v.first.end,
		              "verify: byte %" PRIu64 " of %" PRIu64
		              "..: damages=%" PRIu64 " lost=%" PRIu64
		              " bytes=%" PRIu64 "..%" PRIu64 " offsets=%" PRIu64
		              "..%" PRIu64,
		              at, bad->at, v.damages, v.lost_events, v.first.at,
		              v.first.end, v.first.from, v.first.to);
	} else {
		ck_assert_msg(v.lost_events == 0, "verify: byte %" PRIu64, at);
		ck_assert_uint_eq(v.damages, at < SEGMENT_HEADER);
	}
	verify_fini(&v);
}

/* With batchd: it starts, and a reader gets all other events. */
static void
reader_skips(uint64_t at, const struct record_position *bad)
{
	static uint8_t body[FRAME_BODY_MAX];
	struct batch_chunk part = {.body = body};
	uint64_t events = 0, lost = bad ? bad->count : 0;
	struct reader r;
	struct store s;

	ck_assert_int_eq(store_open(&s, &sim.disk, &conf), 0);
	s.durable_offset = s.next_offset; /* as store_start does */
	reader_init(&r, &s);
	ck_assert_int_eq(reader_seek(&r, 0), 0);
	while (r.next_offset < s.durable_offset) {
		ck_assert_int_eq(
		    reader_frame(&r, s.durable_offset, 16 * MIB, &part), 0);
		events += part.count;
		if (bad && part.offset < bad->offset + bad->count)
			ck_assert_uint_le(part.offset + part.count,
			                  bad->offset);
	}
	ck_assert_msg(events + lost == s.durable_offset &&
	                  s.lost_events == lost,
	              "byte %" PRIu64 " costs %" PRIu64 " events, not %" PRIu64,
	              at, s.durable_offset - events, lost);
	reader_fini(&r);
	store_close(&s);
}

/* Damage each stride-th byte of the watched segment, which has n. */
static void
flip_each(uint64_t first_offset, uint64_t n, uint64_t stride)
{
	uint64_t flips = 0, in_records = 0;
	FILE *nowhere = fopen("/dev/null", "w");
	int file = open_file(first_offset);

	ck_assert_ptr_nonnull(nowhere);
	for (uint64_t at = 0; at < n; at += stride, flips++) {
		const struct record_position *bad = position_of(at);

		flip_on_disk(file, at);
		verify_reports(at, bad, nowhere);
		reader_skips(at, bad);
		repair_on_disk(file, at);
		in_records += bad ? 1 : 0;
	}
	sim.disk.close(&sim.disk, file);
	ck_assert_int_eq(fclose(nowhere), 0);
	ck_assert_uint_gt(in_records, 0);
	printf("%" PRIu64 " bytes, %" PRIu64 " of them in records\n", flips,
	       in_records);
}

TEST(a_damaged_byte_costs_its_record_and_is_reported)
{
	const char *text = getenv("STRIDE");

	flip_each(0, SEGMENT_BYTES,
	          text && text[0] ? strtoull(text, NULL, 10) : 701);
}

/* No later record shows that the last one was synced: the clean stop does. */
TEST(after_a_clean_stop_so_does_one_of_the_last_record)
{
	uint64_t first;
	struct store s;

	ck_assert_int_eq(store_open(&s, &sim.disk, &conf), 0);
	ck_assert_int_eq(store_start(&s, 0), 0);
	flip_run_retention(&s);
	position_count = 0;
	watched = s.segment_count;
	first = s.next_offset;
	for (uint32_t i = 1; i <= 3; i++) {
		flip_append(&s, i, 50 * i);
		flip_commit(&s);
	}
	ck_assert_int_eq(store_finish(&s), 0);
	store_close(&s);
	flip_each(first, take_in(first), 1);
}

/* Only the group after it shows that the whole group was synced. */
TEST(after_a_crash_so_does_one_of_a_group_of_three)
{
	uint64_t first;
	struct store s;

	ck_assert_int_eq(store_open(&s, &sim.disk, &conf), 0);
	ck_assert_int_eq(store_start(&s, 0), 0);
	position_count = 0;
	watched = s.segment_count;
	first = s.next_offset;
	for (uint32_t i = 1; i <= 3; i++)
		flip_append(&s, i, 50 * i);
	flip_commit(&s);
	flip_append(&s, 4, 50);
	flip_commit(&s);
	store_close(&s);
	(void)take_in(first);
	flip_each(first, positions[3].at, 1);
}

/* --- while batchd runs --- */

static struct store beside;
static struct cursor beside_cursor;
static int (*sim_list)(struct disk *d, const char *directory,
                       int (*on_name)(void *arg, const char *name), void *arg);

/* Grow the log, and move a sink on, once verify has listed the segments. */
static int
list_and_go_on(struct disk *d, const char *directory,
               int (*on_name)(void *arg, const char *name), void *arg)
{
	size_t before = beside.segment_count;
	int rc;

	sim.disk.list = sim_list;
	rc = sim.disk.list(d, directory, on_name, arg);
	while (beside.segment_count == before) {
		flip_append(&beside, 1, 10000);
		flip_commit(&beside);
		flip_run_retention(&beside);
	}
	flip_append(&beside, 1, 10);
	flip_commit(&beside);
	cursor_set(&beside_cursor, beside.next_offset, CURSOR_NO_BATCH);
	ck_assert(cursor_begin(&beside_cursor));
	ck_assert_int_eq(cursor_write(&beside_cursor, d), 0);
	cursor_end(&beside_cursor);
	return rc;
}

TEST(a_log_that_grows_while_it_is_verified_is_intact)
{
	FILE *nowhere = fopen("/dev/null", "w");
	struct verify v;

	ck_assert_ptr_nonnull(nowhere);
	ck_assert_int_eq(store_open(&beside, &sim.disk, &conf), 0);
	ck_assert_int_eq(store_start(&beside, 0), 0);
	flip_run_retention(&beside);
	ck_assert_int_eq(
	    cursor_create(&beside_cursor, &sim.disk, "one", beside.stream, 0),
	    0);
	watched = 0;
	sim_list = sim.disk.list;
	sim.disk.list = list_and_go_on;
	ck_assert_int_eq(verify_run(&v, &sim.disk, nowhere), 0);
	ck_assert_uint_eq(v.damages, 0);
	verify_fini(&v);
	cursor_close(&beside_cursor, &sim.disk);
	store_close(&beside);
	ck_assert_int_eq(fclose(nowhere), 0);
}
