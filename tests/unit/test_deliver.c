/*
 * test_deliver - retries, bisection and positions, against a store that
 * answers as the test wants.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libbase/log.h"
#include "libproto/frame.h"
#include "libsink/back_off.h"
#include "libsink/deliver.h"
#include "tests/support/test.h"

#define EVENTS_MAX 10000
#define STREAM "11111111-2222-3333-4444-555555555555"

/* A store in memory that remembers a position, as PostgreSQL does. */
struct fake {
	bool stored[EVENTS_MAX];
	bool bad[EVENTS_MAX];
	bool takes_bad; /* it was fixed, except for these */
	bool not_taken[EVENTS_MAX];
	bool has_position;
	uint64_t position;
	bool remembers; /* else position() finds nothing, as in ClickHouse */
	/* Faults to come, counted down. */
	unsigned lost_before; /* writes that fail before they store */
	unsigned lost_after;  /* writes that store, and then fail */
	unsigned lost_at;     /* the one that stores and then fails */
	unsigned open_fails;
	size_t limit;       /* more events at once are too much; 0: none */
	bool limit_changes; /* and the code is another each time */
	bool limit_later;   /* not yet for the first write */
	size_t too_large;   /* the only event that is too much alone; or 0 */
	bool limit_stores;  /* and it is noticed when all is stored */
	bool forgets;       /* a write that comes again is stored again */
	bool lost_at_end;   /* when the position alone is to be moved */
	/* It has no position, and knows a write by its offsets: ClickHouse. */
	bool tokens;
	uint64_t seen[EVENTS_MAX];      /* next_offset of the write from here */
	bool honest_hints, lying_hints; /* lying: always the last event, */
	bool first_hints;               /* or always the first */
	size_t probe_looks;
	unsigned probe_fails;
	/* What happened. */
	unsigned probes;
	unsigned writes, stores, opens, closes, twice, skipped;
};

static struct fake fake;
static struct deliver d;
static struct dlq_file dlq;
static struct stats stats;
static struct sink_common common;
static struct event events[EVENTS_MAX];
static char dir[64];
static unsigned waits, waits_allowed;
static unsigned steps, steps_allowed;
static uint64_t stepped; /* next of the last step */
static bool again;       /* batchd has sent the batch before */

static enum sink_result
on_open(void *state, const struct sink_common *c, const void *conf,
        struct sink_error *error)
{
	(void)state;
	(void)c;
	(void)conf;
	fake.opens++;
	if (fake.open_fails > 0) {
		fake.open_fails--;
		(void)snprintf(error->text, sizeof error->text, "refused");
		return SINK_UNREACHABLE;
	}
	return SINK_DONE;
}

static enum sink_result
on_position(void *state, const char *stream, bool *found, uint64_t *next,
            struct sink_error *error)
{
	(void)state;
	(void)stream;
	(void)error;
	*found = fake.remembers && fake.has_position;
	*next = fake.position;
	return SINK_DONE;
}

static size_t
at_of(const struct batch *b, size_t i)
{
	return b->origins ? b->origins[i].offset : b->offset + i;
}

static bool
is_refused(const struct batch *b, size_t i)
{
	size_t at = at_of(b, i);

	return fake.takes_bad ? fake.not_taken[at] : fake.bad[at];
}

static size_t
first_bad(const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		if (is_refused(b, i))
			return i;
	}
	return b->count;
}

static void
put(const struct batch *b)
{
	fake.position = b->next_offset;
	if (fake.tokens && b->count > 0 &&
	    fake.seen[b->offset] == b->next_offset)
		return;
	fake.stores++;
	for (size_t i = 0; i < b->count; i++) {
		fake.twice += fake.stored[at_of(b, i)];
		fake.stored[at_of(b, i)] = true;
	}
	if (fake.tokens)
		fake.seen[b->offset] = b->next_offset;
	else
		fake.has_position = true;
}

static bool
is_too_much(const struct batch *b)
{
	return fake.limit > 0 &&
	       (b->count > fake.limit ||
	        (fake.too_large > 0 && at_of(b, 0) == fake.too_large));
}

