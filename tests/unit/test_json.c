/* test_json - bodies to events: what is taken, what is refused and why. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/buf.h"
#include "libbase/error.h"
#include "libjson/json.h"
#include "tests/support/test.h"

#define NOW_US INT64_C(1700000000123456)

static struct json_reader *reader;
static struct json_rules rules;
static struct json_report report;
static struct buf got;      /* events as text, one a line */
static int on_event_answer; /* of the next on_event */

static void
add_slice(const struct slice *s)
{
	if (s->data)
		ck_assert_int_eq(buf_add(&got, s->data, s->bytes), 0);
	ck_assert_int_eq(buf_add(&got, "|", 1), 0);
}

static int
on_event(void *arg, const struct event *e)
{
	ck_assert_ptr_eq(arg, &got);
	add_slice(&e->id);
	add_slice(&e->type);
	add_slice(&e->user_id);
	add_slice(&e->payload);
	ck_assert_int_eq(buf_addf(&got, "%" PRId64 "\n", e->created_at_us), 0);
	ck_assert_int_eq(e->received_at_us, NOW_US);
	return on_event_answer;
}

static void
setup(void)
{
	reader = json_reader_new();
	ck_assert_ptr_nonnull(reader);
	rules = (struct json_rules){.received_at_us = NOW_US,
	                            .max_events = 1000000};
	buf_init(&got, 16 * MIB);
	on_event_answer = 0;
}

static void
teardown(void)
{
	json_reader_free(reader);
	buf_fini(&got);
}

TEST_CASE(bodies, .setup = setup, .teardown = teardown);

/* An exact copy, so that a sanitizer sees any read beyond the padding. */
static int
read_bytes(const char *text, size_t n)
{
	char *copy = malloc(n + JSON_PADDING);
	int rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	memset(copy + n, '"', JSON_PADDING);
	buf_clear(&got);
	rc = json_read(reader, copy, n, &rules, on_event, &got, &report);
	free(copy);
	ck_assert_int_eq(buf_add(&got, "", 1), 0);
	return rc;
}

static int
read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

TEST(takes_all_fields)
{
	ck_assert_int_eq(
	    read_text(" [ {\"id\":\"a\", \"type\" : \"t\",\"user_id\":\"u\","
	              "\"payload\" : { \"k\" :1 } ,\"created_at\":"
	              "\"2023-11-14T22:13:20Z\"},\n{\"type\":\"v\"} ]\n"),
	    0);
	ck_assert_str_eq((char *)got.data,
	                 "a|t|u|{ \"k\" :1 }|1700000000000000\n"
	                 "|v||{}|1700000000123456\n");
	ck_assert_uint_eq(report.accepted, 2);
	ck_assert_uint_eq(report.rejected, 0);
}

/* Whole bodies that are read to their end, and the events they give. */
static const struct {
	const char *text, *events;
} taken[] = {
    {"[]", ""},
    {" [ ] ", ""},
    {"{\"type\":\"t\"}", "|t||{}|1700000000123456\n"},
    {"{\"type\":\"t\",\"user_id\":null}", "|t||{}|1700000000123456\n"},
    {"{\"type\":\"t\",\"user_id\":\"\"}", "|t||{}|1700000000123456\n"},
    {"{\"t\\u0079pe\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
     "|\"\\/\b\f\n\r\t||{}|1700000000123456\n"},
    {"{\"type\":\"\\u00e9\\u20AC\\uD83D\\ude00x\"}",
     "|\u00e9\u20ac\U0001F600x||{}|1700000000123456\n"},
    {"{\"type\":\"t\",\"id\":null,\"payload\":null,\"created_at\":null}",
     "|t||{}|1700000000123456\n"},
    {"\xef\xbb\xbf{\"type\":\"t\"}", "|t||{}|1700000000123456\n"},
    {"{\"type\":\"t\",\"created_at\":100000000000}",
     "|t||{}|100000000000000\n"},
    {"{\"type\":\"t\",\"created_at\":\"1970-01-01T00:00:00Z\"}", "|t||{}|0\n"},
    {"{\"type\":\"t\",\"created_at\":\"2023-11-14T22:13:20."
     "12345678901234567890123456789012345678901234567890123456789012345"
     "6789012345678901234567890Z\"}",
     "|t||{}|1700000000123456\n"},
    {"{\"type\":\"t\",\"created_at\":1700000000001}",
     "|t||{}|1700000000001000\n"},
    {"{\"type\":\"t\",\"created_at\":253402300799999}",
     "|t||{}|253402300799999000\n"},
    {"{\"type\":\"t\",\"created_at\":\"2023-11-14\\u005422:13:20Z\"}",
     "|t||{}|1700000000000000\n"},
    {"{\"type\":\"t\",\"payload\":{\"a\":[],\"b\":{},\"c\":[[],{}],"
     "\"\":\"\"}}",
     "|t||{\"a\":[],\"b\":{},\"c\":[[],{}],\"\":\"\"}|1700000000123456\n"},
};

