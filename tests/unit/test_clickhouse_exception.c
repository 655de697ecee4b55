/* test_clickhouse_exception - the class of a server's response. */
#include <stdlib.h>
#include <string.h>

#include "sinkd-clickhouse/exception.h"
#include "tests/support/test.h"

static bool
find_exception(const char *body, int header, struct ch_exception *e)
{
	return ch_exception_find(body, strlen(body), header, e);
}

static enum sink_result
class_of(int code, const char *message)
{
	struct ch_exception e = {code, message, strlen(message)};

	return ch_exception_class(&e);
}

static const char *
exception_text_of(const char *message)
{
	static char out[80];
	struct ch_exception e = {1, message, strlen(message)};

	ch_exception_text(&e, out, sizeof out);
	return out;
}

TEST(reads_the_code_in_messages_of_old_and_new_servers)
{
	struct ch_exception e;

	ck_assert(
	    find_exception("Code: 60, e.displayText() = DB::Exception: Table "
	                   "a.b doesn't exist., e.what() = DB::Exception\n",
	                   0, &e));
	ck_assert_int_eq(e.code, 60);
	ck_assert_int_eq(strncmp(e.message, "Table a.b", 9), 0);
	ck_assert(
	    find_exception("Code: 469. DB::Exception: Constraint `c` for table "
	                   "a.b is violated at row 3. (VIOLATED_CONSTRAINT) "
	                   "(version 26.1.1.1 (official build))\n",
	                   469, &e));
	ck_assert_int_eq(e.code, 469);
	ck_assert_uint_eq(ch_exception_row(&e, 5), 3);
	ck_assert(find_exception(
	    "Code: 117. DB::Exception: Code: 117. DB::Exception: "
	    "Cannot",
	    0, &e));
	ck_assert_int_eq(strncmp(e.message, "Cannot", 6), 0);
}

TEST(a_message_begins_after_the_name_of_its_class)
{
	static const char *const kinds[] = {
	    "Code: 210, e.displayText() = DB::NetException: Connection "
	    "refused, e.what() = DB::NetException",
	    "Code: 1000, e.displayText() = Poco::Exception. Connection "
	    "refused, e.what() = Exception",
	    "Code: 999, e.displayText() = Coordination::Exception: Connection "
	    "refused",
	    "Code: 27. DB::ParsingException: Connection refused",
	    "Code: 210. Connection refused",
	};
	struct ch_exception e;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char out[80];

		ck_assert(find_exception(kinds[i], 0, &e));
		ch_exception_text(&e, out, sizeof out);
		ck_assert_str_eq(out, "Connection refused");
	}
}

TEST(finds_an_exception_after_other_output)
{
	struct ch_exception e;

	ck_assert(
	    find_exception("1\t2\n3\n__exception__\r\nabcdef\r\nCode: 241. "
	                   "DB::Exception: Memory limit exceeded\n",
	                   0, &e));
	ck_assert_int_eq(e.code, 241);
}

TEST(uses_the_header_if_the_body_has_no_exception)
{
	struct ch_exception e;

	ck_assert(find_exception("", 252, &e));
	ck_assert_int_eq(e.code, 252);
	ck_assert_uint_eq(ch_exception_row(&e, 5), 0);
	ck_assert_int_eq(ch_exception_class(&e), SINK_UNREACHABLE);
}

TEST(takes_nothing_else_for_an_exception)
{
	static const char *const bodies[] = {
	    "",
	    "ok\n",
	    "Code",
	    "Code: ",
	    "Code: x. DB::Exception: ",
	    "Code: 60",
	    "Code: 0. DB::Exception: ok",
	    "Code: 99999999999999999999. DB::Exception: ",
	    "the words Code: 60. DB::Exception: within a line",
	};
	struct ch_exception e;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		ck_assert_msg(!find_exception(bodies[i], 0, &e), "%s",
		              bodies[i]);
}

