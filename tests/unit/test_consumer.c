/*
 * test_consumer - where a sink's batches end: by events, bytes, time and flush,
 * and at the same offsets again for a sink that asks for stable batches; and
 * which positions of a sink are accepted, and how its events are counted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batchd/consumer.h"
#include "libbase/log.h"
#include "tests/support/sim/damage.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

static struct simdisk sim;
static struct store store;
static struct consumer consumer;
static struct chan ours, theirs;
static bool sent_again; /* as in the latest frame */
static uint64_t now_ms;
/* What the sink reports of the events below its position. */
static struct frame_refused refused;

static const struct store_conf conf = {
    .max_bytes = 256 * MIB,
    .segment_bytes = 1 * MIB,
    .group_max_bytes = 256 * KIB,
};

static void
open_all(void)
{
	ck_assert_int_eq(store_open(&store, &sim.disk, &conf), 0);
	ck_assert_int_eq(consumer_open(&consumer, &store, "one"), 0);
	ck_assert_int_eq(store_start(&store, 0), 0);
	ck_assert_int_eq(consumer_start(&consumer, false), 0);
}

static void
close_all(void)
{
	consumer_close(&consumer);
	store_close(&store);
}

static void
setup(void)
{
	int fds[2];

	log_set_level((enum log_level)(LOG_ERROR + 1));
	sim_init(&sim, 1);
	now_ms = 1000;
	refused = (struct frame_refused){0};
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
	               0, fds),
	    0);
	ours.fd = fds[0];
	theirs.fd = fds[1];
	open_all();
}

static void
teardown(void)
{
	close_all();
	chan_close(&ours);
	chan_close(&theirs);
	sim_fini(&sim);
}

TEST_CASE(consumer, .setup = setup, .teardown = teardown);

/* One record of `count` events with payloads of so many bytes, durable. */
static void
put(uint32_t count, uint32_t payload_bytes)
{
	static char payload[FRAME_BODY_MAX];
	uint8_t *place;
	struct buf body;

	memset(payload, 'x', sizeof payload);
	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct event e = {.id = slice_of("id"),
		                  .type = slice_of("t"),
		                  .payload = {payload, payload_bytes},
		                  .created_at_us = 1,
		                  .received_at_us = 1};

		ck_assert_int_eq(event_pack(&body, &e), 0);
	}
	place = store_append_buffer(&store);
	if (!place) {
		ck_assert(retention_begin(&store, 0));
		retention_run(&store);
		retention_end(&store);
		place = store_append_buffer(&store);
	}
	ck_assert_ptr_nonnull(place);
	memcpy(place, body.data, body.len);
	(void)store_append(&store, (uint32_t)body.len, count, 1);
	ck_assert(store_append_begin(&store, 1));
	ck_assert_int_eq(store_append_run(&store), 0);
	ck_assert_int_eq(store_append_end(&store, 1), 0);
	consumer_log_grew(&consumer, now_ms);
	buf_fini(&body);
}

static enum frame_error
subscribe_at(bool has_position, uint64_t position, uint64_t events,
             uint64_t bytes, uint64_t wait_ms, bool stable)
{
	struct frame f = {.type = FRAME_SUBSCRIBE};
	const char *text;

	f.subscribe.has_position = has_position;
	f.subscribe.position = position;
	f.subscribe.max_events = events;
	f.subscribe.max_bytes = bytes;
	f.subscribe.wait_ms = wait_ms;
	f.subscribe.stable = stable;
	f.subscribe.refused = refused;
	return consumer_subscribe(&consumer, &ours, &f, false, &text);
}

static int
commit(uint64_t next_offset)
{
	return consumer_commit(&consumer, next_offset, &refused);
}

/* What the server does for a sink that waits for its cursor. */
static void
write_cursor(void)
{
	if (!cursor_begin(&consumer.position.cursor))
		return;
	ck_assert_int_eq(cursor_write(&consumer.position.cursor, &sim.disk), 0);
	cursor_end(&consumer.position.cursor);
	consumer_cursor_written(&consumer);
}

/*
 * Step until the batch is out.  Returns its events, or 0 when none is due;
 * then *wake_ms is the time to step again.
 */
