/* test_top - the figures, the choices and the page of leat top. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "leat/cell.h"
#include "leat/top_model.h"
#include "leat/top_page.h"
#include "leat/top_view.h"
#include "libbase/printable.h"
#include "tests/support/test.h"

/* 2026-11-26T14:00:00Z */
#define TIME_US UINT64_C(1795701600000000)

static struct top_model model;
static struct top_view view;
static struct top_page page;

/* A status, as far as top reads it. */
struct given_sink {
	const char *name, *state, *own_state, *error, *why, *order;
	uint64_t committed, lag_ms, generation, dead, until_us;
	bool paused;
};

struct given {
	uint64_t pid, uptime_ms, durable, bytes;
	size_t sink_count, problem_count;
	struct given_sink sinks[TOP_SINKS_MAX + 2];
};

static struct given given;

static void
setup(void)
{
	cell_set_locale();
	memset(&model, 0, sizeof model);
	memset(&view, 0, sizeof view);
	memset(&given, 0, sizeof given);
	top_page_init(&page);
	page.width = 80;
	page.height = 24;
	given.pid = 4711;
	given.uptime_ms = 3600000;
	given.durable = 1000;
	given.bytes = 100000;
	given.sink_count = 1;
	given.sinks[0].name = "postgres";
	given.sinks[0].own_state = "writing";
	given.sinks[0].committed = 1000;
}

static void
teardown(void)
{
	top_page_fini(&page);
	(void)setlocale(LC_CTYPE, "C");
}

TEST_CASE(top, .setup = setup, .teardown = teardown);

static void
put_text(msgpack_packer *pk, const char *text)
{
	(void)msgpack_pack_str_with_body(pk, text, strlen(text));
}

static void
put_number(msgpack_packer *pk, const char *key, uint64_t n)
{
	put_text(pk, key);
	(void)msgpack_pack_uint64(pk, n);
}

static void
put_pair(msgpack_packer *pk, const char *key, const char *text)
{
	put_text(pk, key);
	put_text(pk, text ? text : "");
}

static void
put_sink(msgpack_packer *pk, const struct given_sink *s)
{
	(void)msgpack_pack_map(pk, 14 + (s->own_state ? 1 : 0));
	put_pair(pk, "name", s->name);
	put_pair(pk, "state", s->state ? s->state : "in_flight");
	put_number(pk, "committed", s->committed);
	put_number(pk, "lag_events", given.durable - s->committed);
	put_number(pk, "lag_bytes", (given.durable - s->committed) * 100);
	put_number(pk, "lag_ms", s->lag_ms);
	put_number(pk, "generation", s->generation);
	put_text(pk, "paused");
	(void)(s->paused ? msgpack_pack_true(pk) : msgpack_pack_false(pk));
	put_number(pk, "paused_since_us", s->paused ? TIME_US : 0);
	put_number(pk, "paused_until_us", s->until_us);
	put_number(pk, "paused_uid", 0);
	put_pair(pk, "paused_why", s->why);
	put_pair(pk, "order", s->order);
	put_number(pk, "skipped_events", 0);
	if (!s->own_state)
		return;
	put_text(pk, "stats");
	(void)msgpack_pack_map(pk, 4);
	put_pair(pk, "state", s->own_state);
	put_pair(pk, "error", s->error);
	put_number(pk, "error_since_us", s->error ? TIME_US : 0);
	put_number(pk, "dead_letters", s->dead);
}

