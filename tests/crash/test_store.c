/*
 * test_store - the log in a real directory: events that were appended are read
 * again after a restart, a torn tail, a flipped byte, a missing file or a
 * failed sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batchd/consumer.h"
#include "batchd/store.h"
#include "libbase/error.h"
#include "tests/support/test.h"

static char dir[64];
static struct disk_real real;
static struct store store;

static const struct store_conf conf = {
    .max_bytes = 64 * MIB,
    .segment_bytes = 1 * MIB,
    .group_max_bytes = 256 * KIB,
};

/* Small files, for tests that copy them for each byte. */
static const struct store_conf tiny = {
    .max_bytes = 2 * MIB,
    .segment_bytes = 192 * KIB,
    .group_max_bytes = 160 * KIB,
};

static void shell(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void
shell(const char *fmt, ...)
{
	char command[300];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	ck_assert_int_eq(system(command), 0);
}

static void
setup(void)
{
	/* In memory if possible, because some tests sync thousands of times. */
	(void)snprintf(dir, sizeof dir, "/dev/shm/leat-store-XXXXXX");
	if (mkdtemp(dir))
		return;
	(void)snprintf(dir, sizeof dir, "/tmp/leat-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
teardown(void)
{
	shell("rm -rf %s", dir);
}

TEST_CASE(store, .setup = setup, .teardown = teardown);

static int
open_with(const struct store_conf *c, uint64_t least)
{
	int rc;

	ck_assert_int_eq(disk_real_open(&real, dir), 0);
	rc = store_open(&store, &real.disk, c);
	return rc < 0 ? rc : store_start(&store, least);
}

static void
close_store(void)
{
	store_close(&store);
	disk_real_close(&real);
}

/* Keep a spare segment ready, as the server does. */
static void
run_retention(uint64_t lowest)
{
	if (!retention_begin(&store, lowest))
		return;
	retention_run(&store);
	retention_end(&store);
}

static int
store_test_commit(void)
{
	int rc;

	if (!store_append_begin(&store, 1))
		return 0;
	rc = store_append_run(&store);
	return rc < 0 ? rc : store_append_end(&store, 1);
}

/* A record of `count` events; each has its own offset as its id. */
static void
append_events(uint32_t count, size_t payload_bytes)
{
	struct buf body;
	uint8_t *body_at;
	char id[32], *payload = malloc(payload_bytes + 3);

	ck_assert_ptr_nonnull(payload);
	memset(payload, ' ', payload_bytes + 2);
	payload[0] = '{';
	payload[payload_bytes + 1] = '}';
	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct event e = {
		    .type = slice_of("t"),
		    .payload = {payload, (uint32_t)payload_bytes + 2},
		    .created_at_us = 1,
		    /* It ends in no zero byte, so each byte cut off shows. */
		    .received_at_us = INT64_C(0x0001010101010101)};

		(void)snprintf(id, sizeof id, "%llu",
		               (unsigned long long)store.next_offset + i);
		e.id = slice_of(id);
		ck_assert_int_eq(event_pack(&body, &e), 0);
	}
	body_at = store_append_buffer(&store);
	if (!body_at) {
		ck_assert_int_eq(store_test_commit(), 0);
		run_retention(0);
		body_at = store_append_buffer(&store);
	}
	ck_assert_ptr_nonnull(body_at);
	memcpy(body_at, body.data, body.len);
	(void)store_append(&store, (uint32_t)body.len, count, 1);
	buf_fini(&body);
	free(payload);
}

static void
put_durable(uint32_t count, size_t payload_bytes)
{
	append_events(count, payload_bytes);
	ck_assert_int_eq(store_test_commit(), 0);
	run_retention(0);
}

/* Count the events from `from` on, and check that ids are offsets. */
static uint64_t
read_whole_log(uint64_t from, uint64_t *last_end)
{
	static uint8_t body[FRAME_BODY_MAX];
	struct batch_chunk s = {.body = body};
	struct reader r;
	struct event e;
	uint64_t events = 0;

	reader_init(&r, &store);
	ck_assert_int_eq(reader_seek(&r, from), 0);
	*last_end = from;
	while (r.next_offset < store.durable_offset) {
		struct wire_reader w;

		ck_assert_int_eq(
		    reader_frame(&r, store.durable_offset, 16 * MIB, &s), 0);
		if (s.count == 0)
			break;
		w = (struct wire_reader){body, body + s.bytes};
		for (uint32_t i = 0; i < s.count; i++) {
			char id[32] = {0};

			ck_assert_int_eq(event_read(&w, &e), 0);
			memcpy(id, e.id.data, e.id.bytes);
			ck_assert_uint_eq(strtoull(id, NULL, 10), s.offset + i);
		}
		ck_assert_ptr_eq(w.at, w.end);
		ck_assert_uint_ge(s.offset, *last_end);
		*last_end = s.offset + s.count;
		events += s.count;
	}
	reader_fini(&r);
	return events;
}

static int
open_segment_file(uint64_t first_offset)
{
	char path[128], name[SEGMENT_NAME_BYTES];
	int fd;

	segment_name(first_offset, name);
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void
flip_byte(uint64_t first_offset, off_t at)
{
	int fd = open_segment_file(first_offset);
	uint8_t byte;

	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	ck_assert_int_eq(close(fd), 0);
}

TEST(what_is_durable_comes_back_over_many_segments)
{
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	for (int i = 0; i < 400; i++) {
		append_events(1 + (uint32_t)(i % 50), 200);
		if (i % 7 == 0)
			ck_assert_int_eq(store_test_commit(), 0);
		run_retention(0);
	}
	ck_assert_int_eq(store_test_commit(), 0);
	ck_assert_uint_gt(store.segment_count, 1);
	ck_assert_uint_eq(store.durable_offset, store.next_offset);
	ck_assert_uint_eq(read_whole_log(0, &end), store.durable_offset);
	/* Reading can begin inside a record, too. */
	ck_assert_uint_eq(read_whole_log(1003, &end),
	                  store.durable_offset - 1003);
	end = store.durable_offset;
	close_store();

	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_uint_eq(store.durable_offset, end);
	ck_assert_uint_eq(read_whole_log(0, &end), store.durable_offset);
	put_durable(3, 10);
	ck_assert_uint_eq(read_whole_log(0, &end), store.durable_offset);
	close_store();
}

TEST(nothing_is_read_before_it_is_durable)
{
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	append_events(10, 10);
	ck_assert_uint_eq(store.next_offset, 10);
	ck_assert_uint_eq(store.durable_offset, 0);
	ck_assert_uint_eq(read_whole_log(0, &end), 0);
	ck_assert_int_eq(store_test_commit(), 0);
	ck_assert_uint_eq(read_whole_log(0, &end), 10);
	close_store();
}

/* A crash while the last record is written, after each of its bytes. */
TEST(a_torn_last_record_is_cut_and_the_rest_is_kept)
{
	size_t body_bytes, size, keep;
	uint64_t end;
	int fd;

	ck_assert_int_eq(open_with(&tiny, 0), 0);
	put_durable(5, 20);
	keep = store.end_bytes;
	put_durable(2, 50);
	size = store.end_bytes;
	close_store();
	body_bytes = size - keep;
	ck_assert_uint_gt(body_bytes, RECORD_HEADER);
	shell("cp -r %s %s.whole", dir, dir);
	for (size_t cut = keep; cut < size; cut += test_stride()) {
		uint8_t zeros[256] = {0};

		shell("rm -rf %s && cp -r %s.whole %s", dir, dir, dir);
		fd = open_segment_file(0);
		ck_assert_int_eq(pwrite(fd, zeros, size - cut, (off_t)cut),
		                 (ssize_t)(size - cut));
		ck_assert_int_eq(close(fd), 0);
		ck_assert_int_eq(open_with(&tiny, 0), 0);
		/* If only padding is missing, the record is complete. */
		if (store.durable_offset == 7) {
			ck_assert_uint_gt(cut + RECORD_ALIGN, size);
		} else {
			ck_assert_uint_eq(store.durable_offset, 5);
		}
		ck_assert_uint_eq(store.lost_events, 0);
		put_durable(4, 5);
		ck_assert_uint_eq(read_whole_log(0, &end),
		                  store.durable_offset);
		close_store();
	}
	shell("rm -rf %s.whole", dir);
}

/* Four records, each synced; a byte of the second is flipped. */
TEST(a_flipped_byte_costs_its_record_and_no_other)
{
	uint64_t ends[5], end;

	ck_assert_int_eq(open_with(&tiny, 0), 0);
	ends[0] = store.end_bytes;
	for (int i = 1; i < 5; i++) {
		put_durable(10, 30);
		ends[i] = store.end_bytes;
	}
	close_store();
	shell("cp -r %s %s.whole", dir, dir);
	for (uint64_t at = ends[1]; at < ends[2]; at += test_stride()) {
		shell("rm -rf %s && cp -r %s.whole %s", dir, dir, dir);
		flip_byte(0, (off_t)at);
		ck_assert_int_eq(open_with(&tiny, 0), 0);
		ck_assert_uint_eq(store.durable_offset, 40);
		if (store.lost_events == 0) {
			/* The checksum covers all but the padding. */
			ck_assert_uint_gt(at + RECORD_ALIGN, ends[2]);
			ck_assert_uint_eq(read_whole_log(0, &end), 40);
		} else {
			ck_assert_uint_eq(store.lost_events, 10);
			ck_assert_uint_eq(read_whole_log(0, &end), 30);
		}
		ck_assert_uint_eq(end, 40);
		close_store();
	}
	shell("rm -rf %s.whole", dir);
}

/* No record of a group shows that the group was synced; a later one does. */
TEST(a_flipped_byte_costs_its_record_and_no_other_of_its_group)
{
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	append_events(3, 30);
	append_events(4, 30);
	append_events(5, 30);
	ck_assert_int_eq(store_test_commit(), 0);
	put_durable(2, 30);
	close_store();
	flip_byte(0, SEGMENT_HEADER + RECORD_HEADER + 5);
	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_uint_eq(store.durable_offset, 14);
	ck_assert_uint_eq(store.lost_events, 3);
	ck_assert_uint_eq(read_whole_log(0, &end), 11);
	ck_assert_uint_eq(store.lost_events, 3);
	close_store();
}

TEST(a_flipped_byte_while_running_is_found_by_the_reader)
{
	uint64_t at, end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	at = store.end_bytes;
	put_durable(10, 30);
	put_durable(10, 30);
	flip_byte(0, (off_t)at + RECORD_HEADER + 5);
	ck_assert_uint_eq(read_whole_log(0, &end), 20);
	ck_assert_uint_eq(end, 30);
	ck_assert_uint_eq(store.lost_events, 10);
	/* It is reported once. */
	ck_assert_uint_eq(read_whole_log(0, &end), 20);
	ck_assert_uint_eq(store.lost_events, 10);
	close_store();
}

/* A reader that has met damage reads what is appended after it. */
TEST(a_flipped_byte_in_the_newest_record_costs_no_later_one)
{
	uint64_t at, events, end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	for (int i = 0; i < 2; i++) {
		at = store.end_bytes;
		put_durable(10, 30);
		flip_byte(0, (off_t)at + RECORD_HEADER + 5);
		(void)read_whole_log(0, &end);
		ck_assert_uint_eq(store.lost_events, 10 * (i + 1U));
	}
	put_durable(10, 30);
	events = read_whole_log(0, &end);
	ck_assert_uint_eq(events, 20);
	ck_assert_uint_eq(end, 40);
	ck_assert_uint_eq(store.lost_events, 20);
	close_store();
}

/* The same for a reader that continues. */
TEST(a_reader_continues_after_damage_at_the_end)
{
	static uint8_t body[FRAME_BODY_MAX];
	struct batch_chunk part = {.body = body};
	uint64_t at, events = 0;
	struct reader r;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	reader_init(&r, &store);
	ck_assert_int_eq(reader_seek(&r, 0), 0);
	for (int i = 0; i < 6; i++) {
		at = store.end_bytes;
		put_durable(10, 30);
		if (i == 2 || i == 3)
			flip_byte(0, (off_t)at + RECORD_HEADER + 5);
		ck_assert_int_eq(
		    reader_frame(&r, store.durable_offset, 16 * MIB, &part), 0);
		events += part.count;
		ck_assert_uint_eq(r.next_offset, store.durable_offset);
	}
	ck_assert_uint_eq(events, 40);
	ck_assert_uint_eq(store.lost_events, 20);
	reader_fini(&r);
	close_store();
}

TEST(a_damaged_segment_header_loses_nothing)
{
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0); /* a second segment */
	put_durable(10, 30);
	close_store();
	for (off_t at = 0; at < SEGMENT_HEADER; at += 9) {
		flip_byte(10, at);
		ck_assert_int_eq(open_with(&conf, 0), 0);
		ck_assert_uint_eq(read_whole_log(0, &end), 20);
		close_store();
		flip_byte(10, at);
	}
}

TEST(a_missing_segment_is_missed)
{
	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	shell("rm %s/00000000000000000010.seg", dir);
	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert(!store_complete(&store, 5));
	ck_assert(store_complete(&store, 20));
	close_store();
}

TEST(a_reader_skips_a_missing_segment_and_reports_it)
{
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	shell("rm %s/00000000000000000010.seg", dir);
	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_uint_eq(read_whole_log(0, &end), 20);
	ck_assert_uint_eq(end, 30);
	ck_assert_uint_eq(store.lost_events, 10);
	close_store();
}

TEST(cursors_without_segments_are_not_a_fresh_start)
{
	struct consumer f;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_int_eq(consumer_open(&f, &store, "one"), 0);
	ck_assert_int_eq(consumer_start(&f, false), 0);
	consumer_close(&f);
	close_store();
	shell("rm %s/*.seg", dir);
	ck_assert_int_eq(open_with(&conf, 0), ERR_OPERATOR_NEEDED);
	close_store();
}

TEST(offsets_are_not_used_twice_after_the_end_is_lost)
{
	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 500), 0);
	ck_assert_uint_eq(store.next_offset, 500);
	close_store();
}