TEST_LOOP(takes, ARRAY_LEN(taken))
{
	ck_assert_int_eq(read_text(taken[_i].text), 0);
	ck_assert_uint_eq(report.rejected, 0);
	ck_assert_str_eq((char *)got.data, taken[_i].events);
}

/* One event that is refused: its field and why. */
static const struct {
	const char *text, *field, *reason;
} refused[] = {
    {"{}", "type", "missing"},
    {"[{}]", "type", "missing"},
    {"[5]", "", "must be an object"},
    {"[\"x\"]", "", "must be an object"},
    {"[[]]", "", "must be an object"},
    {"[null]", "", "must be an object"},
    {"{\"type\":5}", "type", "must be a string"},
    {"{\"type\":null}", "type", "must be a string"},
    {"{\"type\":\"\"}", "type", "must be 1 to 128 bytes long"},
    {"{\"type\":\"t\",\"id\":\"\"}", "id", "must be 1 to 128 bytes long"},
    {"{\"type\":\"t\",\"id\":null,\"id\":\"x\"}", "id", "duplicate field"},
    {"{\"type\":\"t\",\"user_id\":7}", "user_id", "must be a string"},
    {"{\"type\":\"t\",\"payload\":[]}", "payload", "must be an object"},
    {"{\"type\":\"t\",\"payload\":\"{}\"}", "payload", "must be an object"},
    {"{\"type\":\"t\",\"type\":\"t\"}", "type", "duplicate field"},
    {"{\"type\":\"t\",\"payload\":{},\"payload\":{}}", "payload",
     "duplicate field"},
    {"{\"type\":\"t\",\"t\\u0079pe\":\"t\"}", "type", "duplicate field"},
    {"{\"type\":\"t\",\"received_at\":1}", "received_at",
     "is set by the server; leave it out"},
    {"{\"type\":\"t\",\"extra\":1}", "extra", "unknown field"},
    {"{\"type\":\"t\",\"Type\":1}", "Type", "unknown field"},
    {"{\"type\":\"t\",\"\":1}", "", "unknown field"},
    {"{\"type\":\"a\\u0000b\"}", "type", "must not contain \\u0000"},
    {"{\"type\":\"t\",\"payload\":{\"k\":\"\\u0000\"}}", "payload",
     "must not contain \\u0000"},
    {"{\"type\":\"t\",\"payload\":{\"\\u0000\":1}}", "payload",
     "must not contain \\u0000"},
    {"{\"type\":\"\\ud800\"}", "type",
     "must not contain an unpaired surrogate"},
    {"{\"type\":\"\\ud800x\"}", "type",
     "must not contain an unpaired surrogate"},
    {"{\"type\":\"\\ud800\\u0041\"}", "type",
     "must not contain an unpaired surrogate"},
    {"{\"type\":\"\\udc00\\ud800\"}", "type",
     "must not contain an unpaired surrogate"},
    {"{\"type\":\"t\",\"payload\":{\"k\":[\"\\udfff\"]}}", "payload",
     "must not contain an unpaired surrogate"},
    {"{\"\\u0000\":1}", "", "must not contain \\u0000"},
    {"{\"type\":\"t\",\"created_at\":0}", "created_at",
     "looks like seconds; send milliseconds"},
    {"{\"type\":\"t\",\"created_at\":1700000000}", "created_at",
     "looks like seconds; send milliseconds"},
    {"{\"type\":\"t\",\"created_at\":99999999999}", "created_at",
     "looks like seconds; send milliseconds"},
    {"{\"type\":\"t\",\"created_at\":1.5}", "created_at",
     "must be an RFC 3339 time or whole milliseconds"},
    {"{\"type\":\"t\",\"created_at\":1e3}", "created_at",
     "must be an RFC 3339 time or whole milliseconds"},
    {"{\"type\":\"t\",\"created_at\":\"\"}", "created_at",
     "must be an RFC 3339 time or whole milliseconds"},
    {"{\"type\":\"t\",\"created_at\":\"yesterday\"}", "created_at",
     "must be an RFC 3339 time or whole milliseconds"},
    {"{\"type\":\"t\",\"created_at\":-1}", "created_at",
     "must be within the years 1970 to 9999"},
    {"{\"type\":\"t\",\"created_at\":253402300800000}", "created_at",
     "must be within the years 1970 to 9999"},
    {"{\"type\":\"t\",\"created_at\":99999999999999999999999}", "created_at",
     "must be within the years 1970 to 9999"},
    {"{\"type\":\"t\",\"created_at\":\"1969-12-31T23:59:59Z\"}", "created_at",
     "must be within the years 1970 to 9999"},
};