/* Give the model the status.  Returns what it returns. */
static int
read_status(void)
{
	msgpack_sbuffer out;
	msgpack_packer pk;
	msgpack_unpacked unpacked;
	size_t at = 0;
	int rc;

	msgpack_sbuffer_init(&out);
	msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
	(void)msgpack_pack_map(&pk, 7);
	put_pair(&pk, "version", "1.0");
	put_number(&pk, "now_us", TIME_US + given.uptime_ms * 1000);
	put_text(&pk, "batchd");
	(void)msgpack_pack_map(&pk, 2);
	put_number(&pk, "pid", given.pid);
	put_number(&pk, "uptime_ms", given.uptime_ms);
	put_text(&pk, "log");
	(void)msgpack_pack_map(&pk, 7);
	put_number(&pk, "bytes", given.bytes);
	put_number(&pk, "max_bytes", 1000000);
	put_number(&pk, "segments", 3);
	put_number(&pk, "durable_offset", given.durable);
	put_number(&pk, "next_offset", given.durable);
	put_number(&pk, "appended_bytes", given.bytes);
	put_pair(&pk, "fsync", "always");
	put_text(&pk, "ingest");
	(void)msgpack_pack_map(&pk, 1);
	put_number(&pk, "processes", 2);
	put_text(&pk, "problems");
	(void)msgpack_pack_array(&pk, given.problem_count);
	for (size_t i = 0; i < given.problem_count; i++)
		put_text(&pk, "sink postgres is retrying");
	put_text(&pk, "sinks");
	(void)msgpack_pack_array(&pk, given.sink_count);
	for (size_t i = 0; i < given.sink_count; i++)
		put_sink(&pk, &given.sinks[i]);
	msgpack_unpacked_init(&unpacked);
	ck_assert_int_eq(
	    msgpack_unpack_next(&unpacked, out.data, out.size, &at),
	    MSGPACK_UNPACK_SUCCESS);
	rc = top_model_read(&model, &unpacked.data);
	msgpack_unpacked_destroy(&unpacked);
	msgpack_sbuffer_destroy(&out);
	return rc;
}

/* After `ms`, with so many more events in the log and in the sink. */
static const struct top_sink *
after(uint64_t ms, uint64_t arrived, uint64_t stored)
{
	given.uptime_ms += ms;
	given.durable += arrived;
	given.bytes += arrived * 10;
	given.sinks[0].committed += stored;
	ck_assert_int_eq(read_status(), 0);
	return &model.sinks[0];
}

/* --- rates and estimates --- */

TEST(rates_follow_from_two_statuses)
{
	const struct top_sink *s = after(0, 0, 0);

	ck_assert(!model.has_rate);
	ck_assert(!s->has_rate);
	s = after(2000, 1001, 500);
	ck_assert(model.has_rate && s->has_rate);
	ck_assert_uint_eq(model.events_per_s, 501);
	ck_assert_uint_eq(model.bytes_per_s, 5005);
	ck_assert_uint_eq(s->events_per_s, 250);
	/* The same status again changes nothing. */
	s = after(0, 0, 0);
	ck_assert_uint_eq(model.events_per_s, 501);
	ck_assert_uint_eq(s->events_per_s, 250);
}

TEST(rates_are_those_of_ten_seconds)
{
	const struct top_sink *s = after(0, 0, 0);

	for (int i = 0; i < 30; i++)
		s = after(1000, 1000, i % 5 == 0 ? 5000 : 0);
	ck_assert_uint_eq(model.events_per_s, 1000);
	ck_assert_uint_eq(s->events_per_s, 1000);
	/* What was before counts for ten seconds, and then no more. */
	for (int i = 0; i < 5; i++)
		s = after(1000, 0, 0);
	ck_assert_uint_eq(model.events_per_s, 500);
	ck_assert_uint_eq(s->events_per_s, 500);
	for (int i = 0; i < 5; i++)
		s = after(1000, 0, 0);
	ck_assert_uint_eq(model.events_per_s, 0);
	ck_assert_uint_eq(s->events_per_s, 0);
	/* Statuses that are further apart: from one to the next. */
	s = after(60000, 60000, 30000);
	ck_assert_uint_eq(model.events_per_s, 1000);
	ck_assert_uint_eq(s->events_per_s, 500);
	/* More of them than are kept. */
	for (int i = 0; i < 100; i++)
		s = after(100, 10, 20);
	ck_assert_uint_eq(model.events_per_s, 100);
	ck_assert_uint_eq(s->events_per_s, 200);
}

TEST(another_process_of_batchd_has_no_rates_yet)
{
	(void)after(0, 0, 0);
	(void)after(1000, 1000, 0);
	ck_assert(model.has_rate);
	given.pid++;
	(void)after(1000, 1000, 0);
	ck_assert(!model.has_rate);
	ck_assert(!model.sinks[0].has_rate);
	(void)after(1000, 1000, 10);
	ck_assert_uint_eq(model.events_per_s, 1000);
	/* The same process number by chance. */
	given.uptime_ms = 0;
	(void)after(1000, 0, 0);
	ck_assert(!model.has_rate);
}