/*
 * A clean stop leaves an empty segment.  When the log then continues at a
 * higher offset, that segment must not count as missing.
 */
TEST(an_empty_last_segment_is_not_missed_after_a_gap)
{
	ck_assert_int_eq(open_with(&conf, 0), 0);
	run_retention(0);
	put_durable(10, 30);
	ck_assert_int_eq(store_finish(&store), 0);
	close_store();
	ck_assert_int_eq(open_with(&conf, 500), 0);
	put_durable(1, 30);
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_uint_eq(store.next_offset, 501);
	ck_assert(store_complete(&store, 0));
	close_store();
}

TEST(segments_go_when_every_cursor_is_past_them)
{
	size_t before;
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	for (int i = 0; i < 60; i++)
		put_durable(50, 2000);
	before = store.segment_count;
	ck_assert_uint_gt(before, 4);
	run_retention(store.segments[2].first_offset - 1);
	ck_assert_uint_eq(store.segment_count, before - 1);
	run_retention(store.durable_offset);
	ck_assert_uint_eq(store.segment_count, 1);
	/* Files were used again; none of their earlier events may appear. */
	for (int i = 0; i < 60; i++)
		put_durable(50, 2000);
	ck_assert_uint_eq(read_whole_log(store_first_offset(&store), &end),
	                  store.durable_offset - store_first_offset(&store));
	close_store();
	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_uint_eq(store.durable_offset, 6000);
	ck_assert_uint_eq(store.lost_events, 0);
	close_store();
}