static enum sink_result
on_write(void *state, const struct batch *b, struct sink_error *error)
{
	size_t bad = first_bad(b);

	(void)state;
	fake.writes++;
	ck_assert_uint_le(b->offset + b->count, EVENTS_MAX);
	for (size_t i = 0; i < b->count; i++) {
		if (b->origins)
			ck_assert_uint_le(b->offset, at_of(b, i));
		ck_assert_uint_lt(at_of(b, i), b->next_offset);
		ck_assert_int_eq(b->events[i].created_at_us,
		                 (int64_t)at_of(b, i));
	}
	if (fake.has_position && fake.position != b->position)
		return SINK_FENCED;
	if (fake.lost_at_end && b->count == 0)
		return SINK_UNREACHABLE;
	if (fake.lost_before > 0) {
		fake.lost_before--;
		return SINK_UNREACHABLE;
	}
	if (is_too_much(b) && !(fake.limit_later && fake.writes == 1)) {
		error->too_much = true;
		error->may_be_stored = fake.limit_stores;
		error->forgets = fake.forgets;
		if (fake.limit_stores)
			put(b);
		(void)snprintf(error->text, sizeof error->text, "limit");
		(void)snprintf(error->code, sizeof error->code, "%u",
		               fake.limit_changes ? fake.writes : 1);
		return SINK_UNREACHABLE;
	}
	if (bad < b->count) {
		if (fake.honest_hints)
			error->bad_event = bad + 1;
		if (fake.lying_hints)
			error->bad_event = b->count;
		if (fake.first_hints)
			error->bad_event = 1;
		(void)snprintf(error->code, sizeof error->code, "22P02");
		(void)snprintf(error->text, sizeof error->text, "no good");
		return SINK_REJECT;
	}
	put(b);
	if (fake.stores == fake.lost_at)
		return SINK_UNREACHABLE;
	if (fake.lost_after > 0) {
		fake.lost_after--;
		return SINK_UNREACHABLE;
	}
	return SINK_DONE;
}

/* Looks at probe_looks events, and fails probe_fails times. */
static enum sink_result
on_probe(void *state, const struct batch *b, const struct sink_refused *refused,
         size_t *looked, struct sink_error *error)
{
	size_t n = b->count < fake.probe_looks ? b->count : fake.probe_looks;

	(void)state;
	fake.probes++;
	if (fake.probe_fails > 0) {
		fake.probe_fails--;
		(void)snprintf(error->text, sizeof error->text, "gone");
		return SINK_UNREACHABLE;
	}
	for (size_t i = 0; i < n; i++) {
		struct sink_error why = {.code = "23514", .text = "no good"};

		if (is_refused(b, i))
			refused->on_event(refused->arg, i, &why);
	}
	*looked = n;
	return SINK_DONE;
}

static void
on_close(void *state)
{
	(void)state;
	fake.closes++;
}

static int
on_wait(void *arg, uint64_t ms)
{
	(void)arg;
	(void)ms;
	return waits++ < waits_allowed ? 0 : ERR_STOPPED;
}

static int
on_step(void *arg, uint64_t next, uint64_t position)
{
	(void)arg;
	ck_assert_uint_ge(next, stepped);
	ck_assert_uint_le(position, next);
	if (fake.has_position)
		ck_assert_uint_eq(position, fake.position);
	stepped = next;
	return steps++ < steps_allowed ? 0 : ERR_STOPPED;
}

static struct sink fake_sink = {
    .name = "fake",
    .open = on_open,
    .position = on_position,
    .write = on_write,
    .close = on_close,
};