TEST(a_position_that_was_moved_has_no_rate_yet)
{
	const struct top_sink *s;

	(void)after(0, 0, 0);
	s = after(1000, 100, 100);
	ck_assert_uint_eq(s->events_per_s, 100);
	given.sinks[0].committed = 200; /* a replay */
	given.sinks[0].generation++;
	s = after(1000, 100, 0);
	ck_assert(!s->has_rate);
	ck_assert(model.has_rate);
	s = after(1000, 100, 50);
	ck_assert_uint_eq(s->events_per_s, 50);
	given.sinks[0].generation++; /* a skip */
	s = after(1000, 100, 900);
	ck_assert(!s->has_rate);
	s = after(2000, 100, 30);
	ck_assert_uint_eq(s->events_per_s, 15);
}

TEST(the_estimate_is_lag_by_the_difference_of_the_rates)
{
	const struct top_sink *s;

	given.sinks[0].lag_ms = 60000;
	given.durable = 101000;
	s = after(0, 0, 0);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_UNKNOWN);
	/* A lag of 99,900 events, and 150 - 50 fewer each second. */
	s = after(1000, 50, 150);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_IN);
	ck_assert_uint_eq(s->catch_up_ms, 999000);
	/* Both are as fast over the two seconds: never. */
	s = after(1000, 150, 50);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_NEVER);
	s = after(1000, 0, 1);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_IN);
	ck_assert_uint_eq(s->catch_up_ms, 99999 * 3000);
	given.sinks[0].paused = true;
	s = after(1000, 0, 1);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_PAUSED);
}

TEST(a_sink_that_only_batches_does_not_lag)
{
	const struct top_sink *s;

	given.durable = 2000;
	given.sinks[0].lag_ms = 4999;
	(void)after(0, 0, 0);
	s = after(1000, 500, 0);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_NONE);
	given.sinks[0].lag_ms = 5000;
	s = after(1000, 500, 0);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_NEVER);
	given.sinks[0].committed = given.durable;
	s = after(1000, 0, 0);
	ck_assert_int_eq(s->catch_up, TOP_CATCH_UP_NONE);
}

TEST(the_state_is_that_of_the_sink_unless_it_is_paused)
{
	const struct top_sink *s = after(0, 0, 0);

	ck_assert_str_eq(s->state, "writing");
	given.sinks[0].state = "paused";
	ck_assert_str_eq(after(0, 0, 0)->state, "paused");
	given.sinks[0].state = "disconnected";
	given.sinks[0].own_state = NULL;
	ck_assert_str_eq(after(0, 0, 0)->state, "disconnected");
}

TEST(what_is_no_status_is_refused)
{
	msgpack_object nil = {.type = MSGPACK_OBJECT_NIL};
	msgpack_object map = {.type = MSGPACK_OBJECT_MAP};

	ck_assert_int_eq(top_model_read(&model, &nil), -EBADMSG);
	ck_assert_int_eq(top_model_read(&model, &map), -EBADMSG);
	ck_assert(!model.known);
}

TEST(more_sinks_and_problems_than_fit_are_counted_or_left_out)
{
	given.sink_count = TOP_SINKS_MAX + 2;
	given.problem_count = 100;
	for (size_t i = 0; i < given.sink_count; i++)
		given.sinks[i] = given.sinks[0];
	(void)after(0, 0, 0);
	(void)after(1000, 1, 1);
	ck_assert_uint_eq(model.sink_count, TOP_SINKS_MAX);
	ck_assert_uint_eq(model.problem_count, 100);
	ck_assert_uint_eq(model.problems_kept, TOP_PROBLEMS_MAX);
}

/* --- the order --- */

