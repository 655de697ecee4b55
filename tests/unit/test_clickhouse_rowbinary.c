/*
 * test_clickhouse_rowbinary - the bytes of a row, and the values that are
 * refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-clickhouse/rowbinary.h"
#include "tests/support/test.h"

static struct buf out;
static struct column_type types[FIELD_COUNT];
static struct event event;
static enum event_field field;
static const char *why;

static struct slice
slice(const char *text)
{
	return (struct slice){text, (uint32_t)strlen(text)};
}

static void
set_type(enum event_field f, const char *text)
{
	ck_assert_int_eq(column_type_parse(text, strlen(text), &types[f]), 0);
	ck_assert(column_type_holds(&types[f], f));
}

static void
setup(void)
{
	buf_init(&out, 4096);
	for (int f = FIELD_ID; f <= FIELD_PAYLOAD; f++)
		set_type((enum event_field)f, "String");
	set_type(FIELD_CREATED_AT, "Int64");
	set_type(FIELD_RECEIVED_AT, "Int64");
	event = (struct event){.id = slice("i"),
	                       .type = slice("t"),
	                       .user_id = slice("u"),
	                       .payload = slice("{}"),
	                       .created_at_us = 1999,
	                       .received_at_us = 256000};
}

static void
teardown(void)
{
	buf_fini(&out);
}

TEST_CASE(rows, .setup = setup, .teardown = teardown);

static int
add_event(void)
{
	return rowbinary_add(&out, types, &event, &field, &why);
}

#define ck_assert_row(text)                                                    \
	do {                                                                   \
		ck_assert_int_eq(add_event(), 0);                              \
		ck_assert_uint_eq(out.len, sizeof(text) - 1);                  \
		ck_assert_mem_eq(out.data, text, sizeof(text) - 1);            \
	} while (0)

TEST(writes_strings_and_milliseconds)
{
	ck_assert_row("\1i\1t\1u\2{}\1\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0");
}

TEST(writes_long_lengths_in_seven_bits_a_byte)
{
	static char text[300];

	memset(text, 'x', sizeof text);
	event.payload = (struct slice){text, sizeof text};
	ck_assert_int_eq(add_event(), 0);
	ck_assert_mem_eq(out.data + 6, "\xac\x02xx", 4);
	ck_assert_uint_eq(out.len, 6 + 2 + 300 + 16);
}

TEST(marks_nulls_where_the_column_can_hold_them)
{
	set_type(FIELD_USER_ID, "LowCardinality(Nullable(String))");
	set_type(FIELD_TYPE, "Nullable(String)");
	event.user_id = (struct slice){NULL, 0};
	ck_assert_row("\1i\0\1t\1\2{}"
	              "\1\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0");
}

TEST(writes_a_null_as_the_default_elsewhere)
{
	event.user_id = (struct slice){NULL, 0};
	ck_assert_row("\1i\1t\0\2{}\1\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0");
	buf_clear(&out);
	set_type(FIELD_USER_ID, "FixedString(2)");
	ck_assert_row("\1i\1t\0\0\2{}\1\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0");
	buf_clear(&out);
	set_type(FIELD_USER_ID, "UUID");
	ck_assert_int_eq(add_event(), 0);
	ck_assert_mem_eq(out.data + 4, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

TEST(writes_a_uuid_as_two_little_endian_halves)
{
	static const char *const texts[] = {
	    "00112233-4455-6677-8899-aabbccddeeff",
	    "00112233-4455-6677-8899-AABBCCDDEEFF",
	    "00112233445566778899aabbccddeeff",
	};

	set_type(FIELD_ID, "UUID");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		buf_clear(&out);
		event.id = slice(texts[i]);
		ck_assert_int_eq(add_event(), 0);
		ck_assert_mem_eq(out.data,
		                 "\x77\x66\x55\x44\x33\x22\x11\0"
		                 "\xff\xee\xdd\xcc\xbb\xaa\x99\x88",
		                 16);
	}
}

TEST(refuses_what_is_not_a_uuid)
{
	static const char *const texts[] = {
	    "x",
	    "00112233-4455-6677-8899-aabbccddeef",
	    "00112233-4455-6677-8899-aabbccddeeff0",
	    "00112233-4455-6677-8899-aabbccddeefg",
	    "00112233+4455-6677-8899-aabbccddeeff",
	    "0011223344-55-6677-8899-aabbccddeeff",
	    "0011223344556677-8899-aabbccddeeff-",
	    "------------------------------------",
	};

	set_type(FIELD_ID, "UUID");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		event.id = slice(texts[i]);
		ck_assert_msg(add_event() == -EINVAL, "%s", texts[i]);
		ck_assert_int_eq(field, FIELD_ID);
		ck_assert_str_eq(why, "is not a UUID");
		ck_assert_uint_eq(out.len, 0);
	}
}

TEST(pads_fixed_strings_and_refuses_longer_ones)
{
	set_type(FIELD_TYPE, "FixedString(3)");
	ck_assert_row("\1it\0\0\1u\2{}\1\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0");
	buf_clear(&out);
	event.type = slice("four");
	ck_assert_int_eq(add_event(), -EINVAL);
	ck_assert_int_eq(field, FIELD_TYPE);
	ck_assert_uint_eq(out.len, 0);
}

static uint64_t
created_at(const char *type, int64_t us, size_t bytes)
{
	uint64_t v = 0;

	buf_clear(&out);
	set_type(FIELD_CREATED_AT, type);
	event.created_at_us = us;
	ck_assert_int_eq(add_event(), 0);
	for (size_t i = bytes; i-- > 0;)
		v = v << 8 | out.data[9 + i];
	return v;
}

TEST(writes_times_to_the_precision_of_the_column)
{
	const int64_t us = INT64_C(1767225599123456);

	ck_assert_uint_eq(created_at("DateTime", us, 4), 1767225599);
	ck_assert_uint_eq(created_at("DateTime64(0)", us, 8), 1767225599);
	ck_assert_uint_eq(created_at("DateTime64(3)", us, 8), 1767225599123);
	ck_assert_uint_eq(created_at("DateTime64(6)", us, 8), us);
	ck_assert_uint_eq(created_at("DateTime64(9)", us, 8),
	                  UINT64_C(1767225599123456000));
	ck_assert_uint_eq(created_at("UInt64", us, 8), 1767225599123);
	ck_assert_uint_eq(created_at("Int64", EVENT_TIME_MAX_US, 8),
	                  UINT64_C(253402300799999));
}

TEST(refuses_times_that_the_column_cannot_hold)
{
	static const struct {
		const char *type;
		int64_t last_us;
	} cases[] = {
	    {"DateTime", INT64_C(4294967295999999)},
	    {"DateTime64(3)", INT64_C(10413791999999999)},
	    {"DateTime64(8)", INT64_C(10413791999999999)},
	    {"DateTime64(9)", INT64_C(9223372036854775)},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)created_at(cases[i].type, cases[i].last_us, 4);
		buf_clear(&out);
		event.created_at_us++;
		ck_assert_int_eq(add_event(), -EINVAL);
		ck_assert_int_eq(field, FIELD_CREATED_AT);
		ck_assert_uint_eq(out.len, 0);
	}
}

TEST(reports_a_full_body_and_leaves_it_unchanged)
{
	size_t rows = 0, len = 0;
	int rc;

	while ((rc = add_event()) == 0) {
		rows++;
		len = out.len;
	}
	ck_assert_int_eq(rc, -EMSGSIZE);
	ck_assert_uint_gt(rows, 1);
	ck_assert_uint_eq(out.len, len);
}