static uint64_t
next_batch(uint64_t *offset, uint64_t *wake_ms)
{
	static uint8_t bytes[FRAME_MAX];
	uint64_t events = 0;
	bool first = true;

	for (int i = 0; i < 10000; i++) {
		struct frame f;
		int rc, n;

		rc = consumer_step(&consumer, now_ms, wake_ms);
		ck_assert_int_ge(rc == -EAGAIN ? 0 : rc, 0);
		if (consumer.state == CONSUMER_SYNCING ||
		    !position_may_send(&consumer.position)) {
			write_cursor();
			continue;
		}
		while ((n = chan_recv(&theirs, bytes, sizeof bytes)) > 0) {
			ck_assert_int_eq(frame_read(bytes, (size_t)n, &f), 0);
			ck_assert_int_eq(f.type, FRAME_BATCH);
			if (first)
				*offset = f.batch.offset;
			ck_assert_uint_eq(f.batch.offset, *offset + events);
			first = false;
			sent_again = f.batch.again;
			events += f.batch.count;
			if (f.batch.last)
				return events;
		}
		if (rc == 0 && first)
			return 0;
	}
	ck_abort_msg("a batch never ends");
}

TEST(a_batch_is_cut_at_so_many_events)
{
	uint64_t offset, wake;

	ck_assert_int_eq(subscribe_at(false, 0, 10, 1 * MIB, 50, false), 0);
	put(4, 10);
	put(25, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 0);
	/* One at a time. */
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	ck_assert_int_eq(commit(10), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 10);
	ck_assert_int_eq(commit(20), 0);
	ck_assert_uint_eq(position_lag_events(&consumer.position), 9);
}

TEST_LOOP(an_event_after_a_pause_is_sent_at_once, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;

	/* However soon after the machine's own start that is. */
	now_ms = 1;
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 50, stable), 0);
	put(3, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 3);
	ck_assert_int_eq(commit(3), 0);
	now_ms += 50;
	put(1, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 1);
	ck_assert_int_eq(commit(4), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	ck_assert_uint_eq(wake, UINT64_MAX);
}

TEST_LOOP(batches_start_so_many_ms_after_each_other, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;

	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 50, stable), 0);
	put(1, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 1);
	put(2, 10);
	now_ms += 20; /* the store's time counts */
	ck_assert_int_eq(commit(1), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	ck_assert_uint_eq(wake, now_ms + 30);
	put(3, 10);
	now_ms += 29;
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	ck_assert_uint_eq(wake, now_ms + 1);
	now_ms += 1;
	ck_assert_uint_eq(next_batch(&offset, &wake), 5);
	/* A store that takes longer than that is never kept waiting. */
	put(1, 10);
	now_ms += 51;
	ck_assert_int_eq(commit(6), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 1);
}

TEST(a_full_batch_does_not_wait)
{
	uint64_t offset, wake;

	put(25, 10);
	ck_assert_int_eq(subscribe_at(false, 0, 10, 1 * MIB, 1000, false), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_int_eq(commit(10), 0);
	now_ms += 7;
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_int_eq(commit(20), 0);
	/* What is left is no full batch: it waits from the last start. */
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	ck_assert_uint_eq(wake, now_ms + 1000);
	put(5, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
}

/* A gap ends a batch before it is full, as do bytes. */
TEST_LOOP(what_a_batch_left_in_the_log_does_not_wait, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;

	put(10, 10);
	put(5, 10);
	put(10, 10);
	sim_damage(&sim, 1);
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 9999, stable), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_int_eq(commit(10), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 15);
}

TEST_LOOP(a_sink_that_comes_back_does_not_wait, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;

	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 9999, stable), 0);
	put(3, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 3);
	consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 9999, stable), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 3);
	ck_assert_uint_eq(offset, 0);
}