/* Four sinks, whose names tell what they have the most of. */
static void
give_four(void)
{
	static const char *const names[] = {"calm", "slow", "fast", "dead"};

	given.sink_count = 4;
	for (size_t i = 0; i < 4; i++) {
		given.sinks[i] = given.sinks[0];
		given.sinks[i].name = names[i];
	}
	given.sinks[1].committed = 100;
	given.sinks[3].dead = 7;
	(void)after(0, 0, 0);
	given.sinks[2].committed -= 1;
	given.sinks[3].dead = 8;
	(void)after(1000, 0, 0);
	given.sinks[2].committed += 1;
	given.sinks[1].committed += 10;
	(void)after(1000, 0, 0);
	model.sinks[2].events_per_s = 30;
}

static const char *
order_of(enum top_sort sort)
{
	static char text[200];
	size_t order[TOP_SINKS_MAX], used = 0;

	top_model_order(&model, sort, order);
	for (size_t i = 0; i < model.sink_count; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, " %s",
		                         model.sinks[order[i]].name);
	return text + 1;
}

TEST(the_order_is_by_one_figure_and_else_that_of_the_settings)
{
	give_four();
	ck_assert_str_eq(order_of(TOP_SORT_SETTINGS), "calm slow fast dead");
	ck_assert_str_eq(order_of(TOP_SORT_LAG), "slow calm fast dead");
	ck_assert_str_eq(order_of(TOP_SORT_RATE), "fast slow calm dead");
	ck_assert_str_eq(order_of(TOP_SORT_DEAD), "dead calm slow fast");
}

/* --- keys --- */

TEST(keys_move_the_selection_in_the_order_shown)
{
	static const struct {
		int key;
		const char *selected;
	} steps[] = {
	    {TOP_KEY_UP, "calm"},
	    {TOP_KEY_DOWN, "slow"},
	    {'j', "fast"},
	    {'s', "fast"}, /* by lag */
	    {TOP_KEY_UP, "calm"},
	    {'k', "slow"},
	    {TOP_KEY_LAST, "dead"},
	    {TOP_KEY_DOWN, "dead"},
	    {TOP_KEY_FIRST, "slow"},
	    {TOP_KEY_PAGE_DOWN, "fast"},
	    {TOP_KEY_PAGE_UP, "slow"},
	    {'x', "slow"},
	};

	give_four();
	top_view_follow(&view, &model);
	ck_assert_str_eq(view.selected, "calm");
	view.page_rows = 3;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		ck_assert_int_eq(top_view_on_key(&view, &model, steps[i].key),
		                 TOP_NOTHING);
		ck_assert_msg(strcmp(view.selected, steps[i].selected) == 0,
		              "%zu: %s", i, view.selected);
	}
	ck_assert_int_eq(view.sort, TOP_SORT_LAG);
	for (int i = 0; i < TOP_SORTS; i++)
		(void)top_view_on_key(&view, &model, 's');
	ck_assert_int_eq(view.sort, TOP_SORT_LAG);
}

TEST(a_pause_is_confirmed_for_the_sink_that_the_question_names)
{
	give_four();
	top_view_follow(&view, &model);
	ck_assert_int_eq(top_view_on_key(&view, &model, 'p'), TOP_NOTHING);
	ck_assert_int_eq(view.question, TOP_PAUSE);
	/* Any other key is a no, also one that means something elsewhere. */
	ck_assert_int_eq(top_view_on_key(&view, &model, 'q'), TOP_NOTHING);
	ck_assert_int_eq(view.question, TOP_NO_QUESTION);
	ck_assert_int_eq(top_view_on_key(&view, &model, 'y'), TOP_NOTHING);
	(void)top_view_on_key(&view, &model, 'p');
	/* Meanwhile the sink's row moves, and another one is paused. */
	view.sort = TOP_SORT_DEAD;
	given.sinks[0].paused = true;
	(void)after(1000, 0, 0);
	ck_assert_int_eq(top_view_on_key(&view, &model, 'y'), TOP_ORDER);
	ck_assert_int_eq(view.order, TOP_PAUSE);
	ck_assert_str_eq(view.order_sink, "calm");
	(void)top_view_on_key(&view, &model, 'p');
	ck_assert_int_eq(view.question, TOP_RESUME);
	ck_assert_int_eq(top_view_on_key(&view, &model, 'Y'), TOP_ORDER);
	ck_assert_int_eq(view.order, TOP_RESUME);
	ck_assert_int_eq(top_view_on_key(&view, &model, 'q'), TOP_QUIT);
}

