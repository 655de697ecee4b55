/*
 * test_power - run the code of the log on a simulated disk, let the power or a
 * call fail at every point, and compare the log with a model.
 *
 * Each seed is one history of four rounds: a start, appends, commits, new and
 * deleted segments, and an end.  Afterwards,
 *  - every acknowledged event must be there once, in order, as it was sent;
 *  - every cursor must be one that was set, and not older than one that was
 *    durable;
 *  - a batch that was sent to the stable sink must have the same end again
 *    until it is committed (I8);
 *  - nothing else may be there.
 * One history in four has fsync = interval.  In it, only synced events must be
 * kept, and sinks must get no others.
 *
 * In SEEDS=N histories (500 by default), the power or a call fails at one
 * random call of each round; FIRST=N starts at another seed.  In EVERY=N
 * histories (5 by default), it fails at every call of one of their rounds in
 * turn: the round is repeated with the fault one call later, until it ends
 * without the fault.
 *
 * The second test case tests the test itself: with the code or its caller
 * broken in any of six ways, a history must fail.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "batchd/consumer.h"
#include "libbase/log.h"
#include "tests/support/sim/simdisk.h"
#include "tests/support/test.h"

#define SINKS 2
#define STABLE 1 /* the sink whose batches keep their ends */
#define OFFSETS_MAX 20000
#define ROUNDS 4
#define STEPS 120
#define TEETH_SEEDS 200

enum broken {
	BREAK_NOTHING,
	BREAK_NO_SYNC,
	BREAK_EARLY_ACK,
	BREAK_DELETE_BEFORE_CURSOR,
	BREAK_CURSOR_WITHOUT_SYNC,
	BREAK_CHECKSUM,
	BREAK_SEND_BEFORE_PLAN,
};

struct model {
	struct simdisk sim;
	uint64_t random;
	enum broken broken;
	uint32_t generation[OFFSETS_MAX]; /* of the event at each offset */
	uint32_t now;                     /* generation: counts starts */
	int64_t clock_us;
	struct store_conf conf;
	uint64_t end;   /* offsets below were appended */
	uint64_t acked; /* below: must be kept; sinks get no others */
	bool was_set[SINKS][OFFSETS_MAX + 1];
	bool was_planned[OFFSETS_MAX + 1]; /* as an end for STABLE */
	uint64_t sent_end; /* of the batch sent to STABLE; 0: none */
	uint64_t cursor_durable[SINKS];
	bool known[SINKS]; /* the sink has a durable cursor */

	struct store store;
	struct consumer consumers[SINKS];
	char why[200]; /* how the log differs from the model; "": not */
};

/* The calls that failed in all histories, by fault. */
static uint64_t faults_met[SIM_FAULTS];

static const char *const fault_names[SIM_FAULTS] = {
    [SIM_NONE] = "cuts",   [SIM_EIO] = "EIO",     [SIM_ENOSPC] = "ENOSPC",
    [SIM_EINTR] = "EINTR", [SIM_SHORT] = "short", [SIM_EMFILE] = "EMFILE"};

static const char *const sink_names[SINKS] = {"one", "two"};

static const struct store_conf conf = {
    .max_bytes = 2 * MIB,
    .segment_bytes = 192 * KIB,
    .group_max_bytes = 160 * KIB,
    .fsync_interval_us = 20,
};

/* The linker calls this instead of XXH3_64bits_withSeed. */
XXH64_hash_t __real_XXH3_64bits_withSeed(const void *p, size_t n,
                                         XXH64_hash_t seed);
XXH64_hash_t __wrap_XXH3_64bits_withSeed(const void *p, size_t n,
                                         XXH64_hash_t seed);
static bool checksum_off;

XXH64_hash_t
__wrap_XXH3_64bits_withSeed(const void *p, size_t n, XXH64_hash_t seed)
{
	return checksum_off ? 1 : __real_XXH3_64bits_withSeed(p, n, seed);
}