TEST(a_batch_keeps_to_its_bytes_and_is_never_empty)
{
	uint64_t offset, wake, at = 0, n;

	for (int i = 0; i < 40; i++)
		put(2, 40000);
	ck_assert_int_eq(subscribe_at(false, 0, 1000, 512 * KIB, 0, false), 0);
	while (at < 80) {
		n = next_batch(&offset, &wake);
		ck_assert_uint_eq(offset, at);
		ck_assert_uint_ge(n, 1);
		ck_assert_uint_le(n * 40000, 512 * KIB);
		at += n;
		ck_assert_int_eq(commit(at), 0);
	}
	ck_assert_uint_eq(at, 80);
}

TEST(flush_gives_what_is_there_and_then_an_empty_batch)
{
	uint64_t offset, wake;

	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 60000, false), 0);
	put(1, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 1);
	ck_assert_int_eq(commit(1), 0);
	put(3, 10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	consumer.flush_requested = true;
	ck_assert_uint_eq(next_batch(&offset, &wake), 3);
	ck_assert_int_eq(commit(4), 0);
	ck_assert(consumer.flush_requested);
	offset = 99;
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	ck_assert_uint_eq(offset, 4); /* an empty frame came */
	ck_assert(!consumer.flush_requested);
}

TEST(only_what_is_in_flight_can_be_committed)
{
	uint64_t offset, wake;

	ck_assert_int_eq(subscribe_at(false, 0, 10, 1 * MIB, 0, false), 0);
	put(10, 10);
	ck_assert_int_eq(commit(10), -EPROTO);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_int_eq(commit(11), -EPROTO);
	ck_assert_int_eq(commit(0), 0);
	ck_assert_int_eq(commit(4), 0); /* a part */
	ck_assert_int_eq(commit(4), 0);
	ck_assert_int_eq(commit(10), 0);
	ck_assert_int_eq(commit(10), 0);
}

TEST(the_stores_position_wins_within_the_log)
{
	uint64_t offset, wake;

	put(10, 10);
	close_all();
	open_all();
	ck_assert_int_eq(subscribe_at(true, 4, 100, 1 * MIB, 0, false), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 6);
	ck_assert_uint_eq(offset, 4);
	ck_assert_int_eq(commit(10), 0);
	consumer_unsubscribe(&consumer);
	/* A store that has gone back. */
	ck_assert_int_eq(subscribe_at(true, 2, 100, 1 * MIB, 0, false), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 8);
	ck_assert_uint_eq(offset, 2);
	consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(true, 11, 10, 1 * MIB, 0, false),
	                 ERROR_AHEAD);
}

TEST(an_unfinished_batch_comes_again_after_a_reconnect)
{
	uint64_t offset, wake;

	put(10, 10);
	ck_assert_int_eq(subscribe_at(false, 0, 4, 1 * MIB, 0, false), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 4);
	consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(false, 0, 4, 1 * MIB, 0, false), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 4);
	ck_assert_uint_eq(offset, 0);
}

/* The batch of 7 stays one of 7, even if events come or daemons restart. */
TEST(a_stable_batch_has_the_same_end_after_any_restart)
{
	uint64_t offset, wake;

	put(3, 10);
	put(4, 10);
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, true), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 7);
	ck_assert(!sent_again);
	put(20, 10);
	consumer_unsubscribe(&consumer); /* the sink dies */
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, true), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 7);
	ck_assert_uint_eq(offset, 0);
	ck_assert(sent_again);

	close_all(); /* batchd dies, and the power goes */
	sim_power_cycle(&sim);
	open_all();
	put(5, 10);
	ck_assert_int_eq(subscribe_at(false, 0, 5, 1 * MIB, 0, true), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 7);
	ck_assert_uint_eq(offset, 0);
	ck_assert(sent_again);
	ck_assert_int_eq(commit(7), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 5);
	ck_assert_uint_eq(offset, 7);
	ck_assert(!sent_again);
}

TEST(a_stable_batch_is_sent_only_when_its_end_is_durable)
{
	static uint8_t bytes[FRAME_MAX];
	uint64_t wake;

	put(7, 10);
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, true), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ge(consumer_step(&consumer, now_ms, &wake), 0);
	ck_assert(consumer.state == CONSUMER_SYNCING);
	ck_assert_int_eq(chan_recv(&theirs, bytes, sizeof bytes), -EAGAIN);
	/* Nor is it when the sink comes back before the cursor is written. */
	consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, true), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ge(consumer_step(&consumer, now_ms, &wake), 0);
	ck_assert_int_eq(chan_recv(&theirs, bytes, sizeof bytes), -EAGAIN);
	write_cursor();
	ck_assert_int_ge(consumer_step(&consumer, now_ms, &wake), 0);
	ck_assert_int_gt(chan_recv(&theirs, bytes, sizeof bytes), 0);
}

