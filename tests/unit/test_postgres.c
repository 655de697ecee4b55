/* test_postgres - rows in the binary format, and the classes of SQLSTATEs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libproto/frame.h"
#include "sinkd-postgres/connection.h"
#include "sinkd-postgres/copy.h"
#include "sinkd-postgres/jsonb_number.h"
#include "tests/support/test.h"

static const uint8_t uuid[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
                                 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67,
                                 0x89, 0xab, 0xcd, 0xef};

static int
parse(const char *text)
{
	uint8_t out[16];
	struct slice s = slice_of(text);
	int rc = copy_parse_uuid(&s, out);

	if (rc == 0)
		ck_assert_mem_eq(out, uuid, sizeof uuid);
	return rc;
}

TEST(reads_a_uuid_as_postgres_does)
{
	ck_assert_int_eq(parse("01234567-89ab-cdef-0123-456789abcdef"), 0);
	ck_assert_int_eq(parse("01234567-89AB-CDEF-0123-456789ABCDEF"), 0);
	ck_assert_int_eq(parse("{01234567-89ab-cdef-0123-456789abcdef}"), 0);
	ck_assert_int_eq(parse("0123456789abcdef0123456789abcdef"), 0);
	ck_assert_int_eq(parse("0123-4567-89ab-cdef-0123-4567-89ab-cdef"), 0);
	ck_assert_int_eq(parse("{0123456789abcdef-0123456789abcdef}"), 0);
}

TEST(refuses_a_uuid_as_postgres_does)
{
	static const char *const bad[] = {
	    "",
	    "{",
	    "{}",
	    "-",
	    "0123456789abcdef0123456789abcde",
	    "0123456789abcdef0123456789abcdef0",
	    "0123456789abcdef0123456789abcdef-",
	    "-0123456789abcdef0123456789abcdef",
	    "012-3456789abcdef0123456789abcdef",
	    "0123--456789abcdef0123456789abcdef",
	    "g123456789abcdef0123456789abcdef",
	    "{0123456789abcdef0123456789abcdef",
	    "0123456789abcdef0123456789abcdef}",
	    "{0123456789abcdef0123456789abcdef}}",
	    " 0123456789abcdef0123456789abcdef",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(parse(bad[i]), -EINVAL);
}

static struct event
sample(void)
{
	return (struct event){
	    .id = slice_of("01234567-89ab-cdef-0123-456789abcdef"),
	    .type = slice_of("click"),
	    .payload = slice_of("{}"),
	    .created_at_us = INT64_C(946684800000001),
	    .received_at_us = INT64_C(946684800123999)};
}

TEST(writes_a_row_of_text_jsonb_and_timestamps)
{
	static const char want[] = "\0\6"
				   "\0\0\0\x24"
				   "01234567-89ab-cdef-0123-456789abcdef"
				   "\0\0\0\5click"
				   "\xff\xff\xff\xff"
				   "\0\0\0\3\1{}"
				   "\0\0\0\x08\0\0\0\0\0\0\0\1"
				   "\0\0\0\x08\0\0\0\0\0\1\xe4\x5f";
	struct copy_columns c = {{[FIELD_PAYLOAD] = COPY_JSONB,
	                          [FIELD_CREATED_AT] = COPY_TIMESTAMP,
	                          [FIELD_RECEIVED_AT] = COPY_TIMESTAMP}};
	struct event e = sample();
	struct buf out;

	buf_init(&out, 1000);
	ck_assert_int_eq(copy_add_row(&out, &c, &e, NULL), 0);
	ck_assert_uint_eq(out.len, sizeof want - 1);
	ck_assert_mem_eq(out.data, want, sizeof want - 1);
	buf_fini(&out);
}

TEST(writes_a_row_of_uuids_and_milliseconds)
{
	static const char tail[] = "\0\0\0\2{}"
				   "\0\0\0\x08\0\0\0\xdc\x6a\xcf\xac\0"
				   "\0\0\0\x08\0\0\0\xdc\x6a\xcf\xac\x7b";
	struct copy_columns c = {{[FIELD_ID] = COPY_UUID,
	                          [FIELD_USER_ID] = COPY_UUID,
	                          [FIELD_CREATED_AT] = COPY_INT8_MS,
	                          [FIELD_RECEIVED_AT] = COPY_INT8_MS}};
	struct event e = sample();
	struct buf out;

	e.user_id = e.id;
	buf_init(&out, 1000);
	ck_assert_int_eq(copy_add_row(&out, &c, &e, NULL), 0);
	ck_assert_uint_eq(out.len, 2 + 20 + 9 + 20 + sizeof tail - 1);
	ck_assert_mem_eq(out.data + 2, "\0\0\0\x10", 4);
	ck_assert_mem_eq(out.data + 6, uuid, 16);
	ck_assert_mem_eq(out.data + 2 + 20 + 9 + 4, uuid, 16);
	ck_assert_mem_eq(out.data + 2 + 20 + 9 + 20, tail, sizeof tail - 1);
	buf_fini(&out);
}

TEST(distinguishes_an_empty_user_id_from_none)
{
	struct copy_columns c = {{0}};
	struct event e = sample();
	struct buf none, empty;

	c.kind[FIELD_CREATED_AT] = c.kind[FIELD_RECEIVED_AT] = COPY_TIMESTAMP;
	buf_init(&none, 1000);
	buf_init(&empty, 1000);
	ck_assert_int_eq(copy_add_row(&none, &c, &e, NULL), 0);
	e.user_id = slice_of("");
	ck_assert_int_eq(copy_add_row(&empty, &c, &e, NULL), 0);
	ck_assert_uint_eq(none.len, empty.len);
	ck_assert_mem_eq(none.data + 2 + 40 + 9, "\xff\xff\xff\xff", 4);
	ck_assert_mem_eq(empty.data + 2 + 40 + 9, "\0\0\0\0", 4);
	buf_fini(&none);
	buf_fini(&empty);
}

TEST(finds_the_first_event_that_a_uuid_column_cannot_hold)
{
	struct copy_columns c = {{[FIELD_USER_ID] = COPY_UUID}};
	struct event e[3] = {sample(), sample(), sample()};
	enum event_field field = FIELD_COUNT;

	e[0].id = e[1].id = slice_of("no uuid");
	ck_assert_uint_eq(copy_check(&c, e, 3, &field), 3);
	e[2].user_id = slice_of("no uuid");
	ck_assert_uint_eq(copy_check(&c, e, 3, &field), 2);
	ck_assert_int_eq(field, FIELD_USER_ID);
	c.kind[FIELD_ID] = COPY_UUID;
	ck_assert_uint_eq(copy_check(&c, e, 3, &field), 0);
	ck_assert_int_eq(field, FIELD_ID);
}

TEST(knows_which_numbers_jsonb_holds)
{
	static const char *const fit[] = {"{}",
	                                  "{\"a\":0}",
	                                  "{\"a\":1e131071}",
	                                  "{\"a\":-9.99E+131071}",
	                                  "{\"a\":1e-16383}",
	                                  "{\"a\":0.1e-16382}",
	                                  "{\"a\":0e200000}",
	                                  "{\"a\":0e1073741823}",
	                                  "{\"a\":0.0000001e131078}",
	                                  "{\"a\":\"1e200000\"}",
	                                  "{\"1e200000\":\"\\\"1e200000\"}",
	                                  "{\"a\":[true,1e5,{\"e\":false}]}"};
	static const char *const not_fit[] = {
	    "{\"a\":1e131072}",
	    "{\"a\":-1e200000}",
	    "{\"a\":1E+131072}",
	    "{\"a\":1e-16384}",
	    "{\"a\":0e-16384}",
	    "{\"a\":0.1e-16383}",
	    "{\"a\":10e131071}",
	    "{\"a\":0e1073741824}",
	    "{\"a\":1e99999999999999999999999}",
	    "{\"a\":1e-99999999999999999999999}",
	    "{\"a\":\"\\\\\",\"b\":[[{\"c\":[1,1e131072]}]]}"};

	for (size_t i = 0; i < ARRAY_LEN(fit); i++)
		ck_assert_msg(jsonb_numbers_fit(slice_of(fit[i])), "%s",
		              fit[i]);
	for (size_t i = 0; i < ARRAY_LEN(not_fit); i++)
		ck_assert_msg(!jsonb_numbers_fit(slice_of(not_fit[i])), "%s",
		              not_fit[i]);
}

/* Without an exponent only a long text can have such a number. */
TEST(knows_which_long_numbers_jsonb_holds)
{
	static char text[140000];

	for (int i = 16383; i <= 16384; i++) {
		(void)snprintf(text, sizeof text, "{\"a\":0.%0*d}", i, 0);
		ck_assert_int_eq(jsonb_numbers_fit(slice_of(text)), i == 16383);
	}
	for (int i = 131072; i <= 131073; i++) {
		(void)snprintf(text, sizeof text, "{\"a\":1%0*d}", i - 1, 0);
		ck_assert_int_eq(jsonb_numbers_fit(slice_of(text)),
		                 i == 131072);
	}
}