TEST(classifies_codes)
{
	ck_assert_int_eq(class_of(159, ""), SINK_UNREACHABLE);
	ck_assert_int_eq(class_of(202, ""), SINK_UNREACHABLE);
	ck_assert_int_eq(class_of(241, ""), SINK_UNREACHABLE);
	ck_assert_int_eq(class_of(242, ""), SINK_UNREACHABLE);
	ck_assert_int_eq(class_of(999, ""), SINK_UNREACHABLE);
	ck_assert_int_eq(class_of(60, ""), SINK_MISCONFIGURED);
	ck_assert_int_eq(class_of(115, ""), SINK_MISCONFIGURED);
	ck_assert_int_eq(class_of(516, ""), SINK_MISCONFIGURED);
	ck_assert_int_eq(class_of(27, ""), SINK_REJECT);
	ck_assert_int_eq(class_of(469, ""), SINK_REJECT);
	/*
	 * An unknown code is retried; the event is never dead-lettered for it.
	 */
	ck_assert_int_eq(class_of(12345, ""), SINK_UNREACHABLE);
}

TEST(knows_limits_and_what_may_be_stored_nevertheless)
{
	static const char view[] =
	    "Memory limit exceeded: while pushing to view a.v";
	struct ch_exception memory = {241, "Memory limit", 12};
	struct ch_exception in_view = {241, view, sizeof view - 1};
	struct ch_exception time = {159, "Timeout exceeded", 16};
	struct ch_exception other = {242, "Table is in readonly mode", 25};

	ck_assert(ch_exception_too_much(&memory));
	ck_assert(ch_exception_too_much(&in_view));
	ck_assert(ch_exception_too_much(&time));
	ck_assert(!ch_exception_too_much(&other));
	ck_assert(!ch_exception_may_be_stored(&memory));
	ck_assert(ch_exception_may_be_stored(&in_view));
	ck_assert(ch_exception_may_be_stored(&time));
}

TEST(splits_a_batch_of_too_many_partitions_and_waits_for_merges)
{
	ck_assert_int_eq(class_of(252, "Too many partitions for single INSERT "
	                               "block (more than 100)."),
	                 SINK_REJECT);
	ck_assert_int_eq(class_of(252, "Too many parts (300). Merges are "
	                               "processing significantly slower"),
	                 SINK_UNREACHABLE);
}

TEST(does_not_blame_events_for_changed_columns)
{
	ck_assert_int_eq(class_of(117, "Type of 'id' must be UUID, not String: "
	                               "While executing BinaryRowInputFormat"),
	                 SINK_MISCONFIGURED);
	ck_assert_int_eq(class_of(117, "Cannot parse JSON object"),
	                 SINK_REJECT);
	ck_assert_int_eq(class_of(117, "Type of"), SINK_REJECT);
	ck_assert_int_eq(class_of(117, ""), SINK_REJECT);
}

/* Otherwise any sender could stop the sink. */
TEST(blames_an_event_that_contains_a_message_about_types)
{
	struct ch_exception e;

	ck_assert_int_eq(
	    class_of(117, "Duplicate path found during parsing JSON object: "
	                  "Type of x must be. You can enable setting"),
	    SINK_REJECT);
	ck_assert(find_exception(
	    "Code: 117. DB::Exception: Cannot parse JSON object "
	    "here: {\"Code: 117. DB::Exception: Type of 'id' must "
	    "be UUID, not String\":1,\"a\":1}: (at row 2)\n",
	    117, &e));
	ck_assert_int_eq(ch_exception_class(&e), SINK_REJECT);
}

/* What the expressions of a table report about the values of an event. */
TEST(blames_an_event_that_an_expression_fails_at)
{
	ck_assert_int_eq(class_of(32, "Attempt to read after eof: Cannot parse "
	                              "UInt8 from String, because value is "
	                              "too short"),
	                 SINK_REJECT);
	ck_assert_int_eq(class_of(190, "Arrays passed to arrayMap must have "
	                               "equal size"),
	                 SINK_REJECT);
	ck_assert_int_eq(class_of(427, "OptimizedRegularExpression: cannot "
	                               "compile re2: (, error: missing )"),
	                 SINK_REJECT);
	ck_assert_int_eq(
	    class_of(49, "Unknown element 'zz' for type Enum8('a' = 1)"),
	    SINK_REJECT);
	ck_assert_int_eq(class_of(49, "Block structure mismatch: Unknown "
	                              "element 'zz'"),
	                 SINK_UNREACHABLE);
}

static bool
view_is(const char *message, const char *view)
{
	struct ch_exception e = {6, message, strlen(message)};
	struct slice s = ch_exception_view(&e);

	return s.bytes == strlen(view) &&
	       (s.bytes == 0 || memcmp(s.data, view, s.bytes) == 0);
}