/*
 * Records of one size are at the same positions of a recycled file as those of
 * its earlier use.  The reader must not use what it has in memory of those.
 */
TEST(a_reader_at_the_heels_of_the_log_loses_nothing)
{
	static uint8_t body[FRAME_BODY_MAX];
	struct batch_chunk part = {.body = body};
	uint64_t events = 0;
	struct reader r;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	reader_init(&r, &store);
	ck_assert_int_eq(reader_seek(&r, 0), 0);
	for (int i = 0; i < 400; i++) {
		append_events(1, 20000);
		append_events(1, 20000);
		ck_assert_int_eq(store_test_commit(), 0);
		run_retention(r.next_offset);
		while (r.next_offset < store.durable_offset) {
			ck_assert_int_eq(reader_frame(&r, store.durable_offset,
			                              16 * MIB, &part),
			                 0);
			events += part.count;
		}
	}
	ck_assert_uint_lt(store.segment_count, 4);
	ck_assert_uint_eq(store.lost_events, 0);
	ck_assert_uint_eq(events, 800);
	reader_fini(&r);
	close_store();
}

#define HOUR_US (INT64_C(3600) * 1000000)

/* All segments were created at 1 us of the wall clock. */
TEST(a_clock_set_forward_deletes_nothing_early)
{
	struct store_conf c = conf;
	size_t count;

	c.retain_us = HOUR_US;
	ck_assert_int_eq(open_with(&c, 0), 0);
	while (store.segment_count < 5)
		put_durable(50, 2000);
	run_retention(store.durable_offset);
	ck_assert_uint_eq(store.segment_count, 5);
	/* An hour later. */
	for (size_t i = 0; i < 4; i++)
		store.segments[i].since_us -= HOUR_US;
	run_retention(store.durable_offset);
	ck_assert_uint_eq(store.segment_count, 2);
	close_store();
	/* After a start the wall clock alone tells their age. */
	ck_assert_int_eq(open_with(&c, 0), 0);
	count = store.segment_count;
	run_retention(store.durable_offset);
	ck_assert_uint_lt(store.segment_count, count);
	close_store();
}

