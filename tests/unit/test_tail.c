/*
 * test_tail - which events a tail is sent, when, and what it skips.
 *
 * There is no event loop and no socket.  chan_send, which is defined here in
 * place of libproto's, checks each frame: the events are those of their
 * offsets, and each event from the first one on is either sent or reported as
 * skipped, once and in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/tail.h"
#include "libbase/log.h"
#include "tests/support/sim/damage.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

static struct simdisk sim;
static struct store store;
static struct tail tail;
static size_t tails; /* as many as there are, for it */
static struct chan chan = {.fd = -1};
static uint64_t now_ms;

/* What the tail was sent since its watch. */
static struct {
	int frames;
	uint64_t at; /* the next event that it has not heard of */
	uint64_t events, bytes, skipped;
} got;
static bool socket_full;

static struct store_conf conf = {
    .max_bytes = 256 * MIB,
    .segment_bytes = 1 * MIB,
    .group_max_bytes = 256 * KIB,
};

static void
event_name(char name[24], uint64_t offset)
{
	(void)snprintf(name, 24, "e%llu", (unsigned long long)offset);
}

static void
take_batch(const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	struct event e;

	ck_assert_uint_eq(f->batch.stream_no, 0);
	ck_assert_uint_gt(f->batch.count, 0);
	ck_assert(f->batch.last && !f->batch.again);
	ck_assert_uint_eq(f->batch.next, f->batch.offset + f->batch.count);
	ck_assert_uint_eq(f->batch.offset, got.at);
	ck_assert_uint_le(f->batch.next, store.synced_offset);
	for (uint32_t i = 0; i < f->batch.count; i++) {
		char name[24];

		event_name(name, f->batch.offset + i);
		ck_assert_int_eq(event_read(&r, &e), 0);
		ck_assert(slice_is(e.id, name));
	}
	ck_assert_ptr_eq(r.at, r.end);
	got.at = f->batch.next;
	got.events += f->batch.count;
	got.bytes += f->body_bytes;
}

int
chan_send(struct chan *c, const struct frame *f)
{
	ck_assert_ptr_eq(c, &chan);
	if (socket_full)
		return -EAGAIN;
	got.frames++;
	if (f->type == FRAME_BATCH) {
		take_batch(f);
		return 0;
	}
	ck_assert_int_eq(f->type, FRAME_SKIPPED);
	ck_assert_uint_eq(f->skipped.from, got.at);
	ck_assert_uint_gt(f->skipped.to, got.at);
	got.skipped += f->skipped.to - f->skipped.from;
	got.at = f->skipped.to;
	return 0;
}

static void
open_all(void)
{
	ck_assert_int_eq(store_open(&store, &sim.disk, &conf), 0);
	ck_assert_int_eq(store_start(&store, 0), 0);
	ck_assert_int_eq(tail_init(&tail, &store, &chan), 0);
}

static void
close_all(void)
{
	tail_fini(&tail);
	store_close(&store);
}

static void
setup(void)
{
	tails = 1;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	sim_init(&sim, 1);
	now_ms = 1000;
	socket_full = false;
	conf.fsync = FSYNC_ALWAYS;
	open_all();
}

static void
teardown(void)
{
	close_all();
	sim_fini(&sim);
}

TEST_CASE(tail, .setup = setup, .teardown = teardown);

static void
run_retention(uint64_t lowest)
{
	if (!retention_begin(&store, lowest))
		return;
	retention_run(&store);
	retention_end(&store);
}

