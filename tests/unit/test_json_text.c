/* test_json_text - text from elsewhere becomes JSON that is safe to show. */
#include <errno.h>
#include <string.h>

#include "libbase/json_text.h"
#include "tests/support/test.h"

static const char *
json_of(const char *text, size_t n)
{
	static struct buf out;

	buf_fini(&out);
	buf_init(&out, 1 * MIB);
	ck_assert_int_eq(json_text_add(&out, (struct slice){text, (uint32_t)n}),
	                 0);
	ck_assert_int_eq(buf_add(&out, "", 1), 0);
	return (const char *)out.data;
}

TEST(every_text_becomes_valid_json)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
	    {"", "\"\""},
	    {"plain", "\"plain\""},
	    {"a\"b\\c", "\"a\\\"b\\\\c\""},
	    {"</script>", "\"</script>\""},
	    {"\n\t\r\x01\x1f\x7f",
	     "\"\\u000a\\u0009\\u000d\\u0001\\u001f\\u007f\""},
	    {"\xE2\x80\xA8\xE2\x80\xA9", "\"\\u2028\\u2029\""},
	    {"æ日👍", "\"æ日👍\""},
	    {"\xE2\x80\xAE", "\"\\u202e\""},
	    {"\xF3\xA0\x81\x81", "\"\\udb40\\udc41\""}, /* a tag */
	    {"\xff\x80x", "\"\\ufffd\\ufffdx\""},
	    {"\xE2\x82", "\"\\ufffd\\ufffd\""}, /* cut */
	    {"\xC0\xAF", "\"\\ufffd\\ufffd\""}, /* overlong */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_str_eq(json_of(cases[i].text, strlen(cases[i].text)),
		                 cases[i].json);
	ck_assert_str_eq(json_of("a\0b", 3), "\"a\\u0000b\"");
}

/* Quotes and backslashes are part of the JSON, and stay. */
TEST(json_is_escaped_within_its_strings)
{
	static const char json[] = "{\"a\\n\":\"\x7f\xE2\x80\xAE\xff\"}";
	struct buf out;

	buf_init(&out, 1 * MIB);
	ck_assert_int_eq(json_text_add_escaped(&out, json, sizeof json - 1), 0);
	ck_assert_int_eq(buf_add(&out, "", 1), 0);
	ck_assert_str_eq((const char *)out.data,
	                 "{\"a\\n\":\"\\u007f\\u202e\\ufffd\"}");
	buf_fini(&out);
}

TEST(what_has_no_room_is_an_error)
{
	struct buf out;

	buf_init(&out, 4);
	ck_assert_int_eq(json_text_add(&out, slice_of("12345")), -EMSGSIZE);
	buf_fini(&out);
}