static uint64_t
power_random_below(struct model *m, uint64_t n)
{
	return n > 0 ? sim_random(&m->random) % n : 0;
}

#define FAIL(m, ...)                                                           \
	do {                                                                   \
		if (!(m)->why[0])                                              \
			(void)snprintf((m)->why, sizeof(m)->why, __VA_ARGS__); \
	} while (0)

/* --- what must hold after a start --- */

static void
power_check_events(struct model *m, uint64_t from)
{
	static uint8_t body[FRAME_BODY_MAX];
	struct batch_chunk s = {.body = body};
	struct reader r;
	uint64_t expected = from;
	int rc;

	reader_init(&r, &m->store);
	rc = reader_seek(&r, from);
	while (rc == 0 && r.next_offset < m->store.durable_offset) {
		struct wire_reader w;

		rc = reader_frame(&r, m->store.durable_offset, 16 * MIB, &s);
		if (rc < 0 || s.count == 0)
			break;
		w = (struct wire_reader){body, body + s.bytes};
		if (s.offset != expected)
			FAIL(m, "offset %" PRIu64 " after %" PRIu64, s.offset,
			     expected);
		for (uint64_t i = s.offset; i < s.offset + s.count; i++) {
			char id[40] = {0}, want[40];
			struct event e;

			if (event_read(&w, &e) < 0 || e.id.bytes >= sizeof id) {
				FAIL(m, "event %" PRIu64 " is malformed", i);
				break;
			}
			memcpy(id, e.id.data, e.id.bytes);
			(void)snprintf(want, sizeof want, "%" PRIu64 ".%u", i,
			               i < OFFSETS_MAX ? m->generation[i] : 0);
			if (strcmp(id, want) != 0)
				FAIL(m, "event %s is %s", want, id);
		}
		expected = s.offset + s.count;
	}
	if (!m->sim.off && !m->sim.failed && rc < 0)
		FAIL(m, "reading: %s", strerror(-rc));
	if (rc == 0 && expected != m->store.durable_offset)
		FAIL(m, "events end at %" PRIu64 ", not %" PRIu64, expected,
		     m->store.durable_offset);
	reader_fini(&r);
}

/* A batch that was sent has the same end again, or was committed (I8). */
static void
power_check_batch(struct model *m)
{
	const struct cursor_slot *c = &m->consumers[STABLE].position.cursor.now;
	bool planned = c->in_flight_end != CURSOR_NO_BATCH;

	if (m->sent_end > c->committed && c->in_flight_end != m->sent_end)
		FAIL(m,
		     "a batch that ends at %" PRIu64 " went out, the cursor is "
		     "%" PRIu64 "..%" PRId64,
		     m->sent_end, c->committed, (int64_t)c->in_flight_end);
	if (planned && (c->in_flight_end > OFFSETS_MAX ||
	                !m->was_planned[c->in_flight_end]))
		FAIL(m, "no batch up to %" PRIu64 " was planned",
		     c->in_flight_end);
	if (planned && c->in_flight_end > m->store.durable_offset)
		FAIL(m, "a batch ends at %" PRIu64 ", the log at %" PRIu64,
		     c->in_flight_end, m->store.durable_offset);
	/* The end of the batch is durable, so it is sent at once. */
	m->sent_end = planned ? c->in_flight_end : 0;
}

static void
check_start(struct model *m)
{
	uint64_t lowest = m->store.durable_offset;

	if (m->store.durable_offset < m->acked)
		FAIL(m, "%" PRIu64 " were acknowledged, %" PRIu64 " are there",
		     m->acked, m->store.durable_offset);
	if (m->store.durable_offset > m->end)
		FAIL(m, "%" PRIu64 " were sent, %" PRIu64 " are there", m->end,
		     m->store.durable_offset);
	if (m->store.lost_events > 0)
		FAIL(m, "%" PRIu64 " events are called lost",
		     m->store.lost_events);
	for (int i = 0; i < SINKS; i++) {
		uint64_t c = m->consumers[i].position.cursor.now.committed;

		if (c < lowest)
			lowest = c;
		if (!m->known[i])
			continue;
		if (c < m->cursor_durable[i] || c > OFFSETS_MAX ||
		    !m->was_set[i][c])
			FAIL(m,
			     "cursor is %" PRIu64 ", was durable at %" PRIu64,
			     c, m->cursor_durable[i]);
	}
	power_check_batch(m);
	if (lowest < store_first_offset(&m->store))
		FAIL(m, "the log starts at %" PRIu64 ", a cursor is %" PRIu64,
		     store_first_offset(&m->store), lowest);
	else
		power_check_events(m, lowest);
	/* Unacknowledged events may be lost; their offsets are used again. */
	m->end = m->store.durable_offset;
	m->acked = m->store.durable_offset;
}