/* --- what has become of the events below the position --- */

static void
expect(uint64_t committed, uint64_t stored, uint64_t skipped)
{
	const struct position *p = &consumer.position;

	ck_assert_uint_eq(p->cursor.now.committed, committed);
	ck_assert_uint_eq(position_stored_events(p), stored);
	ck_assert_uint_eq(cursor_skipped(&p->cursor), skipped);
}

/* 10 events, 5 that are lost, and 10 more. */
static void
put_damaged(void)
{
	put(10, 10);
	put(5, 10);
	put(10, 10);
	sim_damage(&sim, 1);
}

/* batchd is killed: what its cursor was not written with is gone. */
static void
crash(void)
{
	close_all();
	open_all();
}

/* The sink connects again, and its store has the position. */
static void
come_back(uint64_t position)
{
	if (consumer.state != CONSUMER_DISCONNECTED)
		consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(true, position, 100, 1 * MIB, 0, false),
	                 0);
}

/* Lost events are skipped and counted, and delivery goes on. */
TEST_LOOP(a_batch_ends_before_lost_events_and_the_next_begins_after, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;

	put_damaged();
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, stable), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 0);
	ck_assert_int_eq(commit(10), 0);
	expect(10, 10, 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 15);
	expect(15, 10, 5);
	ck_assert_int_eq(commit(25), 0);
	expect(25, 20, 5);
	ck_assert_uint_eq(position_lag_events(&consumer.position), 0);
}

TEST_LOOP(lost_events_at_the_end_are_skipped, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;

	put(10, 10);
	put(5, 10);
	sim_damage(&sim, 1);
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, stable), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_int_eq(commit(10), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 0);
	expect(15, 10, 5);
}

/* A store may learn of them, so they must not be forgotten in a crash. */
TEST_LOOP(what_is_skipped_is_on_disk_before_more_is_sent, 2)
{
	bool stable = _i == 1;
	uint64_t offset, wake;
	uint8_t bytes[FRAME_MAX];

	put_damaged();
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 0, stable), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_int_eq(commit(10), 0);
	write_cursor();
	consumer_flush(&consumer);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ge(consumer_step(&consumer, now_ms, &wake), 0);
	ck_assert_int_eq(chan_recv(&theirs, bytes, sizeof bytes), -EAGAIN);
	expect(15, 10, 5);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	if (stable)
		return;
	/* The store has it all, and the cursor is from before that. */
	crash();
	expect(15, 10, 5);
	come_back(25);
	expect(25, 20, 5);
}

/* No batch has moved the store past them: its position is before them. */
TEST(what_was_skipped_stays_skipped_until_the_store_learns_of_it)
{
	uint64_t offset, wake;

	put_damaged();
	crash();
	come_back(10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	for (int i = 0; i < 3; i++) {
		come_back(10);
		expect(15, 10, 5);
	}
	crash();
	come_back(10);
	expect(15, 10, 5);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 15);
	ck_assert_int_eq(commit(25), 0);
	expect(25, 20, 5);
}

TEST(a_store_that_goes_back_skips_lost_events_once)
{
	uint64_t offset, wake;

	put_damaged();
	crash();
	for (int i = 0; i < 2; i++) {
		come_back(4);
		expect(4, 4, 0);
		ck_assert_uint_eq(next_batch(&offset, &wake), 6);
		ck_assert_int_eq(commit(10), 0);
		ck_assert_uint_eq(next_batch(&offset, &wake), 10);
		ck_assert_int_eq(commit(25), 0);
		expect(25, 20, 5);
		come_back(20);
		expect(20, 15, 5);
		/* batchd may be killed before the cursor is written, or not. */
		if (i == 0)
			write_cursor();
		crash();
	}
}