TEST(without_sinks_keys_do_nothing)
{
	static const int keys[] = {'p', 's', 'j', 'k', 'y', TOP_KEY_LAST};

	given.sink_count = 0;
	(void)after(0, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		ck_assert_int_eq(top_view_on_key(&view, &model, keys[i]),
		                 TOP_NOTHING);
	ck_assert_int_eq(view.question, TOP_NO_QUESTION);
	top_page_make(&page, &model, &view);
	ck_assert_uint_eq(page.line_count, 24);
}

TEST(a_sink_that_is_gone_is_not_selected)
{
	give_four();
	(void)snprintf(view.selected, sizeof view.selected, "gone");
	ck_assert_int_eq(top_view_on_key(&view, &model, 'x'), TOP_NOTHING);
	ck_assert_str_eq(view.selected, "calm");
}

/* --- the page --- */

/* The page as one text, without the spaces at the ends of its lines. */
static const char *
page_text(void)
{
	static char text[1 << 20];
	size_t used = 0;

	top_page_make(&page, &model, &view);
	ck_assert_int_eq(page.text.error, 0);
	for (size_t i = 0; i < page.line_count; i++) {
		const char *line = top_page_line(&page, i);
		size_t n = strlen(line);

		while (n > 0 && line[n - 1] == ' ')
			n--;
		ck_assert_uint_lt(used + n + 2, sizeof text);
		memcpy(text + used, line, n);
		used += n;
		text[used++] = '\n';
	}
	text[used] = '\0';
	return text;
}

/* The columns that one line takes on a terminal.  It must be safe. */
static unsigned
columns_of(const char *line)
{
	size_t bytes = strlen(line), n;
	unsigned used = 0;

	for (size_t i = 0; i < bytes; i += n) {
		uint32_t code;
		bool safe;

		n = printable_next(line + i, bytes - i, &code, &safe);
		ck_assert_msg(safe, "%s", line);
		ck_assert_int_ge(wcwidth((wchar_t)code), 0);
		used += (unsigned)wcwidth((wchar_t)code);
	}
	return used;
}

static void
check_widths(void)
{
	ck_assert_uint_eq(page.line_count, page.height);
	for (size_t i = 0; i < page.line_count; i++) {
		const char *line = top_page_line(&page, i);

		ck_assert_msg(columns_of(line) <= page.width, "%u: %s",
		              page.width, line);
	}
}

static void
give_three(void)
{
	given.sink_count = 3;
	for (size_t i = 1; i < 3; i++)
		given.sinks[i] = given.sinks[0];
	given.sinks[1].name = "kafka";
	given.sinks[1].own_state = "retrying";
	given.sinks[1].error = "broker 10.0.0.7:9092: connection refused";
	given.sinks[1].committed = 0;
	given.sinks[1].lag_ms = 754000;
	given.sinks[1].dead = 3;
	given.sinks[2].name = "clickhouse";
	given.sinks[2].state = "paused";
	given.sinks[2].paused = true;
	given.sinks[2].until_us = TIME_US + UINT64_C(7200000000);
	given.sinks[2].why = "migration";
	given.problem_count = 2;
	(void)after(0, 0, 0);
	(void)after(10000, 123450, 123450);
}

#define EMPTY_LINES "\n\n\n"

TEST(the_page_of_a_small_terminal)
{
	give_three();
	ck_assert_str_eq(
	    page_text(),
	    "leat 1.0  2026-11-26 15:00:10Z  batchd pid 4711 up 1h 00m\n"
	    "log  open, 1.3M of 976.6K, 3 segments, offsets 0 .. 124450, fsync "
	    "always\n"
	    "in   12345 events/s, 120.6K/s, rejected 0/s; 2 ingestd, pending 0 "
	    "requests, 503…\n"
	    "PROBLEM sink postgres is retrying\n"
	    "PROBLEM sink postgres is retrying\n"
	    " SINK             STATE         EVENTS/S    LAG   BYTES    TIME "
	    "CATCH-UP    DEAD\n"
	    ">postgres         writing          12345      0      0B   0.0 s "
	    "       -       0\n"
	    " kafka            retrying             0   124k   11.9M 12m 34s "
	    "   never       3\n"
	    " clickhouse       paused               0   123k   11.8M   0.0 s "
	    "  paused       0\n"
	    "postgres: committed 124450, skipped 0, replayed 0, dead letters "
	    "0, "
	    "dropped 0, r…\n" EMPTY_LINES EMPTY_LINES EMPTY_LINES EMPTY_LINES
	    "\n"
	    "q quit  s sort: settings  p pause, resume  up, down select\n");
	check_widths();
	ck_assert_int_eq(page.lines[7].style, TOP_BAD);
	ck_assert_int_eq(page.lines[8].style, TOP_PAUSED);
	ck_assert(page.lines[6].selected && !page.lines[7].selected);
}

TEST(the_page_of_a_large_terminal)
{
	give_three();
	page.width = 200;
	page.height = 12;
	ck_assert_str_eq(
	    page_text(),
	    "leat 1.0  2026-11-26 15:00:10Z  batchd pid 4711 up 1h 00m\n"
	    "log  open, 1.3M of 976.6K, 3 segments, offsets 0 .. 124450, fsync "
	    "always\n"
	    "in   12345 events/s, 120.6K/s, rejected 0/s; 2 ingestd, pending 0 "
	    "requests, 503 0\n"
	    "PROBLEM sink postgres is retrying\n"
	    "PROBLEM sink postgres is retrying\n"
	    " SINK             STATE         EVENTS/S    LAG   BYTES    TIME "
	    "CATCH-UP    DEAD  RETRIES       COMMITTED NOTE\n"
	    ">postgres         writing          12345      0      0B   0.0 s "
	    "       -       0        0          124450\n"
	    " kafka            retrying             0   124k   11.9M 12m 34s "
	    "   never       3        0               0 broker 10.0.0.7:9092: "
	    "connection refused\n"
	    " clickhouse       paused               0   123k   11.8M   0.0 s "
	    "  paused       0        0            1000 paused until 2026-11-26 "
	    "16:00:00Z since 2026-11-26 14:00:00Z by uid 0: migration\n"
	    "postgres: committed 124450, skipped 0, replayed 0, dead letters "
	    "0, "
	    "dropped 0, retries 0\n"
	    "\n"
	    "q quit  s sort: settings  p pause, resume  up, down select\n");
	check_widths();
}

TEST(the_page_of_a_tiny_terminal)
{
	give_three();
	page.width = 20;
	page.height = 5;
	ck_assert_str_eq(page_text(), "leat 1.0  2026-11-2…\n"
	                              " 1-2/3     STATE\n"
	                              ">postgres  writing\n"
	                              " kafka     retrying\n"
	                              "q quit  s sort: set…\n");
	check_widths();
	/* The selected sink is always among the rows. */
	(void)top_view_on_key(&view, &model, TOP_KEY_LAST);
	(void)top_view_on_key(&view, &model, 'p');
	ck_assert_str_eq(page_text(), "leat 1.0  2026-11-2…\n"
	                              " 2-3/3     STATE\n"
	                              " kafka     retrying\n"
	                              ">clickhou… paused\n"
	                              "y/n: resume clickho…\n");
	check_widths();
}

TEST(below_the_table_is_more_about_the_selected_sink)
{
	give_three();
	page.height = 16;
	(void)top_view_on_key(&view, &model, TOP_KEY_DOWN);
	given.sinks[1].error =
	    "a long text that takes more than one line of this terminal, "
	    "because the store has much to tell, and its end matters most";
	(void)after(0, 0, 0);
	(void)page_text();
	ck_assert_str_eq(top_page_line(&page, 10),
	                 "since 2026-11-26 14:00:00Z: a long text that takes "
	                 "more than one line of this te");
	ck_assert_str_eq(top_page_line(&page, 11),
	                 "rminal, because the store has much to tell, and its "
	                 "end matters most");
	(void)top_view_on_key(&view, &model, TOP_KEY_DOWN);
	(void)page_text();
	ck_assert_str_eq(top_page_line(&page, 10),
	                 "paused until 2026-11-26 16:00:00Z since 2026-11-26 "
	                 "14:00:00Z by uid 0: migration");
}

TEST(an_unreachable_batchd_is_shown_first)
{
	page.height = 6;
	(void)snprintf(view.trouble, sizeof view.trouble, "batchd unreachable");
	ck_assert_str_eq(page_text(),
	                 "batchd unreachable\n\n\n\n\n"
	                 "q quit  s sort: settings  p pause, resume  up, down "
	                 "select\n");
	(void)after(0, 0, 0);
	(void)page_text();
	ck_assert_str_eq(top_page_line(&page, 0), "batchd unreachable");
	ck_assert_int_eq(page.lines[4].style, TOP_OLD);
	check_widths();
}

TEST(an_order_that_is_carried_out_is_shown_as_the_state)
{
	given.sinks[0].order = "pausing";
	(void)after(0, 0, 0);
	ck_assert_ptr_nonnull(
	    strstr(page_text(), ">postgres         pausing  "));
}

TEST(hostile_texts_do_not_act_on_the_terminal)
{
	static const char hostile[] = "\x1b[2J\x9b"
				      "31m\xe2\x80\xae東京\n\xff";

	given.sinks[0].name = hostile;
	given.sinks[0].own_state = hostile;
	given.sinks[0].error = hostile;
	given.sinks[0].why = hostile;
	given.sinks[0].order = hostile;
	given.sinks[0].paused = true;
	(void)after(0, 0, 0);
	(void)top_view_on_key(&view, &model, 'p');
	for (page.width = 1; page.width < 250; page.width += 7) {
		for (page.height = 1; page.height < 40; page.height++) {
			(void)page_text();
			check_widths();
		}
	}
	(void)snprintf(view.message, sizeof view.message, "%s", hostile);
	(void)snprintf(view.trouble, sizeof view.trouble, "%s", hostile);
	view.question = TOP_NO_QUESTION;
	page.width = 200;
	page.height = 30;
	(void)page_text();
	check_widths();
}

TEST(wide_characters_take_two_columns_of_a_cell)
{
	given.sinks[0].name = "東京都東京都東京都";
	(void)after(0, 0, 0);
	ck_assert_ptr_nonnull(
	    strstr(page_text(), ">東京都東京都東…  writing "));
}

/* Random statuses on terminals of random sizes. */
TEST_LOOP(every_page_fits, 300)
{
	static char names[20][80], errors[20][1200];

	if ((unsigned)_i % test_stride() != 0)
		return;
	srandom((unsigned)_i);
	given.sink_count = (size_t)random() % 20;
	given.problem_count = (size_t)random() % 20;
	for (size_t i = 0; i < given.sink_count; i++) {
		size_t n = (size_t)random() % 79;

		for (size_t k = 0; k < n; k++)
			names[i][k] = (char)(1 + random() % 255);
		names[i][n] = '\0';
		n = (size_t)random() % 1100;
		for (size_t k = 0; k < n; k++)
			errors[i][k] = (char)(1 + random() % 255);
		errors[i][n] = '\0';
		given.sinks[i] = given.sinks[0];
		given.sinks[i].name = names[i];
		given.sinks[i].error = random() % 2 ? errors[i] : NULL;
		given.sinks[i].paused = random() % 3 == 0;
		given.sinks[i].lag_ms = (uint64_t)random() << random() % 33;
		given.sinks[i].dead = (uint64_t)random() << random() % 33;
	}
	(void)after(0, 0, 0);
	(void)after((uint64_t)random() % 100000, (uint64_t)random(), 0);
	for (int i = 0; i < 20; i++) {
		(void)top_view_on_key(&view, &model,
		                      i % 2 ? TOP_KEY_DOWN : 's');
		page.width = 1 + (unsigned)random() % 300;
		page.height = 1 + (unsigned)random() % 80;
		(void)page_text();
		check_widths();
		if (given.sink_count > 0 && page.height > 4)
			ck_assert_uint_gt(view.page_rows, 0);
	}
}