/* Segments from a time when the clock was ahead are as new as the start. */
TEST(a_clock_set_back_keeps_no_segment_for_long)
{
	struct store_conf c = conf;

	c.retain_us = HOUR_US;
	ck_assert_int_eq(open_with(&c, 0), 0);
	while (store.segment_count < 5) {
		append_events(50, 2000);
		ck_assert(store_append_begin(&store, INT64_C(1) << 61));
		ck_assert_int_eq(store_append_run(&store), 0);
		ck_assert_int_eq(store_append_end(&store, 1), 0);
		run_retention(0);
	}
	close_store();
	ck_assert_int_eq(open_with(&c, 0), 0);
	run_retention(store.durable_offset);
	ck_assert_uint_gt(store.segment_count, 4);
	for (size_t i = 0; i < store.segment_count; i++)
		store.segments[i].since_us -= HOUR_US;
	run_retention(store.durable_offset);
	ck_assert_uint_eq(store.segment_count, 1);
	close_store();
}

TEST(the_budget_closes_the_log_and_deletion_opens_it)
{
	struct store_conf small = conf;
	uint64_t full_at;

	small.max_bytes = 4 * MIB;
	ck_assert_int_eq(open_with(&small, 0), 0);
	while (!store_is_full(&store)) {
		ck_assert_uint_lt(store.next_offset, 100000);
		put_durable(10, 2000);
	}
	ck_assert_uint_le(store.bytes, small.max_bytes);
	full_at = store.next_offset;
	ck_assert_ptr_null(store_append_buffer(&store));
	run_retention(full_at);
	ck_assert(!store_is_full(&store));
	put_durable(10, 2000);
	ck_assert_uint_eq(store.durable_offset, full_at + 10);
	close_store();
}