/* A sink that is new in the settings, with and without a position. */
TEST(what_is_before_a_new_cursor_is_skipped_unless_the_store_has_it)
{
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			put(10, 10);
		consumer_close(&consumer);
		ck_assert_int_eq(
		    sim.disk.unlink(&sim.disk, "cursors/one.cursor"), 0);
		ck_assert_int_eq(consumer_open(&consumer, &store, "one"), 0);
		ck_assert_int_eq(consumer_start(&consumer, true), 0);
		expect(10, 0, 10);
		if (i == 0)
			ck_assert_int_eq(
			    subscribe_at(false, 0, 1, 1 * MIB, 0, false), 0);
		else
			come_back(i == 1 ? 4 : 10);
		if (i == 0)
			expect(10, 0, 10);
		else
			expect(i == 1 ? 4 : 10, i == 1 ? 4 : 10, 0);
		consumer_unsubscribe(&consumer);
	}
}

/* Committed by the sink, with its dead letters and what it has dropped. */
static void
report(uint64_t position, uint64_t dead_letters, uint64_t dropped)
{
	refused = (struct frame_refused){dead_letters, dropped};
	ck_assert_int_eq(commit(position), 0);
}

TEST(dead_letters_count_with_their_position)
{
	uint64_t offset, wake;

	put(10, 10);
	crash();
	come_back(0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	report(4, 1, 0);
	expect(4, 3, 0);
	report(10, 2, 1);
	expect(10, 7, 0);
	report(10, 0, 1); /* retried */
	expect(10, 9, 0);
	refused.dead_letters = 5;
	ck_assert_int_eq(commit(9), -EPROTO);
	ck_assert_int_eq(commit(11), -EPROTO);
	expect(10, 9, 0);
	write_cursor();
	crash();
	expect(10, 9, 0);
	/* The store goes back, and then a restart of the sink finds one more.
	 */
	refused = (struct frame_refused){1, 0};
	come_back(5);
	expect(5, 4, 0);
	refused.dead_letters = 2;
	come_back(5);
	expect(5, 3, 0);
	/* Whatever is reported, no number is below 0. */
	report(5, INT64_MAX, INT64_MAX);
	expect(5, 0, 0);
}

/* It was written before the sink crashed, and the log has lost the event. */
TEST(a_dead_letter_of_a_lost_event_counts_once)
{
	uint64_t offset, wake;

	put_damaged();
	crash();
	come_back(10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 10);
	ck_assert_uint_eq(offset, 15);
	expect(15, 10, 5);
	report(10, 0, 0); /* its store is before the gap */
	expect(15, 10, 5);
	report(15, 1, 1);
	expect(15, 10, 3);
	report(25, 3, 1);
	expect(25, 18, 3);
}

static void
seek(uint64_t to, uint64_t dead_letters, uint64_t dropped)
{
	const struct frame_refused below = {dead_letters, dropped};

	position_begin_seek(&consumer.position, to);
	consumer_end_seek(&consumer, &below);
}

TEST(an_operator_moves_the_position)
{
	uint64_t offset, wake;

	put(100, 10);
	crash();
	come_back(0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 100);
	report(100, 10, 5);
	expect(100, 85, 0);
	consumer_unsubscribe(&consumer);
	/* Back over dead letters and what was dropped, and further back. */
	seek(50, 4, 2);
	expect(50, 44, 0);
	seek(20, 0, 0);
	expect(20, 20, 0);
	/* Ahead: 10 of the events between have dead letters. */
	seek(90, 10, 0);
	expect(90, 20, 60);
	/* Back into what was skipped, and before it. */
	seek(30, 0, 0);
	expect(30, 20, 10);
	refused = (struct frame_refused){0, 0};
	come_back(30);
	expect(30, 20, 10);
	consumer_unsubscribe(&consumer);
	seek(10, 0, 0);
	expect(10, 10, 0);
	write_cursor();
	crash();
	expect(10, 10, 0);
	come_back(10);
	ck_assert_uint_eq(next_batch(&offset, &wake), 90);
	report(100, 15, 0);
	expect(100, 85, 0);
}

/* The store of a killed sink may have the events from 20 to 40. */
TEST_LOOP(a_batch_that_may_be_stored_counts_as_replayed, 3)
{
	static const uint64_t to[] = {5, 30, 90}, replayed[] = {35, 20, 20};
	uint64_t offset, wake;

	put(100, 10);
	ck_assert_int_eq(subscribe_at(false, 0, 40, 1 * MIB, 0, true), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 40);
	ck_assert_int_eq(commit(20), 0);
	consumer_unsubscribe(&consumer);
	seek(to[_i], 0, 0);
	ck_assert_uint_eq(consumer.position.cursor.now.replayed_events,
	                  replayed[_i]);
}

TEST(a_full_socket_is_waited_for)
{
	uint64_t offset, wake, at = 0;

	for (int i = 0; i < 60; i++)
		put(1, 100000);
	ck_assert_int_eq(subscribe_at(false, 0, 60, 16 * MIB, 0, false), 0);
	ck_assert_int_eq(consumer_step(&consumer, now_ms, &wake), 1);
	ck_assert_int_eq(consumer_step(&consumer, now_ms, &wake), -EAGAIN);
	ck_assert_int_eq(consumer_step(&consumer, now_ms, &wake), -EAGAIN);
	at = next_batch(&offset, &wake); /* reads, and so makes room */
	ck_assert_uint_eq(at, 60);
	ck_assert_uint_eq(offset, 0);
}

/*
 * The log has lost its end, and grows again past the store's position with
 * other events.  If the position were accepted, these would be skipped.
 */
TEST(a_position_once_ahead_is_rejected_until_set_back)
{
	put(5, 10);
	ck_assert_int_eq(subscribe_at(true, 6, 100, 1 * MIB, 10, false),
	                 ERROR_AHEAD);
	put(5, 10);
	ck_assert_int_eq(subscribe_at(true, 6, 100, 1 * MIB, 10, false),
	                 ERROR_AHEAD);
	write_cursor();
	close_all();
	open_all();
	ck_assert_int_eq(subscribe_at(true, 6, 100, 1 * MIB, 10, false),
	                 ERROR_AHEAD);
	ck_assert_int_eq(subscribe_at(true, 0, 100, 1 * MIB, 10, false), 0);
	consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(true, 6, 100, 1 * MIB, 10, false), 0);
}

