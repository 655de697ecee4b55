/* test_tail_rows - events as rows of a terminal, and as lines of JSON. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "leat/tail_rows.h"
#include "libbase/printable.h"
#include "tests/support/test.h"

/* 2026-11-26T14:00:00.123456Z */
#define TIME INT64_C(1795701600123456)
#define DAY (INT64_C(86400) * 1000000)

static struct buf out;
static struct tail_table table;

static void
setup(void)
{
	buf_init(&out, 4 * MIB);
	tail_table_start(&table, 80);
}

static void
teardown(void)
{
	buf_fini(&out);
	(void)setlocale(LC_CTYPE, "C");
}

TEST_CASE(rows, .setup = setup, .teardown = teardown);

static struct event
event_of(const char *type, const char *user, const char *payload)
{
	return (struct event){.id = slice_of("order-7"),
	                      .type = slice_of(type),
	                      .user_id =
	                          user ? slice_of(user) : (struct slice){0},
	                      .payload = slice_of(payload),
	                      .created_at_us = 1000000,
	                      .received_at_us = TIME};
}

/* What was appended since the last call.  Valid until the next one. */
static const char *
taken(void)
{
	static char text[64 * KIB];

	ck_assert_int_eq(out.error, 0);
	ck_assert_uint_lt(out.len, sizeof text);
	memcpy(text, out.data, out.len);
	text[out.len] = '\0';
	buf_clear(&out);
	return text;
}

static const char *
row_of(const char *type, const char *user, const char *payload)
{
	struct event e = event_of(type, user, payload);

	table.day = TIME / DAY;
	tail_table_row(&table, &out, &e);
	return taken();
}

/* The columns that one line takes on a terminal.  It must be safe. */
static unsigned
columns_of(const char *line)
{
	size_t bytes = strlen(line), n;
	unsigned columns = 0;

	ck_assert_uint_gt(bytes, 0);
	ck_assert_int_eq(line[bytes - 1], '\n');
	for (size_t i = 0; i < bytes - 1; i += n) {
		uint32_t code;
		bool safe;

		n = printable_next(line + i, bytes - i, &code, &safe);
		ck_assert_msg(safe, "%s", line);
		ck_assert_int_ge(wcwidth((wchar_t)code), 0);
		columns += (unsigned)wcwidth((wchar_t)code);
	}
	return columns;
}

TEST(a_row_has_time_type_user_and_payload)
{
	struct event e = event_of("order", "ann", "{\"sum\":12.50}");

	tail_table_header(&table, &out);
	tail_table_row(&table, &out, &e);
	tail_table_row(&table, &out, &e);
	e.received_at_us += DAY;
	e.user_id.data = NULL;
	e.user_id.bytes = 0;
	tail_table_row(&table, &out, &e);
	ck_assert_str_eq(
	    taken(),
	    "TIME (UTC)    TYPE           USER        PAYLOAD\n"
	    "2026-11-26\n"
	    "14:00:00.123  order          ann         {\"sum\":12.50}\n"
	    "14:00:00.123  order          ann         {\"sum\":12.50}\n"
	    "2026-11-27\n"
	    "14:00:00.123  order                      {\"sum\":12.50}\n");
}

TEST(what_does_not_fit_is_cut)
{
	ck_assert_str_eq(
	    row_of("a-type-of-14ch", "a-user-of-11",
	           "{\"a\":\"0123456789012345678901234567890123456789\"}"),
	    "14:00:00.123  a-type-of-14…  a-user-of…  "
	    "{\"a\":\"01234567890123456789012345678901…\n");
	ck_assert_str_eq(row_of("a-type-of-13c", "a-user-10c",
	                        "{\"a\":\"0123456789012345678901234567890\"}"),
	                 "14:00:00.123  a-type-of-13c  a-user-10c  "
	                 "{\"a\":\"0123456789012345678901234567890\"}\n");
}