TEST_LOOP(refuses, ARRAY_LEN(refused))
{
	const struct json_error *e = &report.errors[0];

	ck_assert_int_eq(read_text(refused[_i].text), 0);
	ck_assert_uint_eq(report.accepted, 0);
	ck_assert_uint_eq(report.rejected, 1);
	ck_assert_uint_eq(report.error_count, 1);
	ck_assert_uint_eq(e->index, 0);
	ck_assert_str_eq(e->reason, refused[_i].reason);
	ck_assert_uint_eq(e->field_bytes, strlen(refused[_i].field));
	ck_assert_mem_eq(e->field, refused[_i].field, e->field_bytes);
}

#define T "{\"type\":\"t\"}"

/* Bodies that break, in which event, and why. */
static const struct {
	const char *text;
	uint64_t index;
	const char *reason;
} broken[] = {
    {"", 0, "no JSON document"},
    {" \n", 0, "no JSON document"},
    {"5", 0, "must be an event or an array of events"},
    {"\"x\"", 0, "must be an event or an array of events"},
    {"nul", 0, "must be an event or an array of events"},
    {"]", 0, "must be an event or an array of events"},
    {"[", 0, "unexpected end of the JSON document"},
    {"[" T, 1, "expected ',' or ']'"},
    {"[" T ",", 1, "unexpected end of the JSON document"},
    {"[" T ",]", 1, "expected a JSON value"},
    {"[,", 0, "expected a JSON value"},
    {"[" T T "]", 1, "expected ',' or ']'"},
    {"[" T "}", 1, "expected ',' or ']'"},
    {"[" T "]]", 1, "unexpected data after the JSON document"},
    {"[" T "] x", 1, "unexpected data after the JSON document"},
    {T T, 0, "unexpected data after the JSON document"},
    {T ",", 0, "unexpected data after the JSON document"},
    {"{", 0, "expected a field name in quotes"},
    {"{\"type\"", 0, "expected ':'"},
    {"{\"type\":", 0, "must be a string"},
    {"{\"type\":\"t\"", 0, "expected ',' or '}'"},
    {"{\"type\":\"t\",", 0, "expected a field name in quotes"},
    {"{\"type\":\"t\",}", 0, "expected a field name in quotes"},
    {"{\"type\" \"t\"}", 0, "expected ':'"},
    {"{type:\"t\"}", 0, "expected a field name in quotes"},
    {"{'type':'t'}", 0, "expected a field name in quotes"},
    {"{\"type\":\"t\"]", 0, "expected ',' or '}'"},
    {"{\"type\":\"\\x\"}", 0, "invalid escape in a string"},
    {"{\"type\":\"\\u12g4\"}", 0,
     "\\u must be followed by four hexadecimal digits"},
    {"{\"type\":\"\\u123\"}", 0,
     "\\u must be followed by four hexadecimal digits"},
    {"{\"type\":\"t\\\"}", 0, "unterminated string"},
    {"[" T ",{\"type\":\"a\nb\"}]", 1,
     "control characters in a string must be escaped"},
    {"[" T "," T ",{\"type\":\"\xff\"}]", 2, "not valid UTF-8"},
    {"[" T ",{\"type\":\"\xed\xa0\x80\"}]", 1, "not valid UTF-8"},
    {"[{\"type\":\"\xc0\x80\"}]", 0, "not valid UTF-8"},
    {"[" T ",{\"type\":\"\xe2\x82", 1, "unterminated string"},
    {"[{\"type\":\"a,b\"},{\"type\":\"\\\",", 1, "unterminated string"},
    {"// c\n[]", 0, "must be an event or an array of events"},
    {"[]\f", 0, "unexpected data after the JSON document"},
    /* A rejected event does not hide a syntax error in it or after it. */
    {"[{\"type\":5,},{\"type\":\"t\"}]", 0, "expected a field name in quotes"},
    {"[{\"type\":5},{\"type\":\"t\"]", 1, "expected ',' or '}'"},
    {"[{\"type\":\"\\u0000\",\"x\":tru}]", 0, "expected a JSON value"},
};