/* The same, if it grows before the sink subscribes. */
TEST(a_position_that_was_ahead_at_the_start_is_rejected)
{
	uint64_t offset, wake;

	put(5, 10);
	close_all();
	open_all();
	put(5, 10);
	ck_assert_int_eq(subscribe_at(true, 6, 100, 1 * MIB, 10, false),
	                 ERROR_AHEAD);
	/* What was there then it can have, and what it is sent since. */
	ck_assert_int_eq(subscribe_at(true, 0, 8, 1 * MIB, 10, false), 0);
	ck_assert_uint_eq(next_batch(&offset, &wake), 8);
	consumer_unsubscribe(&consumer);
	ck_assert_int_eq(subscribe_at(true, 9, 8, 1 * MIB, 10, false),
	                 ERROR_AHEAD);
	ck_assert_int_eq(subscribe_at(true, 0, 8, 1 * MIB, 10, false), 0);
	ck_assert_int_eq(subscribe_at(true, 8, 8, 1 * MIB, 10, false), 0);
}

TEST(a_position_once_ahead_is_accepted_with_accept_gap)
{
	struct frame f = {.type = FRAME_SUBSCRIBE,
	                  .subscribe = {.has_position = true,
	                                .position = 6,
	                                .max_events = 100}};
	const char *text;

	put(5, 10);
	ck_assert_int_eq(consumer_subscribe(&consumer, &ours, &f, true, &text),
	                 ERROR_AHEAD);
	put(5, 10);
	ck_assert_int_eq(consumer_subscribe(&consumer, &ours, &f, true, &text),
	                 0);
	ck_assert_uint_eq(cursor_skipped(&consumer.position.cursor), 6);
	ck_assert_uint_eq(position_lag_events(&consumer.position), 4);
}

