/* test_dashboard_model - what the page shows of events and of the status. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "sinkd-dashboard/event_ring.h"
#include "sinkd-dashboard/messages.h"
#include "sinkd-dashboard/model.h"
#include "sinkd-dashboard/verdict.h"
#include "tests/support/test.h"

#define SECOND_US INT64_C(1000000)
#define NOW_US (INT64_C(1700000000) * SECOND_US)

/* --- the ring --- */

static struct ring_event
ring_event_of(uint64_t offset, const char *payload, size_t n)
{
	return (struct ring_event){.offset = offset,
	                           .type = slice_of("click"),
	                           .payload = {payload, (uint32_t)n}};
}

TEST(the_ring_keeps_the_newest_events)
{
	enum { SIZE = 3000 };
	struct event_ring r;
	char payload[SIZE];

	ck_assert_int_eq(event_ring_init(&r), 0);
	for (uint64_t i = 0; i < 20000; i++) {
		struct ring_event e;
		size_t n = (size_t)(i * 7919 % SIZE);

		memset(payload, 'a' + (int)(i % 26), sizeof payload);
		e = ring_event_of(i, payload, n);
		event_ring_add(&r, &e);
		ck_assert_uint_eq(r.next, i + 1);
		if (i % 500 != 0)
			continue;
		for (uint64_t k = r.first; k < r.next; k++) {
			const struct ring_event *got = event_ring_get(&r, k);

			n = (size_t)(k * 7919 % SIZE);
			ck_assert_uint_eq(got->offset, k);
			ck_assert(slice_is(got->type, "click"));
			ck_assert_ptr_null(got->user.data);
			ck_assert_uint_eq(got->payload_bytes, n);
			ck_assert_uint_eq(
			    got->payload.bytes,
			    n < EVENT_RING_PAYLOAD ? n : EVENT_RING_PAYLOAD);
			for (uint32_t b = 0; b < got->payload.bytes; b++)
				ck_assert(got->payload.data[b] ==
				          'a' + (int)(k % 26));
		}
	}
	/* The average event has about 1,400 bytes here. */
	ck_assert_uint_gt(r.next - r.first, EVENT_RING_BYTES / 1700);
	event_ring_fini(&r);
}

TEST(the_ring_has_room_for_many_small_events)
{
	struct event_ring r;
	struct ring_event e = ring_event_of(0, "{}", 2);

	ck_assert_int_eq(event_ring_init(&r), 0);
	for (uint64_t i = 0; i < 100000; i++) {
		e.offset = i;
		event_ring_add(&r, &e);
	}
	ck_assert_uint_eq(r.next - r.first, EVENT_RING_EVENTS);
	ck_assert_uint_eq(event_ring_get(&r, r.first)->offset, r.first);
	event_ring_fini(&r);
}

/* --- a status --- */

struct sink_status {
	const char *name, *state, *error;
	uint64_t error_since_us, lag_ms;
	bool absent;
	const char *paused_why; /* NULL: it is not paused */
	uint64_t paused_until_us;
	const char *order;
};

struct status {
	const char *stream;
	uint64_t durable, appended_bytes, bytes, accepted;
	bool closed; /* the log takes no events */
	uint64_t ingestd;
	size_t sink_count;
	struct sink_status sinks[PIPELINE_SINKS];
	int64_t now_us;
	uint64_t lost;
};

static msgpack_sbuffer packed;
static msgpack_packer pk;

static void
put_key(const char *key)
{
	msgpack_pack_str_with_body(&pk, key, strlen(key));
}

static void
put_number(const char *key, uint64_t value)
{
	put_key(key);
	msgpack_pack_uint64(&pk, value);
}

static void
put_string(const char *key, const char *value)
{
	put_key(key);
	put_key(value);
}