TEST_LOOP(breaks, ARRAY_LEN(broken))
{
	const char *reason = broken[_i].reason;

	ck_assert_int_eq(read_text(broken[_i].text), -EBADMSG);
	ck_assert_uint_eq(report.accepted, 0);
	ck_assert_uint_eq(report.rejected, 1);
	ck_assert_uint_eq(report.error_count, 1);
	ck_assert_uint_eq(report.errors[0].index, broken[_i].index);
	/* The reason for a rejected event counts only if it is complete. */
	if (strcmp(reason, "must be a string") == 0)
		reason = "unexpected end of the JSON document";
	ck_assert_str_eq(report.errors[0].reason, reason);
}

/* Values inside a payload: good, refused (r) or broken (b). */
static const struct {
	const char *text;
	char kind;
} values[] = {
    {"0", 'g'},
    {"-0", 'g'},
    {"123", 'g'},
    {"1.5", 'g'},
    {"1e400", 'g'},
    {"-1.5E+10", 'g'},
    {"1e-400", 'g'},
    {"0.0", 'g'},
    {"0e0", 'g'},
    {"123456789012345678901234567890", 'g'},
    {"true", 'g'},
    {"false", 'g'},
    {"null", 'g'},
    {"\"\"", 'g'},
    {"\"\\u0001\"", 'g'},
    {"\"\x7f\"", 'g'},
    {"\"\\ud834\\udd1e\"", 'g'},
    {"[1 ,2]", 'g'},
    {"{\"a\":1,\"a\":2}", 'g'},
    {"01", 'b'},
    {"-", 'b'},
    {"-a", 'b'},
    {"+1", 'b'},
    {".5", 'b'},
    {"1.", 'b'},
    {"1.e1", 'b'},
    {"1e", 'b'},
    {"1e+", 'b'},
    {"1a", 'b'},
    {"0x1", 'b'},
    {"1 2", 'b'},
    {"1\"x\"", 'b'},
    {"NaN", 'b'},
    {"Infinity", 'b'},
    {"-Infinity", 'b'},
    {"tru", 'b'},
    {"truex", 'b'},
    {"TRUE", 'b'},
    {"nul", 'b'},
    {"nullnull", 'b'},
    {"true\"\"", 'b'},
    {"\"a\"b", 'b'},
    {"\"a\"\"b\"", 'b'},
    {"'a'", 'b'},
    {"[1,]", 'b'},
    {"[,1]", 'b'},
    {"[1", 'b'},
    {"[1}", 'b'},
    {"{\"a\"}", 'b'},
    {"{\"a\":}", 'b'},
    {"{\"a\":1,}", 'b'},
    {"{a:1}", 'b'},
    {"{1:1}", 'b'},
    {"{\"a\":1]", 'b'},
    {"", 'b'},
    {"\\", 'b'},
    {"\\\"a\\\"", 'b'},
    {"1\\", 'b'},
    {"[1]]", 'b'},
    {"1:2", 'b'},
    {"1\x0c", 'b'},
    {"\x1a", 'b'},
    {"\"\\q\"", 'b'},
    {"\"\\U0041\"", 'b'},
    {"\"\\u 041\"", 'b'},
    {"/**/1", 'b'},
    {"\"\\ud834\"", 'r'},
    {"\"\\udd1e\"", 'r'},
    {"\"x\\u0000\"", 'r'},
};