static const struct {
	const char *text, *shown;
} hostile[] = {
    {"\x1b[2J", "⟨U+001B⟩[2J"},
    {"a\x07", "a⟨U+0007⟩"},
    {"a\nb", "a⟨U+000A⟩b"},
    {"a\rb", "a⟨U+000D⟩b"},
    {"\x7f", "⟨U+007F⟩"},
    {"\xc2\x9b"
     "31m",
     "⟨U+009B⟩31m"},
    {"\xe2\x80\xae"
     "abc",
     "⟨U+202E⟩abc"},
    {"\xe2\x81\xa6", "⟨U+2066⟩"},
    {"\xe2\x80\xa8", "⟨U+2028⟩"},
    {"\xef\xbb\xbf", "⟨U+FEFF⟩"},
    {"\xf3\xa0\x81\x81", "⟨U+E0041⟩"},
    {"\x9b"
     "31m",
     "⟨0x9B⟩31m"},
    {"\xff", "⟨0xFF⟩"},
    {"\xc3", "⟨0xC3⟩"},
    {"\xed\xa0\x80", "⟨0xED⟩⟨0xA0⟩⟨0x80⟩"},
    {"\xc0\x80", "⟨0xC0⟩⟨0x80⟩"},
    {"\xf4\x90\x80", "⟨0xF4⟩⟨0x90⟩⟨0x80⟩"},
    /* Without a character before it, a mark would change the blank. */
    {"\xcc\x81"
     "a",
     "⟨U+0301⟩a"},
    {"\x1b\xcc\x81", "⟨U+001B⟩⟨U+0301⟩"},
    {"a\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81"
     "\xcc\x81\xcc\x81",
     "⟨U+0301⟩⟨U+0301⟩"},
    /* Not assigned, so that no terminal knows how wide it is. */
    {"\xcd\xb8", "⟨U+0378⟩"},
    /* What is harmless is kept. */
    {"e\xcc\x81", "e\xcc\x81"},
    {"東京", "東京"},
    {"👩‍🔬", "👩‍🔬"},
};

TEST_LOOP(what_could_act_on_the_terminal_is_escaped, ARRAY_LEN(hostile))
{
	const char *row, *found;

	table.width = 300;
	row = row_of(hostile[_i].text, hostile[_i].text, "{}");
	(void)columns_of(row);
	found = strstr(row, hostile[_i].shown);
	ck_assert_msg(found != NULL, "%s", row);
	ck_assert_msg(strstr(found + 1, hostile[_i].shown), "%s", row);
}

TEST(line_breaks_of_a_payload_are_spaces)
{
	table.width = 200;
	ck_assert_str_eq(
	    row_of("t", "u", "{\n\t\"a\": 1,\r\n    \"b\":  \"x  y\"\n}") +
		strlen("14:00:00.123  ") + 24 + 2 + 20 + 2,
	    "{ \"a\": 1, \"b\":  \"x  y\" }\n");
}

TEST(wide_characters_count_twice)
{
	/* 13 columns of type: six wide characters, of which the last is cut. */
	ck_assert_str_eq(row_of("東京都東京都東京都", "é", "{}"),
	                 "14:00:00.123  東京都東京都…  é           {}\n");
	ck_assert_uint_eq(
	    columns_of(row_of("東京都東京都東京都", "東京都東京都東京都",
	                      "{\"東京都東京都東京都東京都東京"
	                      "都東京都東京都東京都東京都\":1}")),
	    80);
}

TEST(marks_without_a_width_are_limited)
{
	char text[2 * 5000 + 2] = "a";
	const char *row;

	for (size_t i = 1; i < sizeof text - 1; i += 2)
		memcpy(text + i, "\xcc\x81", 2);
	row = row_of("t", "u", text);
	ck_assert_uint_le(columns_of(row), 80);
	ck_assert_uint_lt(strlen(row), 400);
}