/*
 * The settings of the next start may allow less than the last segment has.
 * That segment goes only when another one follows it, for which there must be
 * room.
 */
TEST(a_budget_below_the_last_segment_opens_the_log_when_all_is_stored)
{
	struct store_conf large = conf, small = conf;
	uint64_t end;

	large.segment_bytes = 8 * MIB;
	ck_assert_int_eq(open_with(&large, 0), 0);
	while (store.segment_count < 3 || store.end_bytes < 6 * MIB)
		put_durable(50, 2000);
	end = store.durable_offset;
	close_store();

	small.max_bytes = 4 * MIB;
	ck_assert_int_eq(open_with(&small, 0), 0);
	run_retention(end - 1); /* a sink lacks one event */
	ck_assert_uint_eq(store.segment_count, 1);
	ck_assert(store_is_full(&store));
	run_retention(end);
	ck_assert(!store_is_full(&store));
	put_durable(10, 2000);
	ck_assert_uint_eq(store.durable_offset, end + 10);
	run_retention(end);
	ck_assert_uint_eq(store_first_offset(&store), end);
	ck_assert_uint_le(store.bytes, small.max_bytes);
	close_store();
}

/* While a sink lags, the files of old segments must not be used again. */
TEST(a_log_above_a_smaller_budget_shrinks)
{
	struct store_conf small = conf;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	while (store.bytes < 16 * MIB)
		put_durable(50, 2000);
	close_store();

	small.max_bytes = 8 * MIB;
	ck_assert_int_eq(open_with(&small, 0), 0);
	while (store.bytes > small.max_bytes) {
		ck_assert(store_is_full(&store));
		ck_assert_uint_gt(store.segment_count, 2);
		run_retention(store.segments[2].first_offset);
	}
	close_store();
}