/* --- the steps of a history --- */

static int
power_start(struct model *m)
{
	uint64_t highest = 0;
	int rc = store_open(&m->store, &m->sim.disk, &m->conf);

	for (int i = 0; rc == 0 && i < SINKS; i++) {
		struct consumer *f = &m->consumers[i];

		rc = consumer_open(f, &m->store, sink_names[i]);
		if (rc == 0 && f->position.cursor.file >= 0 &&
		    f->position.cursor.now.committed > highest)
			highest = f->position.cursor.now.committed;
		if (rc == 0 && f->position.cursor.file < 0 && m->known[i])
			FAIL(m, "cursor %s is gone", sink_names[i]);
	}
	if (rc == 0 && highest > m->store.next_offset)
		FAIL(m, "a cursor is beyond the end");
	if (rc == 0)
		rc = store_start(&m->store, highest);
	for (int i = 0; rc == 0 && i < SINKS; i++) {
		uint64_t c;

		rc = consumer_start(&m->consumers[i], false);
		c = m->consumers[i].position.cursor.now.committed;
		if (rc == 0 && c <= OFFSETS_MAX)
			m->was_set[i][c] = true;
	}
	return rc;
}

static void
stop(struct model *m)
{
	for (int i = 0; i < SINKS; i++)
		consumer_close(&m->consumers[i]);
	store_close(&m->store);
}

static void
step_append(struct model *m)
{
	static uint8_t payload[FRAME_BODY_MAX];
	uint32_t count = 1 + (uint32_t)power_random_below(m, 4);
	uint8_t *body_at = store_append_buffer(&m->store);
	struct buf body;

	if (!body_at || m->store.next_offset + count >= OFFSETS_MAX)
		return;
	memset(payload, 'x', sizeof payload);
	buf_init(&body, FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = m->store.next_offset + i;
		uint64_t size = power_random_below(m, 8) == 0
		                    ? power_random_below(m, 30000)
		                    : power_random_below(m, 1000);
		struct event e = {
		    .type = slice_of("t"),
		    .payload = {(char *)payload, (uint32_t)size + 2},
		    .created_at_us = 1,
		    .received_at_us = 1};
		char id[40];

		(void)snprintf(id, sizeof id, "%" PRIu64 ".%u", offset, m->now);
		e.id = slice_of(id);
		/* No assertion of check, which costs a write(2) each. */
		if (event_pack(&body, &e) < 0)
			FAIL(m, "an event cannot be packed");
		m->generation[offset] = m->now;
	}
	memcpy(body_at, body.data, body.len);
	(void)store_append(&m->store, (uint32_t)body.len, count, m->clock_us);
	m->end = m->store.next_offset;
	buf_fini(&body);
}

/* Begin in one step, run and end in another, with other jobs between. */
static int
step_commit(struct model *m)
{
	uint64_t lasts;
	int rc;

	if (!m->store.writing) {
		if (store_append_begin(&m->store, m->clock_us) &&
		    m->broken == BREAK_EARLY_ACK)
			m->acked = m->store.next_offset;
		return 0;
	}
	rc = store_append_run(&m->store);
	if (rc == 0)
		rc = store_append_end(&m->store, m->clock_us);
	/* With FSYNC_INTERVAL, sinks get only what was synced. */
	lasts = m->conf.fsync == FSYNC_ALWAYS ? m->store.durable_offset
	                                      : m->store.synced_offset;
	if (rc == 0 && m->acked < lasts)
		m->acked = lasts;
	return rc;
}