/* Random bytes, with many of what is at the edges of UTF-8. */
TEST_LOOP(any_bytes_make_one_safe_row_that_fits, 200)
{
	static const char *const parts[] = {"\x1b]0;x\x07",
	                                    "\xc2\x9b",
	                                    "\xe2\x80\xae",
	                                    "東",
	                                    "e\xcc\x81",
	                                    "\xcc\x81",
	                                    "\xff",
	                                    "abc",
	                                    "\n",
	                                    "\xf0\x9f\x91\xa9",
	                                    "\xe2\x80\x8d",
	                                    "\xf0\x9f",
	                                    "\t"};
	char text[4000];
	size_t n = 0;

	srandom((unsigned)_i);
	table.width = 26 + (unsigned)random() % 200;
	while (n < sizeof text - 20) {
		if (random() % 4 == 0) {
			text[n++] = (char)(1 + random() % 255);
		} else {
			const char *part =
			    parts[(size_t)random() % ARRAY_LEN(parts)];

			memcpy(text + n, part, strlen(part));
			n += strlen(part);
		}
	}
	text[n] = '\0';
	ck_assert_uint_le(columns_of(row_of(text, text, text)), table.width);
}

/* --- JSON --- */

static const char *
json_of(const struct event *e, bool for_terminal)
{
	ck_assert_int_eq(tail_json_line(&out, 131072, e, for_terminal), 0);
	return taken();
}

TEST(a_line_of_json_has_the_offset_and_the_event)
{
	struct event e = event_of("order", NULL, "{\"sum\":12.50}");

	ck_assert_str_eq(json_of(&e, false),
	                 "{\"offset\":131072,\"id\":\"order-7\",\"type\":"
	                 "\"order\",\"user_id\":null,\"payload\":{\"sum\":12."
	                 "50},\"created_at\":\"1970-01-01T00:00:01.000000Z\","
	                 "\"received_at\":\"2026-11-26T14:00:00.123456Z\"}\n");
}

TEST(json_of_a_payload_with_line_breaks_is_one_line)
{
	struct event e = event_of("t", "u", "{\r\n\t\"a\": \"\\n\"\n}");

	ck_assert_ptr_nonnull(
	    strstr(json_of(&e, false), "\"payload\":{   \"a\": \"\\n\" },"));
}

TEST(json_for_a_program_keeps_the_characters)
{
	struct event e =
	    event_of("\x1b[2J", "\xe2\x80\xae", "{\"a\":\"\xc2\x9b\"}");
	const char *line = json_of(&e, false);

	ck_assert_ptr_nonnull(strstr(line, "\"type\":\"\\u001b[2J\""));
	ck_assert_ptr_nonnull(strstr(line, "\"user_id\":\"\xe2\x80\xae\""));
	ck_assert_ptr_nonnull(strstr(line, "{\"a\":\"\xc2\x9b\"}"));
}

TEST(json_for_a_terminal_is_escaped)
{
	struct event e = event_of("\x1b[2J", "\xe2\x80\xae",
	                          "{\"\xf3\xa0\x81\x81\":\"\xc2\x9b\x7f東\"}");
	const char *line = json_of(&e, true);

	ck_assert_ptr_nonnull(strstr(line, "\"type\":\"\\u001b[2J\""));
	ck_assert_ptr_nonnull(strstr(line, "\"user_id\":\"\\u202e\""));
	ck_assert_ptr_nonnull(
	    strstr(line, "{\"\\udb40\\udc41\":\"\\u009b\\u007f東\"}"));
	e = event_of("\xff", "u", "{}");
	ck_assert_ptr_nonnull(strstr(json_of(&e, true), "\"\\ufffd\""));
}

TEST(the_largest_event_fits)
{
	static char payload[EVENT_PACKED_MAX + 1];
	struct event e;

	memset(payload, '\xff', sizeof payload - 1);
	e = event_of("t", "u", payload);
	ck_assert_int_eq(tail_json_line(&out, 1, &e, true), 0);
	ck_assert_uint_le(out.len, TAIL_ROW_MAX);
}

TEST(a_line_that_has_no_room_is_left_out)
{
	struct event e = event_of("order", "ann", "{\"sum\":12.50}");
	struct buf small;

	buf_init(&small, 200);
	ck_assert_int_eq(tail_json_line(&small, 1, &e, false), 0);
	ck_assert_int_eq(tail_json_line(&small, 2, &e, false), -EMSGSIZE);
	ck_assert_uint_lt(small.len, 200);
	ck_assert_int_eq(small.data[small.len - 1], '\n');
	buf_fini(&small);
}