/* Add a record of `count` events with payloads of so many bytes. */
static void
add(uint32_t count, uint32_t payload_bytes)
{
	static char payload[FRAME_BODY_MAX];
	static struct buf body; /* kept: a test adds thousands of records */
	uint8_t *place;

	if (!body.data) {
		memset(payload, 'x', sizeof payload);
		buf_init(&body, FRAME_BODY_MAX);
	}
	buf_clear(&body);
	for (uint32_t i = 0; i < count; i++) {
		struct event e = {.type = slice_of("t"),
		                  .payload = {payload, payload_bytes},
		                  .created_at_us = 1,
		                  .received_at_us = 1};
		char name[24];

		event_name(name, store.next_offset + i);
		e.id = slice_of(name);
		ck_assert_int_eq(event_pack(&body, &e), 0);
	}
	place = store_append_buffer(&store);
	if (!place) {
		run_retention(0);
		place = store_append_buffer(&store);
	}
	ck_assert_ptr_nonnull(place);
	memcpy(place, body.data, body.len);
	(void)store_append(&store, (uint32_t)body.len, count, 1);
}

/* Make the group of the records that were added durable. */
static void
sync_group(void)
{
	ck_assert(store_append_begin(&store, 1));
	ck_assert_int_eq(store_append_run(&store), 0);
	ck_assert_int_eq(store_append_end(&store, 1), 0);
}

/* A group of one record. */
static void
put(uint32_t count, uint32_t payload_bytes)
{
	add(count, payload_bytes);
	sync_group();
}

static void
put_bytes(uint64_t bytes)
{
	for (uint64_t n = 0; n < bytes; n += 100000)
		put(1, 100000);
}

static void
watch(bool has_from, uint64_t from, uint64_t events, bool live,
      uint64_t bytes_per_s)
{
	struct frame f = {.type = FRAME_WATCH};

	f.watch.has_from = has_from;
	f.watch.from = from;
	f.watch.events = events;
	f.watch.live = live;
	f.watch.bytes_per_s = bytes_per_s;
	tail_watch(&tail, &f, now_ms);
	memset(&got, 0, sizeof got);
	got.at = has_from ? from : store.synced_offset;
}

static int
step(bool sinks_idle, uint64_t *wake_ms)
{
	uint64_t first = store_first_offset(&store);
	int rc = tail_step(&tail, tails, now_ms, sinks_idle, wake_ms);

	tail_release(&tail);
	/* It holds no segment. */
	ck_assert(tail.reader.file < 0 || tail.reader.segment_first >= first);
	return rc;
}

/* Step until the tail waits.  Returns the time that it waits for. */
static uint64_t
run(void)
{
	uint64_t wake_ms;
	int rc;

	while ((rc = step(true, &wake_ms)) == 1)
		;
	ck_assert_int_eq(rc, 0);
	return wake_ms;
}

TEST(nothing_is_sent_before_a_watch)
{
	put(3, 10);
	ck_assert_uint_eq(run(), UINT64_MAX);
	ck_assert_int_eq(tail.state, TAIL_IDLE);
}

TEST_LOOP(newest_begins_with_what_comes_next, 2)
{
	put(3, 10);
	if (_i == 1) { /* the place of the newest group is not known then */
		close_all();
		open_all();
	}
	watch(false, 0, 0, true, 0);
	ck_assert_uint_eq(run(), UINT64_MAX);
	ck_assert_int_eq(got.frames, 0);
	put(2, 10);
	put(1, 10);
	ck_assert_uint_eq(run(), UINT64_MAX);
	ck_assert_uint_eq(got.events, 3);
	ck_assert_uint_eq(got.at, 6);
}

TEST(a_tail_of_an_empty_log_gets_the_first_events)
{
	watch(false, 0, 0, true, 0);
	(void)run();
	put(2, 10);
	(void)run();
	ck_assert_uint_eq(got.events, 2);
}

/* From the first, from within a record, from the end, and past it. */
TEST_LOOP(an_offset_begins_with_that_event, 4)
{
	static const uint64_t from[] = {0, 55, 100, 130};

	for (int i = 0; i < 10; i++)
		put(10, 10);
	watch(true, from[_i], 0, false, 0);
	ck_assert_uint_eq(run(), UINT64_MAX);
	ck_assert_uint_eq(got.events, from[_i] < 100 ? 100 - from[_i] : 0);
	for (int i = 0; i < 5; i++)
		put(10, 10);
	(void)run();
	ck_assert_uint_eq(got.events, 150 - from[_i]);
	ck_assert_uint_eq(got.skipped, 0);
}