/* A sink that subscribes now cannot have what is being deleted. */
TEST(a_store_that_goes_back_into_what_is_being_deleted_is_refused)
{
	uint64_t first;

	for (int i = 0; i < 30; i++)
		put(10, 10000);
	close_all();
	open_all();
	ck_assert_uint_gt(store.segment_count, 2);
	ck_assert_int_eq(subscribe_at(true, 300, 100, 1 * MIB, 10, false), 0);
	consumer_unsubscribe(&consumer);
	write_cursor();
	ck_assert(retention_begin(&store, 300));
	ck_assert_int_eq(subscribe_at(true, 5, 100, 1 * MIB, 10, false),
	                 ERROR_TOO_OLD);
	retention_run(&store);
	retention_end(&store);
	first = store_first_offset(&store);
	ck_assert_uint_gt(first, 5);
	ck_assert_uint_ge(consumer.position.cursor.now.committed, first);
	ck_assert_int_eq(subscribe_at(true, first, 100, 1 * MIB, 10, false), 0);
}

/*
 * The first segment is gone.  The cursor skips it at the start.  Then the sink
 * subscribes with a position before the segment's end, several times before it
 * has moved that.
 */
TEST(a_gap_is_counted_once_however_often_the_sink_comes)
{
	struct frame f = {.type = FRAME_SUBSCRIBE,
	                  .subscribe = {.has_position = true,
	                                .position = 3,
	                                .max_events = 100}};
	char name[SEGMENT_NAME_BYTES];
	const char *text;
	uint64_t first;

	put(10, 10);
	close_all();
	open_all();
	ck_assert_int_eq(subscribe_at(true, 2, 100, 1 * MIB, 10, false), 0);
	write_cursor();
	while (store.segment_count < 3)
		put(1, 100000);
	close_all();
	segment_name(0, name);
	ck_assert_int_eq(sim.disk.unlink(&sim.disk, name), 0);
	ck_assert_int_eq(store_open(&store, &sim.disk, &conf), 0);
	ck_assert_int_eq(consumer_open(&consumer, &store, "one"), 0);
	first = store_first_offset(&store);
	ck_assert_uint_gt(first, 5);
	position_accept_gap(&consumer.position);
	ck_assert_int_eq(store_start(&store, 0), 0);
	ck_assert_int_eq(consumer_start(&consumer, false), 0);
	ck_assert_uint_eq(cursor_skipped(&consumer.position.cursor), first - 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(
		    consumer_subscribe(&consumer, &ours, &f, true, &text), 0);
		ck_assert_uint_eq(consumer.position.cursor.now.committed,
		                  first);
		ck_assert_uint_eq(cursor_skipped(&consumer.position.cursor),
		                  first - 3);
		ck_assert_uint_eq(position_stored_events(&consumer.position),
		                  3);
		consumer_unsubscribe(&consumer);
	}
	/* It is accepted for good. */
	write_cursor();
	crash();
	come_back(3);
	expect(first, 3, first - 3);
}

/* An operator must see how long a disconnected sink has been lagging. */
TEST(lag_is_the_age_of_the_oldest_event)
{
	put(3, 10); /* at 1 us of the wall clock, 1,000 ms of the other */
	ck_assert_uint_eq(consumer_lag_ms(&consumer, now_ms + 500, 9000001),
	                  500);
	close_all();
	open_all(); /* with the sink disconnected */
	ck_assert_uint_eq(consumer_lag_ms(&consumer, now_ms, 9000001), 9000);
	/* It subscribes and disconnects before it gets anything. */
	ck_assert_int_eq(subscribe_at(false, 0, 100, 1 * MIB, 10, true), 0);
	consumer_unsubscribe(&consumer);
	ck_assert_uint_eq(consumer_lag_ms(&consumer, now_ms, 9000001), 9000);
}

TEST(lag_is_gone_with_the_last_event)
{
	put(3, 10);
	close_all();
	open_all();
	ck_assert_int_eq(subscribe_at(true, 3, 100, 1 * MIB, 10, false), 0);
	ck_assert_uint_eq(consumer_lag_ms(&consumer, now_ms, 9000001), 0);
	put(1, 10);
	ck_assert_uint_eq(consumer_lag_ms(&consumer, now_ms + 7, 9000001), 7);
}