/* The next step of STABLE: a batch is planned, sent, and committed. */
static void
move_stable(struct model *m)
{
	struct cursor *c = &m->consumers[STABLE].position.cursor;
	uint64_t from = c->now.committed, end = c->now.in_flight_end;

	if (end == CURSOR_NO_BATCH) {
		if (from >= m->acked)
			return;
		end = from + 1 + power_random_below(m, m->acked - from);
		m->was_planned[end] = true;
		cursor_set(c, from, end);
		if (m->broken == BREAK_SEND_BEFORE_PLAN)
			m->sent_end = end;
	} else if (m->sent_end == end) {
		/* A part of it, or all. */
		uint64_t to = from + 1 + power_random_below(m, end - from);

		m->was_set[STABLE][to] = true;
		cursor_set(c, to, to < end ? end : CURSOR_NO_BATCH);
	}
}

static int
step_cursor(struct model *m)
{
	int i = (int)power_random_below(m, SINKS), rc;
	struct cursor *c = &m->consumers[i].position.cursor;
	uint64_t at = c->now.committed;
	uint64_t ahead = m->acked > at ? m->acked - at : 0;

	if (!c->busy) {
		if (i == STABLE) {
			move_stable(m);
		} else {
			at += power_random_below(m, ahead + 1);
			m->was_set[i][at] = true;
			cursor_set(c, at, CURSOR_NO_BATCH);
		}
		if (cursor_begin(c))
			m->known[i] = true; /* it exists since the start */
		return 0;
	}
	rc = cursor_write(c, &m->sim.disk);
	if (rc < 0)
		return rc;
	cursor_end(c);
	m->cursor_durable[i] = c->durable.committed;
	if (i == STABLE && c->durable.in_flight_end != CURSOR_NO_BATCH &&
	    c->durable.in_flight_end == c->now.in_flight_end)
		m->sent_end = c->now.in_flight_end; /* as consumer does */
	return 0;
}

static int
step_tidy(struct model *m)
{
	uint64_t lowest = m->store.durable_offset;

	for (int i = 0; i < SINKS; i++) {
		const struct cursor *c = &m->consumers[i].position.cursor;
		uint64_t one = m->broken == BREAK_DELETE_BEFORE_CURSOR
		                   ? c->now.committed
		                   : c->durable.committed;

		if (one < lowest)
			lowest = one;
	}
	if (!retention_begin(&m->store, lowest))
		return 0;
	retention_run(&m->store);
	retention_end(&m->store);
	return 0;
}

static int
live(struct model *m)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < STEPS && !m->why[0]; i++) {
		m->clock_us++;
		switch (power_random_below(m, 8)) {
		case 0:
		case 1:
		case 2:
			step_append(m);
			break;
		case 3:
		case 4:
			rc = step_commit(m);
			break;
		case 5:
		case 6:
			rc = step_cursor(m);
			break;
		default:
			rc = step_tidy(m);
			break;
		}
	}
	return rc;
}

/* A clean stop, during which the power or a call can fail, too. */
static int
power_finish(struct model *m)
{
	int rc = 0;

	while (rc == 0 && (m->store.writing || m->store.filling->records > 0))
		rc = step_commit(m);
	return rc < 0 ? rc : store_finish(&m->store);
}

/*
 * Run one round.  The call `in` calls from here has `fault` or, with SIM_NONE,
 * the power fails at it.  Returns the number of the call that really failed, or
 * 0 when the round ended before.
 */