TEST_LOOP(no_more_events_than_asked_for, 4)
{
	static const uint64_t events[] = {1, 7, 10, 25};

	for (int i = 0; i < 5; i++)
		put(10, 10);
	watch(true, 3, events[_i], false, 0);
	(void)run();
	ck_assert_uint_eq(got.events, events[_i]);
	ck_assert_int_eq(tail.state, TAIL_IDLE);
	put(10, 10);
	ck_assert_uint_eq(run(), UINT64_MAX);
	ck_assert_uint_eq(got.events, events[_i]);
	/* And the next watch. */
	watch(true, 0, 0, false, 0);
	(void)run();
	ck_assert_uint_eq(got.events, 60);
}

TEST(events_that_are_asked_for_and_are_not_there_are_waited_for)
{
	put(2, 10);
	watch(true, 0, 3, false, 0);
	(void)run();
	ck_assert_uint_eq(got.events, 2);
	put(5, 10);
	(void)run();
	ck_assert_uint_eq(got.events, 3);
}

TEST(a_watch_replaces_the_one_before)
{
	uint64_t wake;

	put_bytes(3 * MIB);
	watch(true, 0, 0, false, 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(step(true, &wake), 1);
	watch(true, 5, 2, false, 0);
	(void)run();
	ck_assert_uint_eq(got.events, 2);
	ck_assert_uint_eq(got.at, 7);
}

TEST(history_over_many_segments_is_complete)
{
	put_bytes(20 * MIB);
	ck_assert_uint_gt(store.segment_count, 10);
	watch(true, 1, 0, false, 0);
	(void)run();
	ck_assert_uint_eq(got.at, store.next_offset);
	ck_assert_uint_eq(got.skipped, 0);
}

/* A long segment is searched in steps, so that no turn takes long. */
TEST(a_search_is_divided)
{
	uint64_t wake;
	int steps = 0;

	put_bytes(900 * KIB);
	ck_assert_uint_eq(store.segment_count, 1);
	watch(true, store.next_offset - 1, 0, false, 0);
	while (got.events == 0) {
		ck_assert_int_eq(step(true, &wake), 1);
		steps++;
	}
	ck_assert_int_eq(steps, 2);
}

/* --- what is deleted --- */

TEST(what_was_deleted_before_is_skipped)
{
	uint64_t first;

	put_bytes(5 * MIB);
	run_retention(store.synced_offset);
	first = store_first_offset(&store);
	ck_assert_uint_gt(first, 10);
	watch(true, 3, 0, false, 0);
	(void)run();
	ck_assert_uint_eq(got.skipped, first - 3);
	ck_assert_uint_eq(got.at, store.next_offset);
}

/*
 * The segments under a tail are deleted, and their files are used for new
 * events: after one frame, while it searches, while one is being sent, and
 * while the deletion runs.
 */
TEST_LOOP(what_is_deleted_under_a_tail_is_skipped, 8)
{
	bool search = _i & 1, sending = _i & 2, running = _i & 4;
	uint64_t wake, first;

	put_bytes(5 * MIB);
	watch(true, search ? 8 : 0, 0, false, 0);
	ck_assert_int_eq(step(true, &wake), 1);
	socket_full = sending;
	if (sending)
		while (step(true, &wake) == 1)
			;
	ck_assert(retention_begin(&store, store.synced_offset));
	first = store_first_offset(&store);
	ck_assert_uint_gt(first, 30);
	if (running)
		(void)step(true, &wake);
	retention_run(&store);
	if (running)
		(void)step(true, &wake);
	retention_end(&store);
	put_bytes(8 * MIB);
	socket_full = false;
	(void)run();
	ck_assert_uint_eq(got.at, store.next_offset);
	ck_assert_uint_ge(got.events, store.next_offset - first);
	ck_assert_uint_gt(got.skipped, 20);
}

/* A tail that is not read for a long time keeps no file of a deleted one. */
TEST(a_deleted_segment_is_closed_although_the_socket_is_full)
{
	uint64_t wake;

	put_bytes(5 * MIB);
	watch(true, 0, 0, false, 0);
	ck_assert_int_eq(step(true, &wake), 1);
	socket_full = true;
	ck_assert_int_eq(step(true, &wake), -EAGAIN);
	ck_assert_int_ge(tail.reader.file, 0);
	run_retention(store.synced_offset);
	tail_release(&tail);
	ck_assert_int_lt(tail.reader.file, 0);
	socket_full = false;
	(void)run();
	ck_assert_uint_eq(got.at, store.next_offset);
	ck_assert_uint_gt(got.skipped, 20);
}

/* --- what is damaged --- */

TEST_LOOP(damaged_events_are_skipped, 3)
{
	for (int i = 0; i < 3; i++)
		put(10, 10);
	sim_damage(&sim, _i);
	watch(true, 0, 0, false, 0);
	(void)run();
	ck_assert_uint_eq(got.events, 20);
	ck_assert_uint_eq(got.skipped, 10);
	ck_assert_uint_eq(got.at, 30);
	put(10, 10);
	(void)run();
	ck_assert_uint_eq(got.events, 30);
	/* A sink may have had them: only a sink's reader reports a loss. */
	ck_assert_uint_eq(store.lost_events, 0);
}

TEST(damaged_events_do_not_count_as_sent)
{
	for (int i = 0; i < 3; i++)
		put(10, 10);
	sim_damage(&sim, 0);
	watch(true, 5, 12, false, 0);
	(void)run();
	ck_assert_uint_eq(got.skipped, 5);
	ck_assert_uint_eq(got.events, 12);
	ck_assert_uint_eq(got.at, 22);
}

/* --- when a tail has its turn --- */

TEST_LOOP(a_tail_has_its_share_although_sinks_have_work, 2)
{
	bool live = _i == 0;
	uint64_t share = live ? TAIL_LIVE_SHARE_MS : TAIL_HISTORY_SHARE_MS;
	uint64_t wake;

	watch(true, 0, 0, live, 0);
	ck_assert_int_eq(step(false, &wake), 0);
	put(1, 10);
	now_ms += share - 1;
	ck_assert_int_eq(step(false, &wake), 0);
	ck_assert_uint_eq(wake, now_ms + 1);
	ck_assert_int_eq(got.frames, 0);
	now_ms++;
	ck_assert_int_eq(step(false, &wake), 1);
	ck_assert_uint_eq(got.events, 1);
	put(1, 10);
	ck_assert_int_eq(step(false, &wake), 0);
	ck_assert_int_eq(step(true, &wake), 1); /* they have none now */
	ck_assert_uint_eq(got.events, 2);
}

/* From within the newest group there is nothing newer to move to. */
TEST(a_live_tail_is_not_moved_back)
{
	uint64_t wake;

	for (int i = 0; i < 3; i++)
		add(1, 80000);
	sync_group();
	watch(true, 0, 0, true, 0);
	for (int i = 0; i < 3; i++) {
		now_ms += TAIL_LIVE_SHARE_MS;
		ck_assert_int_eq(step(false, &wake), 1);
	}
	ck_assert_uint_eq(got.events, 3);
	ck_assert_uint_eq(got.skipped, 0);
}

/* It shows a part of each tenth of a second, and not the oldest ones. */
TEST(a_live_tail_that_sinks_hold_back_is_moved_ahead)
{
	uint64_t wake;

	put(1, 10);
	watch(true, 0, 0, true, 0);
	for (int i = 0; i < 10; i++) {
		put_bytes(3 * MIB);
		now_ms += TAIL_LIVE_SHARE_MS;
		ck_assert_int_eq(step(false, &wake), 1); /* skipped */
		ck_assert_int_eq(step(false, &wake), 0);
		now_ms += TAIL_LIVE_SHARE_MS;
		ck_assert_int_eq(step(false, &wake), 1);
		ck_assert_uint_eq(got.at, store.next_offset);
	}
	ck_assert_uint_eq(got.events, 10);
}

TEST(a_history_tail_that_sinks_hold_back_is_not_moved)
{
	uint64_t wake;

	put_bytes(3 * MIB);
	watch(true, 0, 0, false, 0);
	for (int i = 0; i < 10; i++) {
		now_ms += TAIL_HISTORY_SHARE_MS;
		ck_assert_int_eq(step(false, &wake), 1);
	}
	ck_assert_uint_eq(got.skipped, 0);
	ck_assert_uint_eq(got.events, 10);
}

TEST_LOOP(a_tail_that_is_not_read_for_long, 2)
{
	bool live = _i == 0;
	uint64_t wake;

	put(1, 10);
	watch(false, 0, 0, live, 0);
	(void)run();
	put(1, 10);
	socket_full = true;
	ck_assert_int_eq(step(true, &wake), -EAGAIN);
	/* By estimate. */
	put_bytes(live ? TAIL_LIVE_LAG_BYTES - 14 * MIB : MIB);
	ck_assert_int_eq(step(true, &wake), -EAGAIN);
	ck_assert_uint_eq(tail.position, 1);
	put_bytes(live ? 15 * MIB : MIB);
	ck_assert_int_eq(step(true, &wake), -EAGAIN);
	socket_full = false;
	(void)run();
	ck_assert_uint_eq(got.at, store.next_offset);
	if (live)
		ck_assert_uint_eq(got.events, 1);
	else
		ck_assert_uint_eq(got.skipped, 0);
}

/* --- bytes_per_s --- */

TEST_LOOP(no_more_bytes_a_second_than_asked_for, 3)
{
	static const uint64_t rates[] = {10 * KIB, 1 * MIB, 3 * MIB};
	uint64_t rate = rates[_i], wake, until = now_ms + 10000;

	for (uint64_t n = 0; n < 12 * rate && n < 100 * MIB; n += 100 * 1024)
		put(100, 1000);
	watch(true, 0, 0, false, rate);
	while (now_ms < until && got.at < store.next_offset) {
		wake = run();
		if (wake == UINT64_MAX)
			break;
		ck_assert_uint_gt(wake, now_ms);
		now_ms = wake;
	}
	/* The burst and one frame more, and nothing skipped. */
	ck_assert_uint_eq(got.skipped, 0);
	ck_assert_uint_ge(got.bytes, 9 * rate);
	ck_assert_uint_le(got.bytes,
	                  10 * rate + rate / 10 + 2 * FRAME_BODY_MAX);
}

/* Senders and sinks need the CPU then. */
TEST_LOOP(tails_without_a_limit_share_one_while_the_intake_is_busy, 2)
{
	bool live = _i == 0;
	int steps = live ? 150 : 50;
	uint64_t wake = 0, share;

	tails = live ? 1 : 4;
	share = TAIL_BUSY_BYTES_PER_S * steps / 100 / tails;
	watch(true, 0, 0, live, 0);
	for (int i = 0; i < steps; i++) { /* 60 MiB/s */
		now_ms += 10;
		put_bytes(600 * KIB);
		if (wake == UINT64_MAX || now_ms >= wake)
			wake = run();
	}
	ck_assert_uint_ge(got.bytes, share * 9 / 10);
	/* 100 ms are without a limit. */
	ck_assert_uint_le(got.bytes, share + 7 * MIB);
	ck_assert(live == (got.skipped > 0));
	/* And none when it is not. */
	now_ms += 1000;
	(void)run();
	now_ms += 1000;
	ck_assert_uint_eq(run(), UINT64_MAX);
	ck_assert_uint_eq(got.at, store.next_offset);
}

TEST(bytes_are_not_saved_up)
{
	uint64_t rate = 1 * MIB;

	watch(false, 0, 0, true, rate);
	now_ms += 60000;
	put_bytes(10 * MIB);
	(void)run();
	ck_assert_uint_le(got.bytes, rate / 10 + 2 * FRAME_BODY_MAX);
}

/* It shows what is new at any time, with a part of the events. */
TEST(a_live_tail_without_tokens_is_moved_ahead)
{
	uint64_t rate = 1 * MIB, wake = UINT64_MAX;

	put(1, 10);
	watch(false, 0, 0, true, rate);
	for (int i = 0; i < 200; i++) { /* ten times the rate, for 2 s */
		now_ms += 10;
		put(1, 100000);
		if (wake == UINT64_MAX || now_ms >= wake)
			wake = run();
		ck_assert_uint_le(store.next_offset - got.at, 30);
	}
	ck_assert_uint_gt(got.skipped, 100);
	ck_assert_uint_ge(got.bytes, 15 * rate / 10);
	ck_assert_uint_le(got.bytes, 25 * rate / 10);
	/* And the last ones, when no more come. */
	now_ms += 1000;
	(void)run();
	ck_assert_uint_eq(got.at, store.next_offset);
}

TEST_LOOP(any_rate_is_accepted, 3)
{
	static const uint64_t rates[] = {1, INT64_MAX, INT64_C(1) << 40};
	uint64_t wake = 0;

	put(10, 10);
	watch(true, 0, 0, _i == 0, rates[_i]);
	for (int i = 0; i < 1000 && got.at < 10 && wake != UINT64_MAX; i++) {
		wake = run();
		now_ms = wake == UINT64_MAX ? now_ms : wake;
	}
	ck_assert_uint_eq(got.events, 10);
}

/* Events that a power cut could take away are not sent. */
TEST_LOOP(only_what_is_synced_is_sent, 2)
{
	bool live = _i == 0;

	close_all();
	conf.fsync = FSYNC_INTERVAL;
	conf.fsync_interval_us = INT64_C(1) << 40;
	open_all();
	put(4, 10);
	put(1, 10);
	ck_assert_uint_eq(store.durable_offset, 5);
	ck_assert_uint_eq(store.synced_offset, 4);
	watch(true, 0, 0, live, 0);
	(void)run();
	ck_assert_uint_eq(got.at, store.synced_offset);
	/* Nor is a live tail moved ahead to them. */
	put_bytes(live ? 70 * MIB : 10 * MIB);
	ck_assert_uint_lt(store.synced_offset, store.durable_offset);
	(void)run();
	ck_assert_uint_eq(got.at, store.synced_offset);
	ck_assert_uint_gt(got.at, 100);
	ck_assert(live == (got.skipped > 0));
}

TEST(a_read_that_fails_closes_the_tail)
{
	uint64_t wake;

	put(5, 10);
	watch(true, 0, 0, false, 0);
	(void)run();
	put_bytes(300 * KIB);
	sim.off = true;
	ck_assert_int_eq(step(true, &wake), -EIO);
	sim.off = false;
}

/* Random steps: no event is sent twice, and none is missing without a word. */
TEST_LOOP(whatever_happens_every_event_is_accounted_for, 20)
{
	uint64_t wake;

	srand((unsigned)_i + 1);
	put(5, 10);
	watch(_i & 1, 0, 0, _i & 2, _i & 4 ? 1 * MIB : 0);
	for (int i = 0; i < 1500; i++) {
		int what = rand() % 16;

		if (what < 4)
			put((uint32_t)(1 + rand() % 20),
			    (uint32_t)(2 + rand() % 5000));
		else if (what == 4)
			run_retention(store.synced_offset -
			              (uint64_t)(rand() % 5));
		else if (what == 5)
			now_ms += (uint64_t)(rand() % 300);
		else if (what == 6)
			socket_full = rand() % 2;
		else
			ck_assert_int_ge(step(rand() % 2, &wake),
			                 socket_full ? -EAGAIN : 0);
	}
	socket_full = false;
	for (int i = 0; i < 1000 && got.at < store.next_offset; i++) {
		now_ms += 100;
		(void)run();
	}
	ck_assert_uint_eq(got.at, store.next_offset);
}