TEST(names_the_view_that_failed)
{
	ck_assert(view_is("Cannot parse string 'ab' as UInt64: while executing "
	                  "'FUNCTION toUInt64(id)': while pushing to view "
	                  "default.v. (CANNOT_PARSE_TEXT)",
	                  "default.v"));
	ck_assert(
	    view_is("no: while pushing to view default.a "
	            "(6f3e0b1c-0000-4000-8000-000000000001): while pushing "
	            "to view default.b "
	            "(6f3e0b1c-0000-4000-8000-000000000002). "
	            "(CANNOT_PARSE_TEXT) (version 26.9.2.1 (official "
	            "build))\n",
	            "default.b"));
	ck_assert(view_is("no: while pushing to view default.v, e.what() = "
	                  "DB::Exception",
	                  "default.v"));
	ck_assert(view_is("no view here", ""));
	ck_assert(view_is("", ""));
}

/* Otherwise any sender could stop the sink. */
TEST(no_event_can_name_a_view)
{
	ck_assert(view_is("Cannot parse string ': while pushing to view a.b. "
	                  "(X)' as UInt64. (CANNOT_PARSE_TEXT)",
	                  ""));
	ck_assert(view_is("Cannot parse JSON object here: {\"a\":\": while "
	                  "pushing to view a.b\"}: (at row 2)",
	                  ""));
	ck_assert(view_is("here: x: while pushing to view a.b. (X): (at row "
	                  "2)\n: While executing Y. (INCORRECT_DATA)",
	                  ""));
	ck_assert(view_is("Column values: id = ': while pushing to view a.b', "
	                  "type = 't'. (VIOLATED_CONSTRAINT)",
	                  ""));
}

TEST(classifies_responses_that_only_proxies_send)
{
	ck_assert_int_eq(ch_exception_status_class(413), SINK_REJECT);
	ck_assert_int_eq(ch_exception_status_class(403), SINK_MISCONFIGURED);
	ck_assert_int_eq(ch_exception_status_class(302), SINK_MISCONFIGURED);
	ck_assert_int_eq(ch_exception_status_class(429), SINK_UNREACHABLE);
	ck_assert_int_eq(ch_exception_status_class(503), SINK_UNREACHABLE);
}

TEST(trusts_a_row_only_within_the_batch)
{
	static const struct {
		const char *message;
		size_t row;
	} cases[] = {
	    {"violated at row 1. Expression", 1},
	    {"bad: (at row 5)\n", 5},
	    {"bad: (at row 6)\n", 0},
	    {"bad: (at row 0)\n", 0},
	    {"bad: (at row 99999999999999999999999)\n", 0},
	    {"bad: (at row", 0},
	    {"bad", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *m = cases[i].message;
		struct ch_exception e = {469, m, strlen(m)};

		ck_assert_uint_eq(ch_exception_row(&e, 5), cases[i].row);
	}
}

TEST(keeps_content_out_of_the_text)
{
	ck_assert_str_eq(
	    exception_text_of("Constraint `c` is violated at row 1. "
	                      "Expression: (id != 'x'). Column values: "
	                      "id = 'secret'"),
	    "Constraint `c` is violated at row 1. Expression: "
	    "(id != 'x').");
	ck_assert_str_eq(
	    exception_text_of("Cannot parse JSON object here: {\"a\":1}: "
	                      "(at row 2)"),
	    "Cannot parse JSON object");
	ck_assert_str_eq(
	    exception_text_of("Duplicate path found during parsing JSON "
	                      "object: a. You can"),
	    "Duplicate path found during parsing");
	ck_assert_str_eq(exception_text_of("Cannot parse string 'x' as Int64"),
	                 "Cannot parse");
	ck_assert_str_eq(
	    exception_text_of("Unknown element 'x' for enum, maybe you "
	                      "meant: ['y']"),
	    "Unknown");
	ck_assert_str_eq(
	    exception_text_of("Cannot parse uuid x-y: Cannot parse UUID"),
	    "Cannot parse");
	ck_assert_str_eq(exception_text_of("Invalid IPv4 value"), "Invalid");
	ck_assert_str_eq(exception_text_of("first\nsecond"), "first");
	ck_assert_str_eq(exception_text_of("a, e.what() = DB::Exception"), "a");
	ck_assert_uint_eq(
	    strlen(exception_text_of("0123456789012345678901234567890123456"
	                             "789012345678901234567890123456789012"
	                             "34567890")),
	    79);
}