TEST(adds_the_header_and_the_trailer_of_the_format)
{
	struct buf out;

	buf_init(&out, 100);
	ck_assert_int_eq(copy_add_header(&out), 0);
	ck_assert_int_eq(copy_add_trailer(&out), 0);
	ck_assert_uint_eq(out.len, 21);
	ck_assert_mem_eq(out.data, "PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff",
	                 21);
	buf_fini(&out);
}

TEST(classifies_sqlstates)
{
	static const struct {
		const char *state;
		enum sink_result result;
	} cases[] = {
	    {"22P02", SINK_REJECT},        {"22021", SINK_REJECT},
	    {"23502", SINK_REJECT},        {"23505", SINK_REJECT},
	    {"54000", SINK_REJECT},        {"P0001", SINK_REJECT},
	    {"42P01", SINK_MISCONFIGURED}, {"42501", SINK_MISCONFIGURED},
	    {"28P01", SINK_MISCONFIGURED}, {"3D000", SINK_MISCONFIGURED},
	    {"0A000", SINK_MISCONFIGURED}, {"P0002", SINK_MISCONFIGURED},
	    {"53100", SINK_UNREACHABLE},   {"57P01", SINK_UNREACHABLE},
	    {"57014", SINK_UNREACHABLE},   {"08006", SINK_UNREACHABLE},
	    {"40001", SINK_UNREACHABLE},   {"40P01", SINK_UNREACHABLE},
	    {"25006", SINK_UNREACHABLE},   {"55P03", SINK_UNREACHABLE},
	    {"58030", SINK_UNREACHABLE},   {"XX000", SINK_UNREACHABLE},
	    {"", SINK_UNREACHABLE},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_int_eq(pg_classify_sqlstate(cases[i].state),
		                 cases[i].result);
}

static const char *
text_of(const char *state, const char *text, const char *context)
{
	static struct sink_error error;
	struct pg_diagnostics w = {
	    .state = state, .text = text, .context = context};

	error = (struct sink_error){.bad_event = 7};
	(void)pg_classify_diagnostics(&w, &error);
	ck_assert_str_eq(error.code, state);
	return error.text;
}

/*
 * A code that only a trigger can raise blames the row.  All other codes keep
 * their class.
 */
TEST(a_code_that_a_trigger_made_up_is_about_the_row)
{
	static const struct {
		const char *state;
		enum sink_result raised, otherwise;
	} cases[] = {
	    {"LT001", SINK_REJECT, SINK_UNREACHABLE},
	    {"45000", SINK_REJECT, SINK_UNREACHABLE},
	    {"99999", SINK_REJECT, SINK_UNREACHABLE},
	    {"53100", SINK_UNREACHABLE, SINK_UNREACHABLE},
	    {"57014", SINK_UNREACHABLE, SINK_UNREACHABLE},
	    {"XX000", SINK_UNREACHABLE, SINK_UNREACHABLE},
	    {"40001", SINK_UNREACHABLE, SINK_UNREACHABLE},
	    {"P0002", SINK_MISCONFIGURED, SINK_MISCONFIGURED},
	};
	struct sink_error error = {0};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pg_diagnostics w = {
		    .state = cases[i].state,
		    .text = "no",
		    .context = "PL/pgSQL function f() line 4 at RAISE\n"
			       "COPY events, line 4"};

		ck_assert_int_eq(pg_classify_diagnostics(&w, &error),
		                 cases[i].raised);
		w.context = "PL/pgSQL function f() line 4 at PERFORM\n"
			    "COPY events, line 4";
		ck_assert_int_eq(pg_classify_diagnostics(&w, &error),
		                 cases[i].otherwise);
	}
}