/* --- a disk that fails --- */

static int
failing_rename(struct disk *d, const char *from, const char *to)
{
	(void)d;
	(void)from;
	(void)to;
	return -ENOSPC;
}

/* Senders must get 503, and not wait for a segment until their time is over. */
TEST(the_log_is_full_if_no_old_segment_can_be_used_again)
{
	int (*working)(struct disk *, const char *, const char *);

	ck_assert_int_eq(open_with(&conf, 0), 0);
	while (store.segment_count < 4)
		put_durable(50, 2000);
	while (store_append_buffer(&store)) {
		append_events(1, 2000);
		ck_assert_int_eq(store_test_commit(), 0);
	}
	working = real.disk.rename;
	real.disk.rename = failing_rename;
	run_retention(store.durable_offset);
	ck_assert(store_is_full(&store));
	ck_assert(!store_accepts_requests(&store));
	real.disk.rename = working;
	run_retention(store.durable_offset);
	ck_assert(store_accepts_requests(&store));
	put_durable(10, 2000);
	close_store();
}

/* An operator has deleted it.  The segments after it must go nevertheless. */
TEST(a_segment_that_is_gone_keeps_no_other)
{
	char name[SEGMENT_NAME_BYTES];

	ck_assert_int_eq(open_with(&conf, 0), 0);
	while (store.segment_count < 6)
		put_durable(50, 2000);
	for (size_t i = 0; i < 3; i += 2) {
		segment_name(store.segments[i].first_offset, name);
		shell("rm %s/%s", dir, name);
	}
	run_retention(store.segments[1].first_offset);
	ck_assert_uint_eq(store.segment_count, 5);
	run_retention(store.durable_offset);
	ck_assert_uint_eq(store.segment_count, 1);
	run_retention(store.durable_offset);
	put_durable(10, 2000);
	close_store();
}

static int
failing_sync(struct disk *d, int file)
{
	(void)d;
	(void)file;
	return -EIO;
}

TEST(a_failed_sync_acknowledges_nothing)
{
	uint64_t end;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	append_events(10, 30);
	real.disk.sync = failing_sync;
	ck_assert(store_append_begin(&store, 1));
	ck_assert_int_eq(store_append_run(&store), -EIO);
	ck_assert_uint_eq(store.durable_offset, 10);
	close_store();

	ck_assert_int_eq(open_with(&conf, 0), 0);
	/* Written and not synced: all or none of it may be there. */
	ck_assert(store.durable_offset == 10 || store.durable_offset == 20);
	ck_assert_uint_eq(read_whole_log(0, &end), store.durable_offset);
	close_store();
}

/* --- fsync = interval --- */

static const int64_t then_us = INT64_C(1000000000000), day_us = 86400000000;

static void
append_at(int64_t now_us)
{
	ck_assert(store_append_begin(&store, now_us));
	ck_assert_int_eq(store_append_run(&store), 0);
	ck_assert_int_eq(store_append_end(&store, now_us), 0);
}

/* Acknowledge ten events without a sync. */
static void
open_unsynced(void)
{
	struct store_conf c = conf;

	c.fsync = FSYNC_INTERVAL;
	c.fsync_interval_us = 200000;
	ck_assert_int_eq(open_with(&c, 0), 0);
	run_retention(0);
	store.synced_us = then_us;
	append_events(10, 10);
	append_at(then_us + 1);
	ck_assert_uint_eq(store.durable_offset, 10);
	ck_assert_uint_eq(store.synced_offset, 0);
}

TEST(what_is_acknowledged_is_synced_when_its_time_comes)
{
	open_unsynced();
	ck_assert(!store_append_begin(&store, then_us + 199999));
	append_at(then_us + 200000);
	ck_assert_uint_eq(store.synced_offset, 10);
	/* It is synced only once. */
	ck_assert(!store_append_begin(&store, then_us + 400000));
	close_store();
}