static void
setup(void)
{
	log_set_level(LOG_ERROR + 1);
	fake = (struct fake){.remembers = true};
	fake_sink.stable = false;
	fake_sink.probe = NULL;
	stats = (struct stats){0};
	common = (struct sink_common){.retry_min_ms = 1, .retry_max_ms = 10};
	waits = steps = 0;
	waits_allowed = 100;
	steps_allowed = UINT_MAX;
	stepped = 0;
	again = false;
	(void)snprintf(dir, sizeof dir, "/tmp/leat-deliver-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(dlq_file_init(&dlq, dir, "fake", 1 << 20), 0);
	for (size_t i = 0; i < EVENTS_MAX; i++)
		events[i] = (struct event){.id = {"id", 2},
		                           .type = {"t", 1},
		                           .payload = {"{}", 2},
		                           .created_at_us = (int64_t)i};
	d = (struct deliver){.sink = &fake_sink,
	                     .common = &common,
	                     .dlq = &dlq,
	                     .stats = &stats,
	                     .calls = {.wait = on_wait, .step = on_step}};
}

static void
teardown(void)
{
	deliver_fini(&d);
	ck_assert_uint_eq(fake.opens, fake.closes);
	(void)unlink(dlq.path);
	(void)unlink(dlq.lock_path);
	dlq_file_fini(&dlq);
	ck_assert_int_eq(split_journal_remove(dir, "fake", STREAM), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

TEST_CASE(store, .setup = setup, .teardown = teardown);

static int
deliver_at(uint64_t position, uint64_t offset, size_t count)
{
	struct batch b = {.stream = STREAM,
	                  .position = position,
	                  .offset = offset,
	                  .next_offset = offset + count,
	                  .events = events + offset,
	                  .count = count,
	                  .again = again};

	return deliver_batch(&d, &b, NULL);
}

/* The first batch of a session. */
static int
deliver(uint64_t position, uint64_t offset, size_t count)
{
	uint64_t at;
	bool found;

	ck_assert_int_eq(deliver_start(&d, STREAM, &found, &at), 0);
	return deliver_at(position, offset, count);
}

/* One more in the same session. */
static int
deliver_next(uint64_t offset, size_t count)
{
	again = false;
	return deliver_at(offset, offset, count);
}

/* Each event of low..high is stored once; the bad ones are dead letters. */
static void
assert_exact(size_t low, size_t high)
{
	size_t bad = 0;

	ck_assert_uint_eq(fake.twice, 0);
	for (size_t i = low; i < high; i++) {
		bad += fake.bad[i];
		ck_assert_int_eq(fake.stored[i], !fake.bad[i]);
	}
	ck_assert_uint_eq(dlq.records, bad);
	ck_assert_uint_eq(fake.position, high);
}

TEST(stores_a_good_batch_in_one_write)
{
	ck_assert_int_eq(deliver(0, 0, 500), 0);
	assert_exact(0, 500);
	ck_assert_uint_eq(fake.writes, 1);
	ck_assert_uint_eq(stats.events, 500);
	ck_assert_uint_eq(stats.batches, 1);
}

TEST(moves_over_a_gap_in_the_log)
{
	ck_assert_int_eq(deliver(0, 0, 10), 0);
	ck_assert_int_eq(deliver(10, 20, 10), 0);
	ck_assert_uint_eq(fake.position, 30);
	ck_assert(!fake.stored[10]);
	ck_assert(fake.stored[20]);
}

TEST(dead_letters_bad_events_wherever_they_are)
{
	static const size_t where[][3] = {
	    {0, 0, 0},    {99, 99, 99}, {0, 99, 50},
	    {40, 41, 42}, {97, 98, 99}, {0, 1, 2},
	};

	for (int hints = 0; hints < 3; hints++) {
		for (size_t i = 0; i < ARRAY_LEN(where); i++) {
			teardown();
			setup();
			fake.honest_hints = hints == 1;
			fake.lying_hints = hints == 2;
			for (int j = 0; j < 3; j++)
				fake.bad[where[i][j]] = true;
			ck_assert_int_eq(deliver(0, 0, 100), 0);
			assert_exact(0, 100);
			if (hints == 1)
				ck_assert_uint_le(fake.writes, 10);
		}
	}
}

TEST(dead_letters_a_whole_batch)
{
	for (size_t i = 0; i < 100; i++)
		fake.bad[i] = true;
	fake.has_position = true;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	assert_exact(0, 100);
	ck_assert_uint_eq(dlq.records, 100);
}

TEST(a_lying_hint_costs_no_more_than_halving_does)
{
	fake.lying_hints = true;
	fake.bad[0] = true;
	ck_assert_int_eq(deliver(0, 0, 1000), 0);
	assert_exact(0, 1000);
	ck_assert_uint_le(fake.writes, 40);
}

TEST(a_hint_that_is_wrong_once_is_not_followed_again)
{
	fake.first_hints = true;
	fake.bad[EVENTS_MAX - 1] = true;
	ck_assert_int_eq(deliver(0, 0, EVENTS_MAX), 0);
	assert_exact(0, EVENTS_MAX);
	ck_assert_uint_le(fake.writes, 40);
}

/* A hint is followed again after each event that the store has refused. */
TEST(wrong_hints_cost_a_few_writes_for_each_bad_event)
{
	for (int first = 0; first < 2; first++) {
		teardown();
		setup();
		fake.first_hints = first;
		fake.lying_hints = !first;
		for (size_t i = 1; i <= 8; i++)
			fake.bad[i * 1201] = true;
		ck_assert_int_eq(deliver(0, 0, EVENTS_MAX), 0);
		assert_exact(0, EVENTS_MAX);
		/* Two writes for each halving of 10,000 events, and three. */
		ck_assert_uint_le(fake.writes, 8 * (2 * 14 + 3));
	}
}

TEST(writes_again_what_was_not_stored)
{
	fake.lost_before = 3;
	fake.open_fails = 2;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	assert_exact(0, 100);
	ck_assert_uint_eq(waits, 5);
	ck_assert_uint_eq(stats.retries, 5);
	ck_assert_str_eq(stats.error, "");
}

TEST(does_not_write_again_what_was_stored_before_the_answer_was_lost)
{
	fake.lost_after = 1;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	assert_exact(0, 100);
	ck_assert_uint_eq(fake.writes, 1);
}

TEST(goes_on_during_bisection_when_answers_are_lost)
{
	/* Whichever write it is whose answer is lost. */
	for (unsigned n = 1; n < 12; n++) {
		teardown();
		setup();
		fake.bad[30] = fake.bad[31] = fake.bad[99] = true;
		fake.has_position = true;
		fake.lost_after = n;
		fake.honest_hints = n % 2;
		ck_assert_int_eq(deliver(0, 0, 100), 0);
		assert_exact(0, 100);
	}
}

TEST(writes_the_same_piece_again_where_no_position_is_remembered)
{
	fake.remembers = false;
	fake.lost_before = 2;
	fake.bad[5] = true;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	assert_exact(0, 100);
}

TEST(gives_up_when_another_writer_has_moved_the_position)
{
	ck_assert_int_eq(deliver(0, 0, 10), 0);
	fake.position = 15;
	ck_assert_int_eq(deliver(10, 10, 10), ERR_POSITION_MOVED);
	ck_assert(!fake.stored[10]);
	ck_assert_uint_eq(fake.position, 15);
}

TEST(gives_up_when_the_store_has_gone_back)
{
	ck_assert_int_eq(deliver(0, 0, 10), 0);
	fake.lost_before = 1;
	fake.position = 5;
	ck_assert_int_eq(deliver(10, 10, 10), ERR_POSITION_MOVED);
	ck_assert_uint_eq(fake.position, 5);
}

TEST(stops_waiting_when_stopped_and_loses_nothing)
{
	fake.lost_before = 1000;
	waits_allowed = 3;
	ck_assert_int_eq(deliver(0, 0, 10), ERR_STOPPED);
	ck_assert_int_eq(stats.state, STATS_RETRYING);
	fake.lost_before = 0;
	waits = 0;
	ck_assert_int_eq(deliver(0, 0, 10), 0);
	assert_exact(0, 10);
}

/* A crash: the whole batch comes again from the position in the store. */
TEST(after_a_crash_during_bisection_nothing_is_stored_or_dead_lettered_twice)
{
	for (unsigned n = 0; n < 14; n++) {
		teardown();
		setup();
		fake.honest_hints = n % 2;
		fake.bad[3] = fake.bad[4] = fake.bad[98] = fake.bad[99] = true;
		fake.has_position = true;
		fake.lost_after = n;
		waits_allowed = n > 0 ? n - 1 : 100;
		if (deliver(0, 0, 100) == ERR_STOPPED) {
			uint64_t from = fake.position;

			fake.lost_after = 0;
			deliver_close(&d);
			dlq_file_fini(&dlq);
			ck_assert_int_eq(
			    dlq_file_init(&dlq, dir, "fake", 1 << 20), 0);
			ck_assert_int_eq(deliver(from, from, 100 - from), 0);
		}
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		assert_exact(0, 100);
	}
}

/* The sink's process ends and comes back. */
static void
restart(void)
{
	deliver_fini(&d);
	dlq_file_fini(&dlq);
	ck_assert_int_eq(dlq_file_init(&dlq, dir, "fake", 10 << 20), 0);
	steps = waits = 0;
	steps_allowed = UINT_MAX;
	stepped = 0;
	again = true;
}

/*
 * A store that knows a repeated write by its offsets: whichever write it is
 * that is stored and never answered, it comes again with the same ones.  From
 * where batchd's cursor is, with _i & 1: from where it is on disk; and with
 * _i & 2 the store takes by then what it refused.
 */
TEST_LOOP(a_piece_in_flight_comes_again_as_it_was, 8)
{
	for (unsigned n = 1; n < 20; n++) {
		uint64_t from = 0;
		size_t bad = 0;

		teardown();
		setup();
		fake.tokens = fake_sink.stable = true;
		fake.remembers = false;
		fake.honest_hints = _i & 4;
		fake.bad[10] = fake.bad[45] = fake.bad[46] = fake.bad[99] =
		    true;
		fake.lost_at = n;
		waits_allowed = 0;
		if (deliver(0, 0, 100) == ERR_STOPPED) {
			if (!(_i & 1))
				from = stepped;
			fake.lost_at = 0;
			fake.takes_bad = _i & 2;
			restart();
			ck_assert_int_eq(deliver(from, from, 100 - from), 0);
		}
		ck_assert_uint_eq(fake.twice, 0);
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		for (size_t i = 0; i < 100; i++)
			bad += !fake.stored[i];
		ck_assert_uint_eq(dlq.records, bad);
	}
}

/*
 * Dead letters are on disk, the position has not passed their events, and now
 * the store would take them: they are stored once, by a retry.
 */
TEST(an_event_with_a_dead_letter_is_not_stored_after_a_restart)
{
	for (size_t i = 0; i < 100; i++)
		fake.bad[i] = i >= 20 && i != 40 && i != 41;
	steps_allowed = 150;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_ge(dlq.records, 50);
	ck_assert_uint_lt(dlq.records, 78);
	for (size_t i = 0; i < 100; i++)
		fake.bad[i] = false;
	for (size_t i = 0; i < dlq.records; i++) {
		size_t dead_lettered = 20 + i + (i >= 20 ? 2 : 0);

		fake.bad[dead_lettered] = true; /* for assert_exact */
	}
	fake.takes_bad = true;
	restart();
	ck_assert_int_eq(
	    deliver(fake.position, fake.position, 100 - fake.position), 0);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	assert_exact(0, 100);
	/* One piece is left, after the dead letters. */
	ck_assert_uint_gt(fake.writes, 0);
}

TEST(dead_letters_are_found_wherever_they_are_in_a_batch)
{
	static const size_t where[][3] = {
	    {0, 0, 0},    {99, 99, 99}, {0, 99, 50},
	    {40, 41, 42}, {97, 98, 99}, {0, 1, 2},
	};
	for (size_t i = 0; i < ARRAY_LEN(where); i++) {
		teardown();
		setup();
		fake.has_position = true;
		fake.takes_bad = true;
		for (int j = 0; j < 3; j++) {
			struct dlq_record l = {.stream = slice_of(STREAM),
			                       .offset = where[i][j],
			                       .sink = slice_of("fake"),
			                       .event = events[0]};

			fake.bad[where[i][j]] = true;
			ck_assert_int_eq(dlq_file_append(&dlq, &l), 0);
		}
		/* Bad ones among the others. */
		fake.bad[30] = fake.bad[60] = true;
		fake.not_taken[30] = fake.not_taken[60] = true;
		restart();
		ck_assert_int_eq(deliver(0, 0, 100), 0);
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		assert_exact(0, 100);
	}
}

TEST(a_batch_of_dead_letters_alone_moves_the_position)
{
	fake.has_position = true;
	for (size_t i = 0; i < 100; i++)
		fake.bad[i] = true;
	steps_allowed = 200;
	waits_allowed = 0;
	/* All are dead-lettered, and the last write, of the position, is not.
	 */
	fake.lost_at_end = true;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(dlq.records, 100);
	restart();
	waits_allowed = 100;
	fake.lost_at_end = false;
	fake.takes_bad = true;
	fake.writes = 0;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	assert_exact(0, 100);
	ck_assert_uint_eq(fake.writes, 1);
}

TEST(a_stop_ends_a_batch_between_two_pieces)
{
	for (size_t i = 0; i < 100; i++)
		fake.bad[i] = true;
	fake.has_position = true;
	for (unsigned n = 0;; n++) {
		ck_assert_uint_lt(n, 300);
		restart();
		steps_allowed = 7; /* as deep as halving goes */
		if (deliver(0, 0, 100) == 0)
			break;
	}
	ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
	assert_exact(0, 100);
}

/* As many steps as there are pieces, each with what it has dealt with. */
TEST(reports_after_each_piece_how_far_it_has_come)
{
	fake.remembers = false;
	fake.bad[50] = true;
	steps_allowed = 4;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(stepped, 50);
	/* batchd's cursor is 50: nothing is written again, split elsewhere. */
	fake.takes_bad = true;
	restart();
	ck_assert_int_eq(deliver(50, 50, 50), 0);
	ck_assert_uint_eq(fake.twice, 0);
	ck_assert_uint_eq(fake.position, 100);
}

TEST(waits_rather_than_drops_when_dead_letters_are_full)
{
	common.dead_full = DEAD_FULL_WAIT;
	dlq.max_bytes = 300; /* one dead letter without payload, not two */
	fake.bad[3] = fake.bad[4] = true;
	waits_allowed = 2;
	ck_assert_int_eq(deliver(0, 0, 10), ERR_STOPPED);
	ck_assert_int_eq(stats.state, STATS_MISCONFIGURED);
	ck_assert_uint_eq(fake.position, 3);
	dlq.max_bytes = 1 << 20;
	ck_assert_int_eq(deliver(3, 3, 7), 0);
	assert_exact(0, 10);
}

/* Every second one, or all of them: what a sender of bad events can do. */
TEST(a_probe_finds_many_bad_events_in_few_writes)
{
	for (size_t step = 1; step <= 2; step++) {
		teardown();
		setup();
		fake_sink.probe = on_probe;
		fake.probe_looks = SIZE_MAX;
		fake.honest_hints = fake.has_position = true;
		for (size_t i = 0; i < 1000; i += step)
			fake.bad[i] = true;
		ck_assert_int_eq(deliver(0, 0, 1000), 0);
		assert_exact(0, 1000);
		ck_assert_uint_eq(fake.probes, 1);
		ck_assert_uint_le(fake.writes, 16);
		ck_assert_uint_eq(stats.events, step == 1 ? 0 : 500);
	}
}

TEST(a_few_bad_events_need_no_probe)
{
	fake_sink.probe = on_probe;
	fake.probe_looks = SIZE_MAX;
	fake.honest_hints = true;
	fake.bad[10] = fake.bad[500] = fake.bad[999] = true;
	ck_assert_int_eq(deliver(0, 0, 1000), 0);
	assert_exact(0, 1000);
	ck_assert_uint_eq(fake.probes, 0);
}

/* What a probe has not looked at, or cannot tell, is found all the same. */
TEST(a_probe_that_looks_at_some_or_none_or_fails_loses_nothing)
{
	static const size_t looks[] = {0, 1, 7, 100, 999};

	for (unsigned fails = 0; fails < 3; fails++) {
		for (size_t n = 0; n < ARRAY_LEN(looks); n++) {
			teardown();
			setup();
			fake_sink.probe = on_probe;
			fake_sink.stable = fake.tokens = n % 2;
			fake.remembers = !(n % 2);
			fake.probe_looks = looks[n];
			fake.probe_fails = fails;
			for (size_t i = 0; i < 200; i += 1 + n % 3)
				fake.bad[i] = true;
			ck_assert_int_eq(deliver(0, 0, 200), 0);
			assert_exact(0, 200);
		}
	}
}

/* The dead letters are on disk; the write after them is not answered. */
TEST_LOOP(after_a_crash_after_a_probe_its_dead_letters_count, 4)
{
	for (unsigned n = 1; n < 12; n++) {
		size_t bad = 0;

		teardown();
		setup();
		fake_sink.probe = on_probe;
		fake_sink.stable = fake.tokens = _i & 1;
		fake.remembers = !(_i & 1);
		fake.honest_hints = true;
		fake.has_position = !(_i & 1);
		fake.probe_looks = SIZE_MAX;
		for (size_t i = 3; i < 100; i += 3)
			fake.bad[i] = true;
		fake.lost_at = n;
		waits_allowed = 0;
		if (deliver(0, 0, 100) == ERR_STOPPED) {
			uint64_t from = _i & 1 ? stepped : fake.position;

			fake.lost_at = 0;
			fake.takes_bad = _i & 2;
			restart();
			ck_assert_int_eq(deliver(from, from, 100 - from), 0);
		}
		ck_assert_uint_eq(fake.twice, 0);
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		for (size_t i = 0; i < 100; i++)
			bad += !fake.stored[i];
		ck_assert_uint_eq(dlq.records, bad);
	}
}

TEST(a_probe_keeps_the_dead_letters_that_have_room_and_waits)
{
	common.dead_full = DEAD_FULL_WAIT;
	fake_sink.probe = on_probe;
	fake.probe_looks = SIZE_MAX;
	fake.honest_hints = true;
	for (size_t i = 0; i < 100; i++)
		fake.bad[i] = true;
	dlq.max_bytes = 4000; /* more than PROBE_AFTER dead letters, not 100 */
	waits_allowed = 2;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_int_eq(stats.state, STATS_MISCONFIGURED);
	ck_assert_uint_gt(dlq.records, 5);
	dlq.max_bytes = 1 << 20;
	fake.has_position = true;
	ck_assert_int_eq(
	    deliver(fake.position, fake.position, 100 - fake.position), 0);
	assert_exact(0, 100);
}

/* Each refused event is a dead letter or counted, through restarts. */
TEST(goes_on_and_counts_when_dead_letters_are_full)
{
	char path[PATH_MAX];

	for (int probes = 0; probes < 2; probes++) {
		teardown();
		setup();
		fake_sink.probe = probes ? on_probe : NULL;
		fake.probe_looks = SIZE_MAX;
		fake.honest_hints = true;
		dlq.max_bytes = 4000;
		for (size_t i = 0; i < 100; i += 2)
			fake.bad[i] = true;
		ck_assert_int_eq(deliver(0, 0, 50), 0);
		restart();
		dlq.max_bytes = 4000;
		ck_assert_int_eq(deliver(50, 50, 50), 0);
		for (size_t i = 0; i < 100; i++)
			ck_assert_int_eq(fake.stored[i], !fake.bad[i]);
		ck_assert_uint_gt(dlq.records, 5);
		ck_assert_uint_gt(dlq_file_dropped(&dlq), 25);
		ck_assert_uint_eq(dlq.records + dlq_file_dropped(&dlq), 50);
		ck_assert_uint_le(dlq.bytes, 4000);
		restart();
		dlq_file_follow(&dlq, STREAM);
		ck_assert_int_eq(dlq_file_refresh(&dlq), 0);
		ck_assert_uint_eq(dlq.records + dlq_file_dropped(&dlq), 50);
		(void)snprintf(path, sizeof path, "%s/fake." STREAM ".dropped",
		               dir);
		ck_assert_int_eq(unlink(path), 0);
	}
}

/* A user who may write to dead_dir must not have us change another file. */
TEST(split_points_are_not_kept_through_a_link)
{
	struct split_journal cuts = {0};
	uint64_t at = 5;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/fake." STREAM ".splits", dir);
	ck_assert_int_eq(split_journal_read(&cuts, dir, "fake", STREAM), 0);
	ck_assert_int_eq(symlink("victim", path), 0);
	ck_assert_int_eq(
	    split_journal_add(&cuts, 10, &at, 1, SPLIT_JOURNAL_UNKNOWN),
	    -ELOOP);
	ck_assert_int_eq(split_journal_read(&cuts, dir, "fake", STREAM),
	                 -ELOOP);
	ck_assert_int_eq(unlink(path), 0);
	split_journal_fini(&cuts);
}

TEST(waits_double_up_to_the_longest)
{
	common.retry_min_ms = 100;
	common.retry_max_ms = 30000;
	for (int i = 0; i < 50; i++) {
		ck_assert_uint_le(back_off_delay_ms(&common, 1), 100);
		ck_assert_uint_ge(back_off_delay_ms(&common, 1), 50);
		ck_assert_uint_le(back_off_delay_ms(&common, 4), 800);
		ck_assert_uint_ge(back_off_delay_ms(&common, 4), 400);
		ck_assert_uint_ge(back_off_delay_ms(&common, 4000), 15000);
		ck_assert_uint_le(back_off_delay_ms(&common, 4000), 30000);
	}
}

TEST(halves_what_is_too_much_for_the_store)
{
	unsigned tried;

	waits_allowed = UINT_MAX;
	fake.limit = 30;
	fake.bad[17] = fake.bad[500] = true;
	ck_assert_int_eq(deliver(0, 0, 1000), 0);
	assert_exact(0, 1000);
	/* Four times whole, once at each size until 15 fits; then 60. */
	ck_assert_uint_ge(waits, 4 + 5);
	ck_assert_uint_le(waits, 4 + 5 + 2);
	/* The next batches begin with what fits; more is tried now and then. */
	tried = waits;
	for (size_t i = 1000; i < 9000; i += 1000)
		ck_assert_int_eq(deliver(i, i, 1000), 0);
	assert_exact(0, 9000);
	ck_assert_uint_le(waits - tried, 8000 / 15 / 16 + 1);
	/* The limit is lifted: so is ours, in the end. */
	fake.limit = 0;
	for (size_t i = 9000; i < EVENTS_MAX; i += 500)
		ck_assert_int_eq(deliver(i, i, 500), 0);
	assert_exact(0, EVENTS_MAX);
	ck_assert_uint_gt(d.most, 30);
}

TEST(what_passes_by_itself_is_not_halved)
{
	waits_allowed = 50;
	/* Another failure each time: not one that a half would help. */
	fake.limit = 1;
	fake.limit_changes = true;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(d.most, 0);
	/* Three equal ones: it may have been busy. */
	restart();
	fake.limit_changes = false;
	waits_allowed = 2;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(d.most, 0);
	fake.limit = 0;
	waits_allowed = 100;
	fake.writes = 0;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	ck_assert_uint_eq(fake.writes, 1);
	assert_exact(0, 100);
}

/* The half of what may be stored would be stored again, under its own name. */
TEST(what_may_be_stored_is_not_halved)
{
	fake.remembers = false;
	fake.tokens = true;
	fake_sink.stable = true;
	fake.lost_after = 1;
	fake.limit = 50;
	fake.limit_later = true;
	waits_allowed = 20;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(fake.stores, 1);
	/* With memory for the whole of it again, the store knows the name. */
	fake.limit = 0;
	waits_allowed = 20;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	ck_assert_uint_eq(fake.twice, 0);
	assert_exact(0, 100);
}

/* The same if another process has written it, or it has reconnected. */
TEST_LOOP(what_may_be_stored_is_not_halved_after_a_crash, 2)
{
	fake.remembers = false;
	fake.tokens = true;
	fake_sink.stable = true;
	fake.lost_after = 1;
	waits_allowed = 0;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(fake.stores, 1);
	if (_i)
		restart();
	again = true;
	fake.limit = 50;
	waits = 0;
	waits_allowed = 20;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(fake.stores, 1);
	ck_assert_int_eq(stats.state, STATS_MISCONFIGURED);
	ck_assert_ptr_nonnull(strstr(stats.error, "100 events from offset 0 "
	                                          "may be stored already"));
	fake.limit = 0;
	waits = 0;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	assert_exact(0, 100);
	/* The next batch was never written: it is halved. */
	fake.limit = 50;
	waits = 0;
	ck_assert_int_eq(deliver_next(100, 100), 0);
	assert_exact(0, 200);
}

TEST(a_limit_that_is_noticed_too_late_is_waited_for)
{
	fake.remembers = false;
	fake.tokens = true;
	fake_sink.stable = true;
	fake.limit_stores = true;
	fake.limit = 50;
	waits_allowed = 20;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(fake.stores, 1);
	ck_assert_ptr_nonnull(strstr(stats.error, "may be stored already"));
	fake.limit = 0;
	waits = 0;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	assert_exact(0, 100);
}

/* Halves are no worse than the whole, and better than to wait for ever. */
TEST(a_store_that_forgets_writes_is_given_less_all_the_same)
{
	fake.remembers = false;
	fake_sink.stable = true;
	fake.forgets = true;
	fake.lost_after = 1;
	waits_allowed = 0;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	restart();
	fake.has_position = false;
	fake.limit = 50;
	waits_allowed = 20;
	ck_assert_int_eq(deliver(0, 0, 100), 0);
	ck_assert_uint_eq(fake.twice, 100);
}

/* A crash, or a stop, while it waits: nothing is in doubt, so nothing waits. */
TEST_LOOP(halving_goes_on_after_a_crash, 2)
{
	for (unsigned n = 0; n < 12; n++) {
		teardown();
		setup();
		fake.tokens = fake_sink.stable = true;
		fake.remembers = false;
		fake.limit = 5;
		waits_allowed = n;
		for (int i = 0; i < 50; i++) {
			uint64_t from = _i ? 0 : stepped;

			if (deliver(from, from, 100 - from) == 0)
				break;
			from = _i ? 0 : stepped;
			restart();
			stepped = from;
			waits_allowed = 6;
		}
		assert_exact(0, 100);
	}
}

static bool armed; /* the next answer is lost */

/* Limits that come and go, answers that are lost, crashes: all at random. */
static int
on_wait_at_random(void *arg, uint64_t ms)
{
	bool lost = armed && fake.lost_after == 0;

	(void)arg;
	(void)ms;
	if (rand() % 10 == 0)
		fake.limit = rand() % 3 > 0 ? (size_t)(rand() % 40) + 1 : 0;
	armed = rand() % 3 == 0;
	fake.lost_after = armed;
	fake.lost_before = rand() % 12 == 0;
	return rand() % (lost ? 2 : 12) == 0 ? ERR_STOPPED : 0;
}

TEST(whatever_fails_nothing_is_stored_twice)
{
	for (int seed = 0; seed < 20; seed++) {
		size_t from = 0;

		teardown();
		setup();
		srand((unsigned)seed);
		d.calls.wait = on_wait_at_random;
		fake.tokens = fake_sink.stable = true;
		fake.remembers = false;
		for (int i = rand() % 4; i > 0; i--)
			fake.bad[rand() % 100] = true;
		armed = true;
		fake.lost_after = 1;
		fake.limit = (size_t)(rand() % 150);
		for (int life = 0; deliver(from, from, 100 - from) < 0;
		     life++) {
			if (rand() % 2)
				from = stepped; /* or what batchd had synced */
			restart();
			stepped = from;
			fake.limit = life > 20 ? 0 : (size_t)(rand() % 60);
		}
		assert_exact(0, 100);
	}
}

TEST(an_event_that_is_too_much_alone_is_named)
{
	fake.limit = 1;
	fake.too_large = 41;
	waits_allowed = 20;
	ck_assert_int_eq(deliver(0, 0, 100), ERR_STOPPED);
	ck_assert_uint_eq(fake.position, 41);
	ck_assert_int_eq(stats.state, STATS_MISCONFIGURED);
	ck_assert_str_eq(stats.error,
	                 "the event at offset 41 (5 bytes) fails even alone: "
	                 "raise the store's limit or timeout_ms: limit");
	ck_assert_uint_eq(dlq.records, 0);
	fake.limit = 0;
	waits = 0;
	ck_assert_int_eq(deliver(41, 41, 59), 0);
	assert_exact(0, 100);
}

/* Whichever piece is stored and never answered, it comes again as it was. */
TEST_LOOP(halves_come_again_as_they_were_after_a_crash, 2)
{
	for (unsigned n = 1; n < 12; n++) {
		teardown();
		setup();
		fake.tokens = fake_sink.stable = true;
		fake.remembers = false;
		fake.limit = 10;
		fake.lost_at = n;
		waits_allowed = 4 + 3;
		if (deliver(0, 0, 100) == ERR_STOPPED) {
			uint64_t from = _i ? 0 : stepped;

			fake.lost_at = 0;
			fake.limit = 0;
			restart();
			ck_assert_int_eq(deliver(from, from, 100 - from), 0);
		}
		assert_exact(0, 100);
	}
}