TEST_LOOP(checks_every_value_of_a_payload, ARRAY_LEN(values))
{
	char text[256], payload[128];
	int rc;

	(void)snprintf(payload, sizeof payload, "{\"k\":%s,\"l\":[%s]}",
	               values[_i].text, values[_i].text);
	(void)snprintf(text, sizeof text,
	               "[{\"type\":\"t\",\"payload\":%s},{\"type\":\"u\"}]",
	               payload);
	rc = read_text(text);
	if (values[_i].kind == 'b') {
		ck_assert_int_eq(rc, -EBADMSG);
		return;
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_eq(report.rejected, values[_i].kind == 'r');
	if (values[_i].kind == 'g')
		ck_assert_ptr_nonnull(strstr((char *)got.data, payload));
}

static void
nest(struct buf *b, const char *open, const char *close, int depth)
{
	buf_clear(b);
	ck_assert_int_eq(buf_addf(b, "{\"type\":\"t\",\"payload\":{\"k\":"), 0);
	for (int i = 1; i < depth; i++)
		ck_assert_int_eq(buf_addf(b, "%s", open), 0);
	ck_assert_int_eq(buf_addf(b, "1"), 0);
	for (int i = 1; i < depth; i++)
		ck_assert_int_eq(buf_addf(b, "%s", close), 0);
	ck_assert_int_eq(buf_addf(b, "}}"), 0);
}

TEST(bounds_the_depth)
{
	struct buf b;

	buf_init(&b, MIB);
	nest(&b, "[", "]", JSON_DEPTH_MAX);
	ck_assert_int_eq(read_bytes((char *)b.data, b.len), 0);
	ck_assert_uint_eq(report.accepted, 1);
	nest(&b, "{\"\":", "}", JSON_DEPTH_MAX);
	ck_assert_int_eq(read_bytes((char *)b.data, b.len), 0);
	ck_assert_uint_eq(report.accepted, 1);
	nest(&b, "[", "]", JSON_DEPTH_MAX + 1);
	ck_assert_int_eq(read_bytes((char *)b.data, b.len), 0);
	ck_assert_uint_eq(report.rejected, 1);
	ck_assert_str_eq(report.errors[0].reason,
	                 "nested more than 64 levels deep");
	nest(&b, "[", "]", JSON_DEPTH_BREAK);
	ck_assert_int_eq(read_bytes((char *)b.data, b.len), -EBADMSG);
	nest(&b, "[", "]", 100000);
	ck_assert_int_eq(read_bytes((char *)b.data, b.len), -EBADMSG);
	buf_fini(&b);
}

TEST(bounds_the_strings)
{
	char text[2048], name[300];

	memset(name, 'n', sizeof name);
	for (int over = 0; over <= 1; over++) {
		(void)snprintf(text, sizeof text,
		               "{\"id\":\"%.*s\",\"type\":\"%.*s\","
		               "\"user_id\":\"\\u006e%.*s\"}",
		               EVENT_ID_MAX, name, EVENT_TYPE_MAX, name,
		               EVENT_USER_ID_MAX - 1 + over, name);
		ck_assert_int_eq(read_text(text), 0);
		ck_assert_uint_eq(report.rejected, over);
	}
	ck_assert_str_eq(report.errors[0].reason,
	                 "must be at most 256 bytes long");
}

TEST(ignores_unknown_fields_if_set_but_checks_them)
{
	rules.ignore_unknown = true;
	ck_assert_int_eq(
	    read_text("{\"x\":{\"y\":[1]},\"type\":\"t\",\"x\":2}"), 0);
	ck_assert_uint_eq(report.accepted, 1);
	ck_assert_int_eq(read_text("{\"x\":{\"y\":[1,]},\"type\":\"t\"}"),
	                 -EBADMSG);
	ck_assert_int_eq(read_text("{\"x\":\"\\u0000\",\"type\":\"t\"}"), 0);
	ck_assert_uint_eq(report.rejected, 1);
	ck_assert_int_eq(read_text("{\"type\":\"t\",\"received_at\":1}"), 0);
	ck_assert_uint_eq(report.rejected, 1);
}

TEST(continues_after_a_refused_event_and_keeps_ten_errors)
{
	struct buf b;

	buf_init(&b, MIB);
	ck_assert_int_eq(buf_addf(&b, "[{\"type\":\"first\"}"), 0);
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(
		    buf_addf(&b, ",{\"type\":[{\"a\":\"]}\\\"\"}]}"), 0);
	ck_assert_int_eq(buf_addf(&b, ",{\"type\":\"last\"}]"), 0);
	ck_assert_int_eq(read_bytes((char *)b.data, b.len), 0);
	ck_assert_uint_eq(report.accepted, 2);
	ck_assert_uint_eq(report.rejected, 12);
	ck_assert_uint_eq(report.error_count, JSON_ERRORS_MAX);
	ck_assert_uint_eq(report.errors[9].index, 10);
	ck_assert_ptr_nonnull(strstr((char *)got.data, "|last|"));
	buf_fini(&b);
}

TEST(cuts_a_long_field_name_between_characters)
{
	char text[256];

	(void)snprintf(text, sizeof text, "{\"%.63s\u00e9x\":1,\"type\":\"t\"}",
	               "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	               "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	ck_assert_int_eq(read_text(text), 0);
	ck_assert_uint_eq(report.rejected, 1);
	ck_assert_uint_eq(report.errors[0].field_bytes, 63);
}

TEST(each_line_counts_once_and_has_its_number)
{
	static const char *const bad[] = {
	    "no json", "{",  "{\"type\":5}x", "5",
	    "[{}]",    "{}", "{\"a\":1}",     "\"\\u\""};
	char text[400];
	size_t n = 0;

	rules.ndjson = true;
	/* Good and bad lines in turn, with blank ones between them. */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		n += (size_t)snprintf(text + n, sizeof text - n,
		                      "{\"type\":\"t\"}\n\n%s\n \r\n", bad[i]);
	ck_assert_int_eq(read_text(text), 0);
	ck_assert_uint_eq(report.accepted, ARRAY_LEN(bad));
	ck_assert_uint_eq(report.rejected, ARRAY_LEN(bad));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_uint_eq(report.errors[i].index, 2 * i + 1);
	rules.max_events = 2 * ARRAY_LEN(bad);
	ck_assert_int_eq(read_text(text), 0);
	rules.max_events--;
	ck_assert_int_eq(read_text(text), ERR_TOO_MANY_EVENTS);
}

TEST(counts_the_fields_that_it_ignores)
{
	rules.ignore_unknown = true;
	ck_assert_int_eq(
	    read_text("[{\"type\":\"t\",\"x\":1,\"y\":{\"z\":2}},"
	              "{\"type\":\"t\"},{\"q\":1,\"type\":\"t\"}]"),
	    0);
	ck_assert_uint_eq(report.accepted, 3);
	ck_assert_uint_eq(report.ignored_fields, 3);
	ck_assert_str_eq(report.ignored_name, "x");
	ck_assert_int_eq(read_text("{\"type\":\"t\"}"), 0);
	ck_assert_uint_eq(report.ignored_fields, 0);
	ck_assert_str_eq(report.ignored_name, "");
}

TEST(reads_ndjson_line_by_line)
{
	rules.ndjson = true;
	ck_assert_int_eq(
	    read_text("{\"type\":\"a\"}\n\n \r\n{\"type\":\"b\"}\r\n"
	              "{\"type\":\"c\"}"),
	    0);
	ck_assert_uint_eq(report.accepted, 3);
	ck_assert_uint_eq(report.rejected, 0);
	ck_assert_int_eq(read_text(""), 0);
	ck_assert_uint_eq(report.accepted, 0);
}

TEST(a_broken_line_is_one_refused_event)
{
	rules.ndjson = true;
	ck_assert_int_eq(read_text("{\"type\":\"a\"}\n"
	                           "{\"type\":\"unclosed\n"
	                           "{\"type\":\"b\"}{\"type\":\"b2\"}\n"
	                           "{\"type\":\"\xff\"}\n"
	                           "[{\"type\":\"array\"}]\n"
	                           "{\"type\":\"t\",\"payload\":{\"x\":12\n"
	                           "{\"type\":\"c\"}"),
	                 0);
	ck_assert_uint_eq(report.accepted, 2);
	ck_assert_uint_eq(report.rejected, 5);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(report.errors[i].index, i + 1);
	ck_assert_str_eq(report.errors[0].reason, "unterminated string");
	ck_assert_str_eq(report.errors[1].reason,
	                 "unexpected data after the JSON document");
	ck_assert_str_eq(report.errors[2].reason, "not valid UTF-8");
	ck_assert_str_eq(report.errors[3].reason, "must be an object");
	ck_assert_ptr_null(strstr((char *)got.data, "|b|"));
}

TEST(refuses_too_many_and_too_large_events)
{
	rules.max_events = 2;
	ck_assert_int_eq(read_text("[" T "," T "]"), 0);
	ck_assert_int_eq(read_text("[" T "," T "," T "]"), ERR_TOO_MANY_EVENTS);
	on_event_answer = -EMSGSIZE;
	ck_assert_int_eq(read_text("[" T "]"), 0);
	ck_assert_uint_eq(report.rejected, 1);
	on_event_answer = -ENOBUFS;
	ck_assert_int_eq(read_text("[" T "]"), -ENOBUFS);
}

/*
 * The oracle: RFC 8259 by recursive descent, byte by byte, sharing nothing
 * with json_walk.  Returns the position after a value, or NULL.
 */
static bool oracle_refused;

static const char *
oracle_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static int
oracle_hex4(const char *p)
{
	char text[5] = {0};

	for (int i = 0; i < 4; i++) {
		if (!p[i] || !strchr("0123456789abcdefABCDEF", p[i]))
			return -1;
		text[i] = p[i];
	}
	return (int)strtol(text, NULL, 16);
}

static const char *
oracle_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\') {
			p++;
			continue;
		}
		p++;
		if (*p == 'u') {
			int u = oracle_hex4(p + 1);

			if (u < 0)
				return NULL;
			p += 5;
			if (u >= 0xd800 && u < 0xdc00 && p[0] == '\\' &&
			    p[1] == 'u' && oracle_hex4(p + 2) >= 0xdc00 &&
			    oracle_hex4(p + 2) < 0xe000)
				p += 6;
			else if (u == 0 || (u >= 0xd800 && u < 0xe000))
				oracle_refused = true;
		} else if (*p && strchr("\"\\/bfnrt", *p)) {
			p++;
		} else {
			return NULL;
		}
	}
	return p + 1;
}