TEST(keeps_values_out_of_the_text)
{
	ck_assert_str_eq(text_of("22P02",
	                         "invalid input syntax for type uuid: "
	                         "\"se: \"cret\"",
	                         NULL),
	                 "invalid input syntax for type uuid");
	ck_assert_str_eq(text_of("22003",
	                         "value \"123: \"45\" is out of range for "
	                         "type integer",
	                         NULL),
	                 "value ... is out of range for type integer");
	ck_assert_str_eq(
	    text_of("22008", "date field value out of range: 2024-13-45", NULL),
	    "date field value out of range");
	ck_assert_str_eq(text_of("22000", "cut \"secr", NULL), "cut ...");
	ck_assert_str_eq(
	    text_of("22001", "value too long for type character(3)", NULL),
	    "value too long for type character(3)");
	ck_assert_str_eq(text_of("23502",
	                         "null value in column \"x\" violates not-null "
	                         "constraint\n",
	                         NULL),
	                 "null value in column \"x\" violates not-null "
	                 "constraint");
}

TEST(reports_where_a_trigger_refused_but_not_its_message)
{
	static const char context[] =
	    "PL/pgSQL function f() line 3 at RAISE\nCOPY events, line 51";
	struct pg_diagnostics w = {.text = "secret"};
	struct sink_error error = {.bad_event = 0};

	ck_assert_str_eq(text_of("P0001", "secret", context),
	                 "refused by PL/pgSQL function f() line 3 at RAISE");
	ck_assert_str_eq(text_of("23514", "secret", context),
	                 "refused by PL/pgSQL function f() line 3 at RAISE");
	ck_assert_str_eq(text_of("P0001", "secret", "COPY events, line 51"),
	                 "refused by a trigger");
	ck_assert_str_eq(text_of("P0004", "secret", NULL),
	                 "refused by a trigger");
	/* Only the dead letter gets the message. */
	w.state = "P0001";
	(void)pg_classify_diagnostics(&w, &error);
	ck_assert_str_eq(error.dead_letter, "secret");
	w.state = "23505";
	error.dead_letter[0] = '\0';
	(void)pg_classify_diagnostics(&w, &error);
	ck_assert_str_eq(error.dead_letter, "");
}