static uint64_t
round_of(struct model *m, uint64_t in, enum sim_fault fault)
{
	uint64_t begin = m->sim.calls, met = 0;
	int rc;

	m->now++;
	m->sim.failed = false;
	m->sim.fault = fault;
	if (fault != SIM_NONE)
		m->sim.fail_at = begin + in;
	else
		m->sim.cut_at = begin + in;
	rc = power_start(m);
	if (rc == 0)
		check_start(m);
	if (rc == 0)
		rc = live(m);
	if (rc == 0 && power_random_below(m, 2))
		rc = power_finish(m);
	if (rc < 0 && !m->sim.off && !m->sim.failed)
		FAIL(m, "without cause: %s", strerror(-rc));
	stop(m);
	if (m->sim.off)
		met = in;
	else if (m->sim.failed)
		met = m->sim.fail_at - begin;
	m->sim.fail_at = 0;
	if (fault != SIM_NONE && power_random_below(m, 2)) {
		sim_close_all(&m->sim); /* the machine continues */
		m->sim.failed = false;
	} else {
		sim_power_cycle(&m->sim);
	}
	return met;
}

/* A last start, without faults, must be perfect. */
static void
last_start(struct model *m)
{
	if (m->why[0])
		return;
	m->now++;
	if (power_start(m) < 0)
		FAIL(m, "the last start failed");
	else
		check_start(m);
	stop(m);
}

/* Let a random call of the round, or the power at it, fail. */
static void
random_round(struct model *m, bool faults)
{
	uint64_t in = 1 + power_random_below(m, 300);

	(void)round_of(m, in,
	               faults ? (enum sim_fault)(1 + power_random_below(m, 5))
	                      : SIM_NONE);
}

static uint64_t
setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && text[0] ? strtoull(text, NULL, 10) : otherwise;
}

static struct model *
model_new(uint64_t seed, enum broken broken)
{
	struct model *m = calloc(1, sizeof *m);

	ck_assert_ptr_nonnull(m);
	sim_init(&m->sim, seed);
	m->random = seed * 77 + 13;
	m->clock_us = 1;
	m->conf = conf;
	m->conf.fsync = seed % 4 == 0 ? FSYNC_INTERVAL : FSYNC_ALWAYS;
	m->broken = broken;
	m->sim.no_sync = broken == BREAK_NO_SYNC;
	m->sim.no_cursor_sync = broken == BREAK_CURSOR_WITHOUT_SYNC;
	return m;
}

static void
model_free(struct model *m)
{
	sim_fini(&m->sim);
	free(m);
}

/* Between two rounds, when nothing is open. */
static void
model_copy(struct model *to, const struct model *from)
{
	struct simdisk sim = to->sim;

	*to = *from;
	to->sim = sim;
	sim_copy(&to->sim, &from->sim);
}

/* Returns 0, or 1 with the reason in why. */
static int
history(uint64_t seed, bool faults, enum broken broken, char why[200])
{
	struct model *m = model_new(seed, broken);
	int rc;

	checksum_off = broken == BREAK_CHECKSUM;
	for (int i = 0; i < ROUNDS && !m->why[0]; i++)
		random_round(m, faults);
	last_start(m);
	for (int i = 0; i < SIM_FAULTS; i++)
		faults_met[i] += m->sim.met[i];
	(void)snprintf(why, 200, "%s", m->why);
	rc = m->why[0] ? 1 : 0;
	model_free(m);
	checksum_off = false;
	return rc;
}

/*
 * Repeat the round that follows m, with the fault or power failure at its first
 * call, at its second, and so on, until it ends without it.  Returns the number
 * of calls that failed.
 */
static uint64_t
every_call(const struct model *m, struct model *again, enum sim_fault fault,
           uint64_t seed, int number)
{
	uint64_t at = 0, count = 0, met;

	for (;;) {
		model_copy(again, m);
		met = round_of(again, at + 1, fault);
		last_start(again);
		ck_assert_msg(
		    !again->why[0],
		    "seed %" PRIu64 ", round %d, %s at call %" PRIu64 ": %s",
		    seed, number, fault_names[fault], at + 1, again->why);
		if (met == 0)
			return count;
		/* The fault may have waited for a call that can have it. */
		at = met;
		count++;
	}
}