static int syncs;

static int
counting_sync(struct disk *d, int file)
{
	(void)d;
	(void)file;
	syncs++;
	return 0;
}

/* A stop that does not wait for what batchd has received and not written. */
TEST(what_is_acknowledged_is_synced_at_a_stop_with_a_group_unwritten)
{
	open_unsynced();
	append_events(1, 10);
	syncs = 0;
	real.disk.sync = counting_sync;
	ck_assert_int_eq(store_finish(&store), 0);
	ck_assert_int_eq(syncs, 1);
	close_store();
}

/* The next sync must not wait until the clock reaches the old time. */
TEST(a_clock_set_back_delays_no_sync)
{
	open_unsynced();
	append_at(then_us - day_us);
	ck_assert_uint_eq(store.synced_offset, 10);
	ck_assert_int_eq(store.synced_us, then_us - day_us);
	close_store();
}

TEST(a_new_segment_syncs_the_one_before)
{
	open_unsynced();
	while (!store.filling->roll) {
		append_events(1, 1000);
		if (!store.filling->roll)
			append_at(then_us + 2);
	}
	ck_assert_uint_eq(store.synced_offset, 0);
	append_at(then_us + 3);
	ck_assert_uint_eq(store.synced_offset, store.segments[1].first_offset);
	ck_assert_uint_lt(store.synced_offset, store.durable_offset);
	close_store();
}

/* --- cursors --- */

TEST(a_cursor_survives_a_torn_slot)
{
	struct cursor c;
	char path[128];
	uint8_t stream[STREAM_ID_BYTES] = {1, 2, 3};
	uint8_t garbage[120];
	int fd;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_int_eq(cursor_create(&c, &real.disk, "one", stream, 7), 0);
	for (uint64_t at = 8; at < 12; at++) {
		cursor_set(&c, at, CURSOR_NO_BATCH);
		ck_assert(cursor_begin(&c));
		ck_assert_int_eq(cursor_write(&c, &real.disk), 0);
		cursor_end(&c);
		ck_assert_uint_eq(c.durable.committed, at);
	}
	ck_assert(!cursor_begin(&c));
	cursor_close(&c, &real.disk);
	/* Sequence 6 holds 11, in slot 0; 5 holds 10, in slot 1. */
	(void)snprintf(path, sizeof path, "%s/cursors/one.cursor", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	memset(garbage, 0x5a, sizeof garbage);
	ck_assert_int_eq(pwrite(fd, garbage, sizeof garbage, 0), 120);
	ck_assert_int_eq(cursor_open(&c, &real.disk, "one", stream), 0);
	ck_assert_uint_eq(c.now.committed, 10);
	cursor_close(&c, &real.disk);
	ck_assert_int_eq(pwrite(fd, garbage, sizeof garbage, 2048), 120);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(cursor_open(&c, &real.disk, "one", stream), -EBADMSG);
	ck_assert_int_eq(cursor_open(&c, &real.disk, "two", stream), -ENOENT);
	close_store();
}

TEST(a_cursor_of_another_log_is_refused)
{
	uint8_t stream[STREAM_ID_BYTES] = {1}, other[STREAM_ID_BYTES] = {2};
	struct cursor c;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	ck_assert_int_eq(cursor_create(&c, &real.disk, "one", stream, 7), 0);
	cursor_close(&c, &real.disk);
	ck_assert_int_eq(cursor_open(&c, &real.disk, "one", other),
	                 ERR_OTHER_LOG);
	close_store();
}

TEST(a_missing_cursor_starts_at_the_oldest_event)
{
	struct consumer f;

	ck_assert_int_eq(open_with(&conf, 0), 0);
	put_durable(10, 30);
	ck_assert_int_eq(consumer_open(&f, &store, "one"), 0);
	ck_assert_int_eq(consumer_start(&f, false), 0);
	ck_assert_uint_eq(f.position.cursor.now.committed, 0);
	consumer_close(&f);
	ck_assert_int_eq(consumer_open(&f, &store, "two"), 0);
	ck_assert_int_eq(consumer_start(&f, true), 0);
	ck_assert_uint_eq(f.position.cursor.now.committed, 10);
	consumer_close(&f);
	close_store();
}