static void
put_bool(const char *key, bool value)
{
	put_key(key);
	(void)(value ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
}

static void
put_sink(const struct sink_status *s)
{
	bool halted = s->paused_why && !s->order;

	msgpack_pack_map(&pk, 11);
	put_string("name", s->name);
	put_bool("connected", !s->absent);
	put_string("state", s->absent ? "disconnected"
	                    : halted  ? "paused"
	                              : "in_flight");
	put_bool("paused", s->paused_why);
	put_number("paused_since_us",
	           s->paused_why ? NOW_US - 720 * SECOND_US : 0);
	put_number("paused_until_us", s->paused_until_us);
	put_number("paused_uid", s->paused_why ? 1000 : 0);
	put_string("paused_why", s->paused_why ? s->paused_why : "");
	put_string("order", s->order ? s->order : "");
	put_number("lag_ms", s->lag_ms);
	put_key("stats");
	msgpack_pack_map(&pk, s->state ? 4 : 0);
	if (!s->state)
		return;
	put_string("state", s->state);
	put_string("error", s->error ? s->error : "");
	put_number("error_since_us", s->error_since_us);
	put_number("dead_letters", 3);
}

static void
pack_status(const struct status *s)
{
	msgpack_sbuffer_clear(&packed);
	msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
	msgpack_pack_map(&pk, 4);
	put_number("now_us", (uint64_t)s->now_us);
	put_key("log");
	msgpack_pack_map(&pk, 8);
	put_string("stream", s->stream ? s->stream : "log");
	put_number("durable_offset", s->durable);
	put_number("appended_bytes", s->appended_bytes);
	put_number("bytes", s->bytes);
	put_number("max_bytes", 1000000);
	put_number("lost_events", s->lost);
	put_bool("open", !s->closed);
	put_string("reason", s->closed ? "the log is full" : "");
	put_key("ingest");
	msgpack_pack_map(&pk, 2);
	put_number("processes", s->ingestd);
	put_number("accepted_events", s->accepted);
	put_key("sinks");
	msgpack_pack_array(&pk, s->sink_count);
	for (size_t i = 0; i < s->sink_count; i++)
		put_sink(&s->sinks[i]);
}

static struct pipeline pipeline;
static struct model model;

static void
status_setup(void)
{
	msgpack_sbuffer_init(&packed);
	memset(&pipeline, 0, sizeof pipeline);
	ck_assert_int_eq(model_init(&model, false, 1000), 0);
}

static void
status_teardown(void)
{
	msgpack_sbuffer_destroy(&packed);
	model_fini(&model);
}

TEST_CASE(status, .setup = status_setup, .teardown = status_teardown);

static void
read_pipeline(const struct status *s, uint64_t at_ms)
{
	pack_status(s);
	ck_assert_int_eq(
	    pipeline_read(&pipeline, packed.data, packed.size, at_ms), 0);
}

/* The verdict of a status that came now. */
static const struct verdict *
verdict_of(const struct status *s)
{
	static const struct verdict_batchd up = {.answers = true, .error = ""};
	static struct verdict v;

	read_pipeline(s, 1000);
	verdict_make(&v, &pipeline, &up, s->now_us);
	return &v;
}

TEST(all_is_well_when_nothing_is_wrong)
{
	struct status s = {.ingestd = 2,
	                   .now_us = NOW_US,
	                   .sink_count = 3,
	                   .sinks = {{.name = "postgres", .state = "writing"},
	                             {.name = "kafka", .state = "idle"},
	                             {.name = "clickhouse"}}};
	const struct verdict *v = verdict_of(&s);

	ck_assert_str_eq(v->text, "All well");
	ck_assert_int_eq(v->level, LEVEL_OK);
	ck_assert_str_eq(pipeline.sinks[0].state, "writing");
	/* A sink that has not reported yet has batchd's state of it. */
	ck_assert_str_eq(pipeline.sinks[2].state, "in_flight");
	ck_assert_uint_eq(pipeline.sinks[0].dead_letters, 3);
}

TEST(the_verdict_names_what_since_when_and_why)
{
	struct status s = {
	    .ingestd = 1,
	    .now_us = NOW_US,
	    .sink_count = 2,
	    .sinks = {{.name = "postgres", .state = "idle"},
	              {.name = "kafka",
	               .state = "retrying",
	               .error = "connection refused",
	               .error_since_us = NOW_US - 252 * SECOND_US}}};
	const struct verdict *v = verdict_of(&s);

	ck_assert_str_eq(v->text,
	                 "kafka: retrying for 4 min, connection refused");
	ck_assert_int_eq(v->level, LEVEL_WARN);
	ck_assert_int_eq(pipeline.sinks[0].level, LEVEL_OK);
	ck_assert_int_eq(pipeline.sinks[1].level, LEVEL_WARN);
	s.sinks[1].state = "misconfigured";
	s.sinks[1].error = "the table has no column id";
	v = verdict_of(&s);
	ck_assert_str_eq(v->text, "kafka: misconfigured for 4 min, the table "
	                          "has no column id");
	ck_assert_int_eq(v->level, LEVEL_BAD);
}

TEST(a_paused_sink_is_no_fault_and_is_shown)
{
	struct status s = {
	    .ingestd = 1,
	    .now_us = NOW_US,
	    .sink_count = 2,
	    .sinks = {{.name = "postgres", .state = "idle"},
	              {.name = "kafka",
	               .state = "retrying",
	               .lag_ms = 720000,
	               .paused_why = "an index",
	               .paused_until_us = NOW_US + 1080 * SECOND_US}}};
	const struct verdict *v = verdict_of(&s);

	ck_assert_str_eq(v->text,
	                 "kafka: paused for 12 min, goes on in 18 min: an "
	                 "index");
	ck_assert_int_eq(v->level, LEVEL_PAUSED);
	ck_assert_int_eq(pipeline.sinks[0].level, LEVEL_OK);
	ck_assert_int_eq(pipeline.sinks[1].level, LEVEL_PAUSED);
	/* What the process reported last is over. */
	ck_assert_str_eq(pipeline.sinks[1].state, "paused");
	ck_assert_uint_eq(pipeline.sinks[1].pause.uid, 1000);
	/* Until it is halted, it has another state. */
	s.sinks[1].order = "pausing";
	s.sinks[1].paused_why = "";
	s.sinks[1].paused_until_us = 0;
	ck_assert_str_eq(verdict_of(&s)->text, "kafka: pausing for 12 min");
	ck_assert_str_eq(pipeline.sinks[1].state, "retrying");
	/* A fault comes before a pause. */
	s.sinks[0].state = "retrying";
	v = verdict_of(&s);
	ck_assert_str_eq(v->text, "postgres: retrying (and 1 more)");
	ck_assert_int_eq(v->level, LEVEL_WARN);
}

TEST(a_paused_sink_that_is_not_connected_has_two_findings)
{
	struct status s = {
	    .ingestd = 1,
	    .now_us = NOW_US,
	    .sink_count = 1,
	    .sinks = {
		{.name = "kafka", .absent = true, .paused_why = "moving"}}};

	ck_assert_str_eq(verdict_of(&s)->text,
	                 "kafka: not connected (and 1 more)");
	ck_assert_int_eq(pipeline.sinks[0].level, LEVEL_WARN);
	ck_assert(pipeline.sinks[0].pause.paused);
	ck_assert_str_eq(pipeline.sinks[0].state, "disconnected");
}

TEST(the_worst_is_shown_and_the_others_are_counted)
{
	struct status s = {
	    .ingestd = 1,
	    .now_us = NOW_US,
	    .lost = 7,
	    .sink_count = 2,
	    .sinks = {{.name = "postgres", .state = "retrying"},
	              {.name = "kafka", .state = "misconfigured"}}};

	ck_assert_str_eq(verdict_of(&s)->text,
	                 "kafka: misconfigured (and 2 more)");
	s.closed = true;
	ck_assert_str_eq(verdict_of(&s)->text,
	                 "log: takes no events, the log is full (and 3 more)");
	/* 90 s later, with what the pipeline remembers. */
	s.now_us += 90 * SECOND_US;
	ck_assert_str_eq(
	    verdict_of(&s)->text,
	    "log: takes no events for 1 min, the log is full (and 3 more)");
}

TEST(a_sink_that_restarts_is_no_alarm)
{
	struct status s = {.ingestd = 1,
	                   .now_us = NOW_US,
	                   .sink_count = 1,
	                   .sinks = {{.name = "kafka", .absent = true}}};
	const struct verdict *v = verdict_of(&s);

	ck_assert_str_eq(v->text, "kafka: not connected");
	ck_assert_int_eq(v->level, LEVEL_WARN);
	s.now_us += 11 * SECOND_US;
	v = verdict_of(&s);
	ck_assert_str_eq(v->text, "kafka: not connected for 11 s");
	ck_assert_int_eq(v->level, LEVEL_BAD);
	ck_assert_str_eq(pipeline.sinks[0].state, "disconnected");
	s.sinks[0].absent = false;
	ck_assert_int_eq(verdict_of(&s)->level, LEVEL_OK);
}

TEST(what_is_not_connected_is_an_alarm_although_the_clock_was_set_back)
{
	struct status s = {.now_us = NOW_US,
	                   .sink_count = 1,
	                   .sinks = {{.name = "kafka", .absent = true}}};

	ck_assert_int_eq(verdict_of(&s)->level, LEVEL_WARN);
	s.now_us -= 3600 * SECOND_US;
	ck_assert_int_eq(verdict_of(&s)->level, LEVEL_WARN);
	s.now_us += 11 * SECOND_US;
	ck_assert_str_eq(verdict_of(&s)->text,
	                 "ingestd: not connected for 11 s, no event can arrive "
	                 "(and 1 more)");
	ck_assert_int_eq(pipeline.sinks[0].level, LEVEL_BAD);
}

TEST(lag_and_missing_ingestd_are_seen)
{
	struct status s = {.ingestd = 1,
	                   .now_us = NOW_US,
	                   .sink_count = 1,
	                   .sinks = {{.name = "kafka",
	                              .state = "writing",
	                              .lag_ms = 3 * 3600000 + 600000}}};

	ck_assert_str_eq(verdict_of(&s)->text, "kafka: lags by 3 h 10 min");
	s.sinks[0].lag_ms = 0;
	s.ingestd = 0;
	ck_assert_str_eq(verdict_of(&s)->text,
	                 "ingestd: not connected, no event can arrive");
	ck_assert_int_eq(verdict_of(&s)->level, LEVEL_WARN);
	s.now_us += 30 * SECOND_US;
	ck_assert_int_eq(verdict_of(&s)->level, LEVEL_BAD);
}

TEST(an_unreachable_batchd_hides_the_rest)
{
	struct status s = {.ingestd = 0, .now_us = NOW_US, .closed = true};
	struct verdict_batchd down = {.since_us = NOW_US - 12 * SECOND_US,
	                              .error = "Connection refused"};
	struct verdict v;

	read_pipeline(&s, 1000);
	verdict_make(&v, &pipeline, &down, NOW_US);
	ck_assert_str_eq(v.text,
	                 "batchd: unreachable for 12 s, Connection refused");
	ck_assert_int_eq(v.level, LEVEL_BAD);
}

TEST(a_long_error_is_cut_in_the_verdict)
{
	char error[1000];
	struct status s = {
	    .ingestd = 1,
	    .now_us = NOW_US,
	    .sink_count = 1,
	    .sinks = {{.name = "kafka", .state = "retrying", .error = error}}};
	const struct verdict *v;

	for (size_t i = 0; i + 3 < sizeof error; i += 3)
		memcpy(error + i, "日", 4);
	v = verdict_of(&s);
	ck_assert_uint_lt(strlen(v->text), 250);
	ck_assert_str_eq(v->text + strlen(v->text) - 6, "日…");
	ck_assert_uint_eq(strlen(pipeline.sinks[0].error),
	                  (PIPELINE_ERROR_BYTES - 1) / 3 * 3);
}

TEST(the_time_until_the_log_is_full_is_extrapolated)
{
	struct status s = {.ingestd = 1, .now_us = NOW_US, .bytes = 100000};

	read_pipeline(&s, 1000);
	ck_assert_uint_eq(pipeline.log.full_in_s, PIPELINE_NEVER);
	for (uint64_t t = 1; t <= 600; t++) {
		s.bytes = 100000 + 1000 * t;
		s.appended_bytes = 1000 * t;
		read_pipeline(&s, 1000 + 1000 * t);
		if (t >= 10) /* the rest at 1000 bytes/s */
			ck_assert_uint_eq(pipeline.log.full_in_s, 900 - t);
	}
	for (uint64_t t = 601; t < 1300; t++)
		read_pipeline(&s, 1000 + 1000 * t); /* it does not grow */
	ck_assert_uint_eq(pipeline.log.full_in_s, PIPELINE_NEVER);
	/* A new segment is allocated, of which a little is used. */
	s.bytes += 100000;
	s.appended_bytes += 10;
	read_pipeline(&s, 1301000);
	ck_assert_uint_gt(pipeline.log.full_in_s, 86400);
	s.closed = true;
	read_pipeline(&s, 2000000);
	ck_assert_uint_eq(pipeline.log.full_in_s, 0);
}

TEST(rates_are_differences)
{
	struct status s = {.ingestd = 1, .now_us = NOW_US, .accepted = 5000};

	read_pipeline(&s, 1000);
	ck_assert_uint_eq(pipeline.ingest.events_per_s, 0);
	s.accepted = 6000;
	read_pipeline(&s, 3000);
	ck_assert_uint_eq(pipeline.ingest.events_per_s, 500);
	s.accepted = 100; /* batchd began again */
	read_pipeline(&s, 4000);
	ck_assert_uint_eq(pipeline.ingest.events_per_s, 0);
}

TEST(what_is_no_status_changes_nothing)
{
	struct status s = {.ingestd = 1, .now_us = NOW_US, .durable = 7};

	read_pipeline(&s, 1000);
	for (size_t n = 0; n < packed.size; n++)
		ck_assert_int_eq(pipeline_read(&pipeline, packed.data, n, 2000),
		                 -EBADMSG);
	ck_assert_int_eq(pipeline_read(&pipeline, "\x80", 1, 2000), -EBADMSG);
	ck_assert_int_eq(pipeline_read(&pipeline, "\xa1x", 2, 2000), -EBADMSG);
	ck_assert_uint_eq(pipeline.log.durable_offset, 7);
	/* Values of other types count as missing. */
	ck_assert_int_eq(
	    pipeline_read(&pipeline, "\x82\xa3log\x80\xa5sinks\x93\x01\xa0\x90",
	                  16, 2000),
	    0);
	ck_assert_uint_eq(pipeline.sink_count, 3);
	ck_assert_str_eq(pipeline.sinks[0].name, "");
}

/* --- the model --- */

static const struct verdict_batchd batchd_up = {.answers = true, .error = ""};

static void
give_status(uint64_t durable, uint64_t at_ms)
{
	struct status s = {.ingestd = 1,
	                   .now_us = NOW_US,
	                   .durable = durable,
	                   .appended_bytes = 100 * durable};

	pack_status(&s);
	ck_assert_int_eq(model_status(&model, packed.data, packed.size, at_ms),
	                 0);
}

static void
give_event(uint64_t offset, const char *type, const char *user)
{
	const struct event event = {.id = slice_of("id"),
	                            .type = slice_of(type),
	                            .user_id = user ? slice_of(user)
	                                            : (struct slice){NULL, 0},
	                            .payload = slice_of("{\"a\":1}"),
	                            .received_at_us = NOW_US};

	model_event(&model, offset, &event);
}

TEST(events_of_a_second_are_the_difference_of_offsets)
{
	give_status(1000000, 1);
	model_tick(&model, 1000, NOW_US, &batchd_up);
	ck_assert_uint_eq(model.tick.events, 0); /* those before the start */
	give_status(1000512, 1001);
	for (int i = 0; i < 12; i++)
		give_event(1000500 + (uint64_t)i, "click", "ann");
	model_tick(&model, 1001, NOW_US + SECOND_US, &batchd_up);
	ck_assert_uint_eq(model.tick.second, 1001);
	ck_assert_uint_eq(model.tick.events, 512);
	ck_assert_uint_eq(model.tick.bytes, 51200);
	ck_assert_uint_eq(model.tick.read, 12);
	ck_assert_uint_eq(model.series.points[series_at(1001)].events, 512);
	ck_assert_uint_eq(model.tick.distinct_users, 1);
	/* A second tick of a second changes nothing. */
	give_status(1000513, 1500);
	model_tick(&model, 1001, NOW_US + SECOND_US, &batchd_up);
	ck_assert_uint_eq(model.tick.events, 512);
	model_tick(&model, 1002, NOW_US + 2 * SECOND_US, &batchd_up);
	ck_assert_uint_eq(model.tick.events, 1);
}

TEST(after_a_pause_the_events_are_distributed)
{
	uint64_t sum = 0;

	give_status(0, 1);
	model_tick(&model, 1000, NOW_US, &batchd_up);
	give_status(1003, 11000);
	model_tick(&model, 1010, NOW_US, &batchd_up);
	for (uint64_t s = 1001; s <= 1010; s++) {
		uint64_t n = model.series.points[series_at(s)].events;

		ck_assert(n == 100 || n == 101);
		sum += n;
	}
	ck_assert_uint_eq(sum, 1003);
	give_status(2003, 9000000);
	model_tick(&model, 10000, NOW_US, &batchd_up); /* hours later */
	sum = 0;
	for (uint64_t s = 10000 - SERIES_SHOWN + 1; s <= 10000; s++)
		sum += model.series.points[series_at(s)].events;
	ck_assert_uint_eq(sum, 1000);
}

TEST(another_log_begins_again)
{
	struct status s = {.stream = "other", .durable = 5, .now_us = NOW_US};

	give_status(1000, 1);
	model_tick(&model, 1000, NOW_US, &batchd_up);
	pack_status(&s);
	ck_assert_int_eq(model_status(&model, packed.data, packed.size, 2), 0);
	model_tick(&model, 1001, NOW_US, &batchd_up);
	ck_assert_uint_eq(model.tick.events, 0);
}

/* Pages of this process in memory. */
static long
resident_pages(void)
{
	long size, resident;
	FILE *f = fopen("/proc/self/statm", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
	ck_assert_int_eq(fclose(f), 0);
	return resident;
}

/* 200,000 of them in an ordinary run; with LEAT_MANY=1 all. */
TEST(ten_million_users_and_types_take_no_memory)
{
	uint64_t users =
	    getenv("LEAT_MANY") ? 10000000 : 200000 / test_stride();
	char name[32], payload[200];
	struct event event = {.id = slice_of("id"),
	                      .payload = {payload, sizeof payload}};
	long before = 0;

	memset(payload, 'x', sizeof payload);

	for (uint64_t i = 0; i < users; i++) {
		(void)snprintf(name, sizeof name, "u%llu",
		               (unsigned long long)i);
		event.type = event.user_id = slice_of(name);
		model_event(&model, i, &event);
		if (i % 1000 == 0)
			model_tick(&model, 1000 + i / 1000, NOW_US, &batchd_up);
		if (i == users / 2)
			before = resident_pages();
	}
	/* AddressSanitizer keeps for a while what qsort has freed. */
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_le(resident_pages() - before, 256); /* 1 MiB */
#else
	(void)before;
#endif
	/* None of them is more frequent than the others. */
	ck_assert_uint_eq(model.tick.type_count, 0);
	ck_assert_uint_le(model.tick.row_count, MODEL_TOP);
	ck_assert_uint_eq(model.read_events, users);
}

TEST(masked_users_have_one_mask)
{
	struct model masked;
	struct event event = {.id = slice_of("id"),
	                      .type = slice_of("t"),
	                      .user_id = slice_of("ann"),
	                      .payload = slice_of("{}")};
	const struct ring_event *first, *second, *other;

	ck_assert_int_eq(model_init(&masked, true, 1000), 0);
	model_event(&masked, 0, &event);
	model_event(&masked, 1, &event);
	event.user_id = slice_of("bob");
	model_event(&masked, 2, &event);
	first = event_ring_get(&masked.ring, 0);
	second = event_ring_get(&masked.ring, 1);
	other = event_ring_get(&masked.ring, 2);
	ck_assert_uint_eq(first->user.bytes, MASK_TEXT_BYTES);
	ck_assert_mem_eq(first->user.data, second->user.data, MASK_TEXT_BYTES);
	ck_assert_mem_ne(first->user.data, other->user.data, MASK_TEXT_BYTES);
	model_tick(&masked, 1000, NOW_US, &batchd_up);
	ck_assert_uint_eq(masked.tick.users[0].key.bytes, MASK_TEXT_BYTES);
	ck_assert_mem_eq(masked.tick.users[0].key.text, first->user.data,
	                 MASK_TEXT_BYTES);
	model_fini(&masked);
}

/* --- messages --- */

static struct buf text;

static const char *
tick_of(enum show show)
{
	buf_fini(&text);
	buf_init(&text, 1 * MIB);
	message_tick(&text, &model, show, 1, 128);
	ck_assert_int_eq(text.error, 0);
	ck_assert_int_eq(buf_add(&text, "", 1), 0);
	return (const char *)text.data;
}

TEST(a_tick_shows_no_more_than_the_level)
{
	const char *json;

	give_event(0, "secret_type", "secret_user");
	model_tick(&model, 1000, NOW_US, &batchd_up);
	json = tick_of(SHOW_FIGURES);
	ck_assert_ptr_null(strstr(json, "secret"));
	ck_assert_ptr_nonnull(strstr(json, "\"read\":1,"));
	ck_assert_ptr_nonnull(strstr(json, "\"distinct_users\":1,"));
	json = tick_of(SHOW_TYPES);
	ck_assert_ptr_nonnull(strstr(json, "[\"secret_type\",1,0]"));
	ck_assert_ptr_null(strstr(json, "secret_user"));
	json = tick_of(SHOW_EVENTS);
	ck_assert_ptr_nonnull(
	    strstr(json, "\"users\":[[\"secret_user\",1,0]]"));
	buf_fini(&text);
}

static void
snapshot_text(enum show show, struct message_snapshot *s)
{
	unsigned part = 0;

	buf_fini(&text);
	buf_init(&text, 1 * MIB);
	while (message_snapshot(&text, &model, show, s, part))
		part++;
	ck_assert_int_eq(text.error, 0);
	ck_assert_int_eq(buf_add(&text, "", 1), 0);
}

TEST(a_snapshot_has_900_seconds_and_only_allowed_types)
{
	struct message_snapshot s;
	size_t commas = 0;

	give_event(0, "order", NULL);
	model_tick(&model, 1000, NOW_US, &batchd_up);
	snapshot_text(SHOW_FIGURES, &s);
	ck_assert_ptr_null(strstr((char *)text.data, "order"));
	ck_assert_ptr_nonnull(strstr((char *)text.data, "\"types\":[]}"));
	snapshot_text(SHOW_TYPES, &s);
	ck_assert_ptr_nonnull(
	    strstr((char *)text.data, "{\"name\":\"order\",\"counts\":["));
	ck_assert_ptr_nonnull(strstr((char *)text.data, ",0,1]}]}"));
	for (const char *c = (char *)text.data; *c; c++)
		commas += *c == ',';
	ck_assert_uint_eq(commas, 3 * 899 + 5);
	buf_fini(&text);
}

/* As when batchd replies after a second, and not in time. */
TEST(what_was_read_is_distributed_with_the_events)
{
	const struct series *s = &model.series;

	give_status(0, 1);
	model_tick(&model, 1000, NOW_US, &batchd_up);
	give_event(0, "click", NULL);
	for (int i = 1; i < 11; i++)
		give_event((uint64_t)i, "order", NULL);
	give_status(11, 3000);
	model_tick(&model, 1002, NOW_US, &batchd_up);
	ck_assert_uint_eq(model.tick.events, 11);
	ck_assert_uint_eq(model.tick.read, 11);
	ck_assert_uint_eq(s->points[series_at(1001)].read, 5);
	ck_assert_uint_eq(s->points[series_at(1002)].read, 6);
	buf_init(&text, 1 * MIB);
	message_tick(&text, &model, SHOW_TYPES, 0, 1);
	ck_assert_int_eq(buf_add(&text, "", 1), 0);
	ck_assert_ptr_nonnull(strstr(
	    (char *)text.data, "\"series\":[[\"order\",10],[\"click\",1]]"));
	buf_fini(&text);
	/* The next tick is of its second only. */
	give_event(11, "click", NULL);
	give_status(12, 4000);
	model_tick(&model, 1003, NOW_US, &batchd_up);
	ck_assert_uint_eq(model.tick.read, 1);
	ck_assert_uint_eq(model.tick.events, 1);
}

/* The clock of the seconds begins when the machine does. */
TEST(a_snapshot_invents_nothing_from_before_the_machine_started)
{
	struct message_snapshot s;
	size_t sevens = 0;

	model_fini(&model);
	ck_assert_int_eq(model_init(&model, false, 300), 0);
	give_status(1000, 300000);
	model_tick(&model, 300, NOW_US, &batchd_up);
	give_status(1007, 301000);
	model_tick(&model, 301, NOW_US + SECOND_US, &batchd_up);
	snapshot_text(SHOW_FIGURES, &s);
	for (const char *c = (char *)text.data; *c; c++)
		sevens += strncmp(c, ",7", 2) == 0;
	ck_assert_uint_eq(sevens, 1);
	ck_assert_ptr_nonnull(strstr((char *)text.data, ",0,7],\"read\""));
	buf_fini(&text);
}

TEST(a_snapshot_in_parts_survives_that_a_row_is_given_away)
{
	struct message_snapshot s;
	struct key other = model_key(&model, slice_of("other"));

	give_event(0, "order", NULL);
	model_tick(&model, 1000, NOW_US, &batchd_up);
	buf_init(&text, 1 * MIB);
	ck_assert(message_snapshot(&text, &model, SHOW_TYPES, &s, 0));
	ck_assert(message_snapshot(&text, &model, SHOW_TYPES, &s, 1));
	model.series.types[s.rows[0]].key = other;
	ck_assert(message_snapshot(&text, &model, SHOW_TYPES, &s, 2));
	ck_assert(!message_snapshot(&text, &model, SHOW_TYPES, &s, 3));
	ck_assert_int_eq(buf_add(&text, "", 1), 0);
	ck_assert_ptr_nonnull(strstr((char *)text.data, "order"));
	ck_assert_ptr_null(strstr((char *)text.data, "other"));
	ck_assert_ptr_null(strstr((char *)text.data, ",1]}"));
	buf_fini(&text);
}

/* How many of the events a filter of this type, or else of this user, has. */
static size_t
count_filtered(const char *type, const char *user)
{
	struct filter filter = {0};
	size_t n;

	if (type)
		filter.types[filter.type_count++] =
		    model_filter_key(&model, slice_of(type));
	filter.has_user = user != NULL;
	if (user)
		filter.user = model_filter_key(&model, slice_of(user));
	buf_init(&text, 1 * MIB);
	n = message_events(&text, &model.ring, &filter, 0, 1 * MIB);
	buf_fini(&text);
	return n;
}

/* As when a row of the page's lists is clicked. */
TEST(a_filter_takes_the_beginning_that_the_lists_show)
{
	static const char half[] = "0123456789abcdef0123456789abcdef";
	char shown[KEY_TEXT_BYTES + 1], one[80], two[80];
	struct key key;

	(void)snprintf(shown, sizeof shown, "%s%s", half, half);
	(void)snprintf(one, sizeof one, "%s-one", shown);
	(void)snprintf(two, sizeof two, "%s-two", shown);
	give_event(0, one, one);
	give_event(1, two, two);
	give_event(2, "0123", "0123");
	key = model_key(&model, slice_of(one));
	ck_assert_mem_eq(key.text, shown, KEY_TEXT_BYTES);
	ck_assert_uint_eq(count_filtered(shown, NULL), 2);
	ck_assert_uint_eq(count_filtered(NULL, shown), 2);
	/* A whole name is that name only. */
	ck_assert_uint_eq(count_filtered(one, NULL), 1);
	ck_assert_uint_eq(count_filtered(NULL, two), 1);
	ck_assert_uint_eq(count_filtered("0123", NULL), 1);
	ck_assert_uint_eq(count_filtered(half, half), 0);
}

TEST(rows_are_the_newest_that_match_and_fit)
{
	struct filter filter = {0};
	size_t n;

	for (uint64_t i = 0; i < 200; i++)
		give_event(i, i % 2 ? "odd" : "even", i % 10 ? "ann" : NULL);
	buf_init(&text, 1 * MIB);
	n = message_events(&text, &model.ring, &filter, 0, 1 * MIB);
	ck_assert_uint_eq(n, 200);
	ck_assert_int_eq(buf_add(&text, "", 1), 0);
	ck_assert_ptr_nonnull(strstr((char *)text.data,
	                             "{\"from\":0,\"to\":200,\"matched\":200,"
	                             "\"rows\":[[150,"));
	ck_assert_ptr_nonnull(strstr(
	    (char *)text.data, ",\"odd\",\"ann\",\"{\\\"a\\\":1}\",7]]}"));
	filter.type_count = 1;
	filter.types[0] = model_filter_key(&model, slice_of("even"));
	filter.has_user = true;
	filter.user = model_filter_key(&model, slice_of("ann"));
	buf_clear(&text);
	ck_assert_uint_eq(message_events(&text, &model.ring, &filter, 0, 500),
	                  80);
	ck_assert_uint_le(text.len, 500);
	ck_assert_ptr_nonnull(memmem(text.data, text.len, "[198,", 5));
	ck_assert_ptr_null(memmem(text.data, text.len, "[190,", 5));
	filter.user.hash = 1;
	buf_clear(&text);
	ck_assert_uint_eq(
	    message_events(&text, &model.ring, &filter, 0, 1 * MIB), 0);
	ck_assert_uint_eq(text.len, 0);
	buf_fini(&text);
}