static size_t
line_of(const char *context)
{
	struct sink_error error = {.bad_event = 7};
	struct pg_diagnostics w = {
	    .state = "23514", .text = "", .context = context};

	(void)pg_classify_diagnostics(&w, &error);
	return error.bad_event;
}

TEST(takes_the_line_that_copy_names)
{
	ck_assert_uint_eq(line_of(NULL), 0);
	ck_assert_uint_eq(line_of("COPY events, line 51"), 51);
	ck_assert_uint_eq(line_of("COPY events, line 51, column id: \"x, line "
	                          "3\""),
	                  51);
	ck_assert_uint_eq(line_of("Traceback (most recent call last):\n"
	                          "  PL/Python function \"f\", line 3, in "
	                          "<module>\nPL/Python function \"f\"\n"
	                          "COPY events, line 51"),
	                  51);
	ck_assert_uint_eq(line_of("PL/Python function \"f\", line 3"), 0);
}

TEST(distinguishes_a_missing_partition_from_a_failed_check)
{
	static const char detail[] =
	    "Partition key of the failing row contains (created_at) = (1970).";
	struct pg_diagnostics w = {.state = "23514",
	                           .text =
	                               "no partition of relation found for row",
	                           .detail = detail,
	                           .table = "events"};
	char column[PG_COLUMN_MAX];

	ck_assert(pg_no_partition(&w, column));
	ck_assert_str_eq(column, "created_at");
	w.constraint = "positive";
	ck_assert(!pg_no_partition(&w, column));
	w.constraint = NULL;
	w.table = NULL; /* RAISE ... USING ERRCODE = 'check_violation' */
	ck_assert(!pg_no_partition(&w, column));
	w.table = "events";
	w.detail = "Failing row contains (1, 2).";
	ck_assert(!pg_no_partition(&w, column));
	w.detail = NULL;
	ck_assert(!pg_no_partition(&w, column));
}