/* Fail each call of one round of EVERY histories. */
static void
run_every_call(enum sim_fault first, enum sim_fault last)
{
	uint64_t seeds = setting("EVERY", 5), count[SIM_FAULTS] = {0};
	struct model *again = model_new(1, BREAK_NOTHING);

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct model *m = model_new(seed, BREAK_NOTHING);

		for (int i = 0; i < ROUNDS; i++) {
			for (enum sim_fault f = first; f <= last; f++) {
				if (i == (int)((seed + f) % ROUNDS))
					count[f] +=
					    every_call(m, again, f, seed, i);
			}
			random_round(m, first != SIM_NONE);
			ck_assert_msg(!m->why[0], "seed %" PRIu64 ": %s", seed,
			              m->why);
		}
		model_free(m);
	}
	for (enum sim_fault f = first; f <= last; f++)
		printf("%s at each of %" PRIu64 " calls\n", fault_names[f],
		       count[f]);
	model_free(again);
}

static void
run_seeds(bool faults)
{
	uint64_t first = setting("FIRST", 1), seeds = setting("SEEDS", 500);
	char why[200];

	for (uint64_t seed = first; seed < first + seeds; seed++)
		ck_assert_msg(history(seed, faults, BREAK_NOTHING, why) == 0,
		              "seed %" PRIu64 ": %s (FIRST=%" PRIu64
		              " SEEDS=1 repeats it)",
		              seed, why, seed);
}

static void
setup(void)
{
	/* A power cut makes many calls fail, and each logs an error. */
	log_set_level((enum log_level)(LOG_ERROR + 1));
}

TEST_CASE(power, .setup = setup, .timeout_s = TEST_NO_TIMEOUT);

TEST(nothing_is_lost_when_the_power_is_cut_anywhere)
{
	run_seeds(false);
}

TEST(nothing_is_lost_when_the_power_is_cut_at_every_call)
{
	run_every_call(SIM_NONE, SIM_NONE);
}

TEST(nothing_is_lost_when_every_call_fails_in_turn)
{
	run_every_call(SIM_EIO, SIM_EMFILE);
}

TEST(nothing_is_lost_when_a_call_fails_anywhere)
{
	uint64_t seeds = setting("SEEDS", 500);

	memset(faults_met, 0, sizeof faults_met);
	run_seeds(true);
	for (int i = SIM_NONE + 1; i < SIM_FAULTS; i++) {
		printf("%s: %" PRIu64 "\n", fault_names[i], faults_met[i]);
		ck_assert_uint_ge(faults_met[i], seeds / 8);
	}
}

static void
must_bite(enum broken broken, const char *name)
{
	char why[200];
	uint64_t seed = 1;

	while (seed <= TEETH_SEEDS && history(seed, false, broken, why) == 0)
		seed++;
	ck_assert_msg(seed <= TEETH_SEEDS, "%s goes unnoticed", name);
	printf("%s is noticed at seed %" PRIu64 ": %s\n", name, seed, why);
}

TEST_CASE(teeth, .setup = setup, .timeout_s = TEST_NO_TIMEOUT);

TEST(a_log_that_does_not_sync_is_found_out)
{
	must_bite(BREAK_NO_SYNC, "no sync");
}

TEST(a_log_that_acknowledges_early_is_found_out)
{
	must_bite(BREAK_EARLY_ACK, "early acknowledgement");
}

TEST(a_log_that_deletes_before_the_cursor_is_durable_is_found_out)
{
	must_bite(BREAK_DELETE_BEFORE_CURSOR, "deletion before the cursor");
}

TEST(a_cursor_without_sync_is_found_out)
{
	must_bite(BREAK_CURSOR_WITHOUT_SYNC, "a cursor without sync");
}

TEST(a_batch_sent_before_its_end_is_durable_is_found_out)
{
	must_bite(BREAK_SEND_BEFORE_PLAN, "a batch sent before its end");
}

TEST(a_log_without_checksums_is_found_out)
{
	must_bite(BREAK_CHECKSUM, "checksum off");
}