static const char *
oracle_number(const char *p)
{
	size_t n;

	p += *p == '-';
	n = strspn(p, "0123456789");
	if (n == 0 || (*p == '0' && n > 1))
		return NULL;
	p += n;
	if (*p == '.') {
		n = strspn(++p, "0123456789");
		if (n == 0)
			return NULL;
		p += n;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		n = strspn(p, "0123456789");
		if (n == 0)
			return NULL;
		p += n;
	}
	return p;
}

static const char *
oracle_value(const char *p)
{
	char open = *p;

	if (open == '"')
		return oracle_string(p);
	if (strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0)
		return p + 4;
	if (strncmp(p, "false", 5) == 0)
		return p + 5;
	if (open != '{' && open != '[')
		return oracle_number(p);
	p = oracle_space(p + 1);
	if (*p == (open == '{' ? '}' : ']'))
		return p + 1;
	for (;; p = oracle_space(p + 1)) {
		if (open == '{') {
			p = oracle_string(p);
			if (!p)
				return NULL;
			p = oracle_space(p);
			if (*p != ':')
				return NULL;
			p = oracle_space(p + 1);
		}
		p = oracle_value(p);
		if (!p)
			return NULL;
		p = oracle_space(p);
		if (*p == (open == '{' ? '}' : ']'))
			return p + 1;
		if (*p != ',')
			return NULL;
	}
}

static uint64_t random_state = 88172645463325252U;

static uint32_t
random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 33) % n;
}

TEST(agrees_with_a_plain_parser_on_mutated_payloads)
{
	static const char seed[] =
	    "{\"a\":[1,-2.5e+3,true,false,null,{\"b\":\"c\\\"\\\\d\\u00e9\"}],"
	    " \"e\" : {\"\":[[],{}]},\"f\":\"\\ud83d\\ude00 x\",\"g\":0}";
	static const char bytes[] =
	    "{}[]:,\"\\ 0123456789eE+-.utrflasn/dc\n\x01";
	char payload[sizeof seed + 8], text[256];
	int rounds = 200000 / (int)test_stride();
	int accepted = 0, rejected = 0;

	for (int round = 0; round < rounds; round++) {
		const char *end;
		size_t n;
		int rc;

		memcpy(payload, seed, sizeof seed);
		for (uint32_t k = 1 + random_below(3); k > 0; k--) {
			uint32_t at = random_below(sizeof seed - 1);
			char c = bytes[random_below(sizeof bytes - 1)];

			n = strlen(payload);
			if (at >= n)
				continue;
			switch (random_below(3)) {
			case 0:
				payload[at] = c;
				break;
			case 1:
				memmove(payload + at, payload + at + 1, n - at);
				break;
			default:
				memmove(payload + at + 1, payload + at,
				        n - at + 1);
				payload[at] = c;
			}
		}
		oracle_refused = false;
		end = oracle_value(oracle_space(payload));
		if (end)
			end = oracle_space(end);
		(void)snprintf(text, sizeof text,
		               "{\"type\":\"t\",\"payload\":%s}", payload);
		rc = read_text(text);
		if (!end || *end || *oracle_space(payload) != '{') {
			/* It may still end early and break after that. */
			ck_assert_msg(rc < 0 || report.accepted == 0 ||
			                  (end && *end),
			              "took %s", text);
			rejected++;
			continue;
		}
		ck_assert_msg(rc == 0, "broke on %s", text);
		ck_assert_msg((report.accepted == 1) == !oracle_refused,
		              "differs on %s", text);
		accepted++;
	}
	ck_assert_int_gt(accepted, rounds / 20);
	ck_assert_int_gt(rejected, rounds / 20);
}

/*
 * Each event costs its own bytes, not those of the whole body.  If it did,
 * these would be terabytes to look at, and out of time.
 */
TEST(many_refused_events_cost_what_they_weigh)
{
	const size_t count = 1000000, blanks = 7 * MIB;
	char *text = malloc(count * 8 + blanks + 8), *at = text;

	ck_assert_ptr_nonnull(text);
	*at++ = '[';
	for (size_t i = 0; i < count; i++) {
		memcpy(at, i ? ",{\"a\":1}" : "{\"a\":1}", i ? 8 : 7);
		at += i ? 8 : 7;
	}
	memset(at, ' ', blanks);
	at += blanks;
	*at++ = ']';
	ck_assert_int_eq(read_bytes(text, (size_t)(at - text)), 0);
	ck_assert_uint_eq(report.rejected, count);
	free(text);
}
