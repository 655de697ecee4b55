/* test_head - request heads: what is accepted, and what each rule refuses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libhttp/head.h"
#include "tests/support/test.h"

#define TOKEN_BYTES                                                            \
	"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"                  \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* RFC 3986's characters without '%', and what browsers leave in a query. */
#define TARGET_BYTES                                                           \
	"!$&'()*+,-./:;=?@[]_~^`{|}0123456789abcdefghijklmnopqrstuvwxyz"       \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* A request with these headers after its Host. */
#define WITH(headers) "GET / HTTP/1.1\r\nHost: x\r\n" headers "\r\n"

/* The head that was parsed last, in memory of exactly its size. */
static struct http_head head;
static char *bytes;
static const char *why;

static void
teardown(void)
{
	free(bytes);
	bytes = NULL;
}

/* What a server answers to the head, or 0. */
static int
parse_bytes(const char *text, size_t n)
{
	struct head_scan scan = {0};
	ssize_t length;
	int status;

	free(bytes);
	bytes = malloc(n);
	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, text, n);
	memset(&head, 0xa5, sizeof head); /* head_parse must set all of it */
	length = head_scan(&scan, bytes, n);
	if (length == HEAD_SCAN_BAD)
		return 400;
	ck_assert_int_eq(length, n);
	why = NULL;
	status = head_parse(bytes, n, &head, &why);
	if (status != 0) {
		ck_assert_ptr_nonnull(why);
		ck_assert_uint_gt(strlen(why), 0);
	}
	return status;
}

static int
parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void
accepts(const char *text)
{
	int status = parse(text);

	ck_assert_msg(status == 0, "refused with %d (%s): %s", status, why,
	              text);
}

static void
refuses(const char *text, int want)
{
	int status = parse(text);

	ck_assert_msg(status == want, "%d instead of %d: %s", status, want,
	              text);
}

static void
is_text(struct slice s, const char *want)
{
	ck_assert_uint_eq(s.bytes, strlen(want));
	ck_assert_mem_eq(s.data, want, s.bytes);
}

static bool
in_set(unsigned c, const char *set)
{
	return c != 0 && strchr(set, (int)c);
}

/* Return true if the head is accepted with this byte in place of the '\1'. */
static bool
accepts_byte(const char *text, unsigned c)
{
	char copy[256];
	size_t n = strlen(text);
	int status;

	ck_assert_uint_lt(n, sizeof copy);
	memcpy(copy, text, n + 1);
	*strchr(copy, '\1') = (char)c;
	status = parse_bytes(copy, n);
	ck_assert(status == 0 || status == 400);
	return status == 0;
}

/* What is accepted. */

TEST_CASE(accepted, .teardown = teardown);

TEST(a_request_is_taken_apart)
{
	accepts("POST /v1/events?partial=1&x=%20 HTTP/1.1\r\n"
	        "Host: a.example:8080\r\n"
	        "Content-Length: 5\r\n"
	        "X-Empty:\r\n"
	        "\r\n");
	is_text(head.method, "POST");
	is_text(head.path, "/v1/events");
	is_text(head.query, "partial=1&x=%20");
	ck_assert_uint_eq(head.minor, 1);
	ck_assert(head.keep_alive);
	ck_assert(!head.expect_continue);
	ck_assert(!head.chunked);
	ck_assert(head.has_length);
	ck_assert_uint_eq(head.content_length, 5);
	ck_assert_uint_eq(head.field_count, 3);
	is_text(head.fields[0].name, "Host");
	is_text(head.fields[0].value, "a.example:8080");
	is_text(head.fields[1].name, "Content-Length");
	is_text(head.fields[1].value, "5");
	is_text(head.fields[2].name, "X-Empty");
	is_text(head.fields[2].value, "");
}

TEST(a_request_without_body_is_complete)
{
	accepts(WITH(""));
	is_text(head.method, "GET");
	is_text(head.path, "/");
	ck_assert_ptr_null(head.query.data);
	ck_assert_uint_eq(head.query.bytes, 0);
	ck_assert(!head.chunked);
	ck_assert(!head.has_length);
	ck_assert_uint_eq(head.content_length, 0);
	ck_assert(!head.expect_continue);
}

TEST(an_empty_query_is_a_query)
{
	accepts("GET /? HTTP/1.1\r\nHost: x\r\n\r\n");
	is_text(head.path, "/");
	ck_assert_ptr_nonnull(head.query.data);
	ck_assert_uint_eq(head.query.bytes, 0);
	accepts("GET /a?b?c HTTP/1.1\r\nHost: x\r\n\r\n");
	is_text(head.path, "/a");
	is_text(head.query, "b?c");
}

TEST(the_absolute_form_is_the_origin_form)
{
	static const struct {
		const char *target, *path, *query;
	} cases[] = {
	    {"http://a.example/v1/events", "/v1/events", NULL},
	    {"HTTP://A.example:80/v1/events?x=1", "/v1/events", "x=1"},
	    {"https://[::1]:8443/", "/", NULL},
	    {"http://a.example", "/", NULL},
	    {"http://a.example?x=1", "/", "x=1"},
	    {"http://a.example?", "/", ""},
	    {"http://a.example/a//b/../c?d/e", "/a//b/../c", "d/e"},
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text,
		               "GET %s HTTP/1.1\r\nHost: other\r\n\r\n",
		               cases[i].target);
		accepts(text);
		is_text(head.path, cases[i].path);
		if (cases[i].query)
			is_text(head.query, cases[i].query);
		else
			ck_assert_ptr_null(head.query.data);
	}
}

TEST(only_options_may_ask_for_the_server)
{
	accepts("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
	is_text(head.path, "*");
	ck_assert_ptr_null(head.query.data);
	accepts("OPTIONS /v1 HTTP/1.1\r\nHost: x\r\n\r\n");
	is_text(head.path, "/v1");
	refuses("GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("OPTIONS ** HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("OPTIONS *?a HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("options * HTTP/1.1\r\nHost: x\r\n\r\n", 400);
}

TEST(the_client_decides_whether_the_connection_goes_on)
{
	static const struct {
		const char *version, *headers;
		bool keep_alive;
	} cases[] = {
	    {"1.1", "", true},
	    {"1.1", "Connection: close\r\n", false},
	    {"1.1", "Connection: CLOSE\r\n", false},
	    {"1.1", "connection:close\r\n", false},
	    {"1.1", "Connection: keep-alive\r\n", true},
	    {"1.1", "Connection: Upgrade, close\r\n", false},
	    {"1.1", "Connection: close ,\tTE\r\n", false},
	    {"1.1", "Connection: ,, close,,\r\n", false},
	    {"1.1", "Connection: a\r\nConnection: close\r\n", false},
	    {"1.1", "Connection: close\r\nConnection: a\r\n", false},
	    {"1.1", "Connection: close, keep-alive\r\n", false},
	    {"1.1", "Connection: disclose\r\n", true},
	    {"1.1", "Connection: closed, clos\r\n", true},
	    {"1.1", "Connection:\r\n", true},
	    {"1.1", "X-Connection: close\r\n", true},
	    {"1.0", "", false},
	    {"1.0", "Connection: keep-alive\r\n", true},
	    {"1.0", "Connection: Keep-Alive\r\n", true},
	    {"1.0", "Connection: TE, keep-alive\r\n", true},
	    {"1.0", "Connection: x\r\nConnection: keep-alive\r\n", true},
	    {"1.0", "Connection: keep-alive\r\nConnection: close\r\n", false},
	    {"1.0", "Keep-Alive: 5\r\n", false},
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text,
		               "GET / HTTP/%s\r\nHost: x\r\n%s\r\n",
		               cases[i].version, cases[i].headers);
		accepts(text);
		ck_assert_uint_eq(head.minor, cases[i].version[2] - '0');
		ck_assert_msg(head.keep_alive == cases[i].keep_alive, "%s",
		              text);
	}
}

TEST(connection_is_a_list_of_tokens)
{
	static const char *const good[] = {"",          ",",       "close",
	                                   "a , close", "a,,b,",   "X-Hop",
	                                   "\tclose ,", "TE,close"};
	static const char *const malformed[] = {
	    "close x",    "x close",    "close;", "\"close\"",
	    "a=b, close", "close, a b", "(close)"};
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		(void)snprintf(text, sizeof text,
		               "GET / HTTP/1.1\r\nHost: x\r\nConnection: "
		               "%s\r\n\r\n",
		               good[i]);
		accepts(text);
	}
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		(void)snprintf(text, sizeof text,
		               "GET / HTTP/1.1\r\nHost: x\r\nConnection: "
		               "%s\r\n\r\n",
		               malformed[i]);
		refuses(text, 400);
	}
}

TEST(we_are_no_proxy)
{
	refuses("CONNECT a.example:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

TEST(white_space_around_a_value_is_not_part_of_it)
{
	static const char *const values[] = {
	    "a b", " a b", "\ta b", " \t a b", "a b ", "a b\t", "  a b \t ",
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		(void)snprintf(text, sizeof text, WITH("X:%s\r\n"), values[i]);
		accepts(text);
		is_text(head.fields[1].value, "a b");
	}
	accepts(WITH("X: \t \r\n"));
	is_text(head.fields[1].value, "");
	accepts(WITH("X: a\t\tb\r\n"));
	is_text(head.fields[1].value, "a\t\tb");
	accepts(WITH("X: a:b: c\r\n"));
	is_text(head.fields[1].name, "X");
	is_text(head.fields[1].value, "a:b: c");
}

TEST(a_value_may_hold_all_but_control_characters)
{
	for (unsigned c = 0; c < 256; c++) {
		bool want = c == '\t' || (c >= 0x20 && c != 0x7f);

		ck_assert_msg(accepts_byte(WITH("X: a\1b\r\n"), c) == want,
		              "byte 0x%02x", c);
		ck_assert_msg(accepts_byte(WITH("X:\1\r\n"), c) == want,
		              "byte 0x%02x alone", c);
	}
	accepts(WITH("X: \xc3\xa4\xff\x80\r\n"));
	is_text(head.fields[1].value, "\xc3\xa4\xff\x80");
}

TEST(names_and_methods_are_tokens)
{
	for (unsigned c = 0; c < 256; c++) {
		bool token = in_set(c, TOKEN_BYTES);

		ck_assert_msg(accepts_byte(WITH("A\1B: x\r\n"), c) ==
		                  (token || c == ':'),
		              "byte 0x%02x in a name", c);
		ck_assert_msg(accepts_byte(WITH("\1: x\r\n"), c) == token,
		              "byte 0x%02x as a name", c);
		ck_assert_msg(accepts_byte("G\1T / HTTP/1.1\r\nHost: x\r\n\r\n",
		                           c) == token,
		              "byte 0x%02x in a method", c);
	}
}

TEST(targets_are_printable_ascii_without_fragment)
{
	for (unsigned c = 0; c < 256; c++) {
		bool want = in_set(c, TARGET_BYTES);

		ck_assert_msg(
		    accepts_byte("GET /a\1b HTTP/1.1\r\nHost: x\r\n\r\n", c) ==
			want,
		    "byte 0x%02x in a path", c);
		ck_assert_msg(
		    accepts_byte("GET /?a\1 HTTP/1.1\r\nHost: x\r\n\r\n", c) ==
			want,
		    "byte 0x%02x in a query", c);
	}
}

TEST(the_first_header_of_a_name_is_found)
{
	const struct slice *value;

	accepts(WITH("Accept: a\r\nX: 1\r\naccept: b\r\nY:\r\n"));
	value = http_header(&head, "ACCEPT");
	ck_assert_ptr_nonnull(value);
	is_text(*value, "a");
	value = http_header(&head, "y");
	ck_assert_ptr_nonnull(value);
	is_text(*value, "");
	ck_assert_ptr_null(http_header(&head, "Accep"));
	ck_assert_ptr_null(http_header(&head, "Accept2"));
	ck_assert_ptr_null(http_header(&head, ""));
	accepts("GET / HTTP/1.0\r\n\r\n");
	ck_assert_ptr_null(http_header(&head, "Host"));
}

TEST(parameters_of_the_query_are_unescaped)
{
	static const struct {
		const char *name, *value;
	} cases[] = {
	    {"a", "1"},   {"b", "x y z"}, {"c", ""},         {"d", ""},
	    {"e", "=&%"}, {"f", "g=h"},   {"h", "\xc3\xa4"}, {"i", "?/:"},
	    {"k", NULL},  {"A", NULL},    {"aa", NULL},      {"b=x", NULL},
	    {"z", NULL},  {"g", NULL},
	};
	char out[16];

	accepts("GET /a=0&z=1?a=1&b=x%20y+z&c=&d&e=%3d%26%25&f=g=h"
	        "&h=%C3%a4&i=?/:&a=2&&c=3 HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int n = http_query(&head, cases[i].name, out, sizeof out);

		if (!cases[i].value) {
			ck_assert_int_eq(n, -ENOENT);
			continue;
		}
		ck_assert_int_eq(n, strlen(cases[i].value));
		ck_assert_str_eq(out, cases[i].value);
	}
	accepts(WITH(""));
	ck_assert_int_eq(http_query(&head, "a", out, sizeof out), -ENOENT);
	accepts("GET /? HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(http_query(&head, "a", out, sizeof out), -ENOENT);
}

TEST(a_parameter_that_does_not_fit_is_an_error)
{
	char out[8] = "#######";

	accepts("GET /?a=12%33&b= HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(http_query(&head, "a", out, 4), 3);
	ck_assert_mem_eq(out, "123\0###", 7);
	memset(out, '#', sizeof out);
	ck_assert_int_eq(http_query(&head, "a", out, 3), -EMSGSIZE);
	ck_assert_mem_eq(out + 3, "####", 4);
	ck_assert_int_eq(http_query(&head, "a", out, 1), -EMSGSIZE);
	ck_assert_int_eq(http_query(&head, "b", out, 1), 0);
	ck_assert_str_eq(out, "");
	memset(out, '#', sizeof out);
	ck_assert_int_eq(http_query(&head, "a", out, 0), -EMSGSIZE);
	ck_assert_int_eq(http_query(&head, "b", out, 0), -EMSGSIZE);
	ck_assert_mem_eq(out, "########", 8);
}

/* What is refused. */

TEST_CASE(refused, .teardown = teardown);

TEST(lines_end_with_crlf_and_nothing_else)
{
	static const char *const cases[] = {
	    "GET / HTTP/1.1\nHost: x\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: x\r\n\n",
	    "GET / HTTP/1.1\r\nHost: x\n\n",
	    "GET / HTTP/1.1\rHost: x\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: x\r\n\r\r\n",
	    "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: x\r\n\rA: b\r\n\r\n",
	    WITH("A: b\rc\r\n"),
	    WITH("A: b\nc\r\n"),
	    WITH("A: b\r\r\nc\r\n"),
	    WITH("A\r: b\r\n"),
	    WITH("A\n: b\r\n"),
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refuses(cases[i], 400);
}

TEST(nothing_comes_before_the_request_line)
{
	refuses("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses(" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("\tGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("\xef\xbb\xbfGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
}

TEST(lines_are_not_folded)
{
	refuses(WITH("A: b\r\n c\r\n"), 400);
	refuses(WITH("A: b\r\n\tc\r\n"), 400);
	refuses(WITH("A: b\r\n c: d\r\n"), 400);
	refuses(WITH("A: b\r\n \r\n"), 400);
	refuses("GET /\r\n HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\n\tHost: x\r\nHost: x\r\n\r\n", 400);
}

TEST(no_white_space_is_taken_before_a_colon)
{
	refuses(WITH("A : b\r\n"), 400);
	refuses(WITH("A\t: b\r\n"), 400);
	refuses(WITH("Content-Length : 5\r\n"), 400);
	refuses("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\nHost: x\r\nHost : x\r\n\r\n", 400);
}

TEST(headers_have_a_name_and_a_colon)
{
	refuses(WITH("A\r\n"), 400);
	refuses(WITH("A b\r\n"), 400);
	refuses(WITH(": b\r\n"), 400);
	refuses(WITH(":\r\n"), 400);
	refuses(WITH("\"A\": b\r\n"), 400);
	refuses(WITH("\xc3\xa4: b\r\n"), 400);
}

TEST(no_byte_is_nul)
{
	static const char good[] =
	    "GET /a?b HTTP/1.1\r\nHost: x\r\nA: b c\r\n\r\n";
	char text[sizeof good];

	for (size_t i = 0; i < sizeof good - 1; i++) {
		memcpy(text, good, sizeof good);
		text[i] = '\0';
		ck_assert_int_eq(parse_bytes(text, sizeof good - 1), 400);
	}
}

TEST(the_request_line_has_three_parts)
{
	static const char *const cases[] = {
	    "GET",
	    "GET ",
	    "GET /",
	    "GET / ",
	    "GET HTTP/1.1",
	    "GET  HTTP/1.1",
	    "GET  / HTTP/1.1",
	    "GET /  HTTP/1.1",
	    "GET / HTTP/1.1 ",
	    "GET\t/\tHTTP/1.1",
	    "GET /\tHTTP/1.1",
	    "GET\t/ HTTP/1.1",
	    "GET /a b HTTP/1.1",
	    "GET / HTTP/1.1 HTTP/1.1",
	    "/ HTTP/1.1",
	    "GET: / HTTP/1.1",
	    "GET / http/1.1",
	    "GET / Http/1.1",
	    "GET / HTTP/1",
	    "GET / HTTP/1.",
	    "GET / HTTP/.1",
	    "GET / HTTP/11",
	    "GET / HTTP/1.10",
	    "GET / HTTP/01.1",
	    "GET / HTTP/1.01",
	    "GET / HTTP/+1.1",
	    "GET / HTTP/1,1",
	    "GET / HTTP/1.x",
	    "GET / HTTP/ 1.1",
	    "GET / HTTP 1.1",
	    "GET / HTTPS/1.1",
	    "GET / 1.1",
	    "GET / ICY/1.1",
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text, "%s\r\nHost: x\r\n\r\n",
		               cases[i]);
		refuses(text, 400);
	}
	refuses("GET /\r\n\r\n", 400);
	refuses("Host: x\r\n\r\n", 400);
}

TEST(other_versions_are_named)
{
	static const char *const versions[] = {"0.9", "1.2", "1.9", "2.0",
	                                       "2.1", "3.0", "9.9", "0.0"};
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		(void)snprintf(text, sizeof text,
		               "GET / HTTP/%s\r\nHost: x\r\n\r\n", versions[i]);
		refuses(text, 505);
	}
	refuses("PRI * HTTP/2.0\r\n\r\n", 505);
}

TEST(targets_are_paths_or_urls)
{
	static const char *const cases[] = {
	    "a",
	    "?a",
	    "a/b",
	    "*",
	    "a.example:80",
	    "http:",
	    "http:/a",
	    "http://",
	    "http:///a",
	    "http://?a",
	    "http://:\"/",
	    "http://user@a.example/",
	    "http://user:x@a.example/",
	    "ftp://a.example/",
	    "ws://a.example/",
	    "httpx://a.example/",
	    "javascript:alert(1)",
	    "/#a",
	    "/a?b#c",
	    "http://a.example/#a",
	    "http://a.example#a",
	    "/\\a",
	    "/<a>",
	    "/\"a\"",
	    "\\",
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text,
		               "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i]);
		refuses(text, 400);
	}
	refuses("CONNECT a.example:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400);
}

TEST(percent_escapes_are_two_hexadecimal_digits)
{
	static const struct {
		const char *target;
		bool good;
	} cases[] = {
	    {"/%20", true},
	    {"/%7e%7E%fF", true},
	    {"/?%01", true},
	    {"/%2e%2e/%2f", true},
	    {"/%250", true},
	    {"/%", false},
	    {"/%2", false},
	    {"/%2?", false},
	    {"/%?20", false},
	    {"/%g0", false},
	    {"/%0g", false},
	    {"/%%20", false},
	    {"/% 20", false},
	    {"/%+1", false},
	    {"/%-1", false},
	    {"/%0x", false},
	    {"/%00", false},
	    {"/a%00b", false},
	    {"/?a=%00", false},
	    {"/?%", false},
	    {"/?a=%2", false},
	    {"http://a/%00", false},
	    {"http://a%00/", false},
	    {"http://a%/", false},
	    {"http://%61.example/", false}, /* a host has none */
	    {"http://a.example/%61", true},
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text,
		               "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
		               cases[i].target);
		if (cases[i].good)
			accepts(text);
		else
			refuses(text, 400);
	}
}

TEST(there_is_one_host)
{
	refuses("GET / HTTP/1.1\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\nA: b\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\nHosts: x\r\n\r\n", 400);
	refuses("GET http://x/ HTTP/1.1\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", 400);
	refuses("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nHOST:\r\n\r\n", 400);
	refuses("GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400);
	accepts("GET / HTTP/1.0\r\n\r\n");
	accepts("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
	accepts("GET / HTTP/1.1\r\nhOST:x\r\n\r\n");
}

TEST(a_host_is_a_name_or_an_address)
{
	static const char *const good[] = {
	    "x",
	    "a.example",
	    "a.example:80",
	    "a-b_c.example",
	    "127.0.0.1",
	    "127.0.0.1:80",
	    "[::1]",
	    "[::ffff:1.2.3.4]:8080",
	    "a:",
	    "",
	};
	static const char *const malformed[] = {
	    "a b",
	    "a/b",
	    "a@b",
	    "a?b",
	    "a#b",
	    "a\\b",
	    "a\tb",
	    "\"a\"",
	    "<a>",
	    "a|b",
	    "a^b",
	    "\xc3\xa4",
	    "http://",
	    "user@a:1",
	    "a%zz",
	    "a%00b",
	    "a%",
	    "{a}",
	    "a:b",
	    "a:1:2",
	    "]",
	    "[",
	    "[]",
	    "[::1",
	    "[::1]x",
	    "[::1]:x",
	    "x:65536",
	    "x:99999999999",
	    "[fe80::1%25lo]",
	    "::1",
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		(void)snprintf(text, sizeof text,
		               "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
		accepts(text);
	}
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		(void)snprintf(text, sizeof text,
		               "GET / HTTP/1.%zu\r\nHost: %s\r\n\r\n", i % 2,
		               malformed[i]);
		refuses(text, 400);
	}
}

TEST(a_length_is_one_decimal_number)
{
	static const struct {
		const char *headers;
		uint64_t length;
		bool good;
	} cases[] = {
	    {"Content-Length: 0\r\n", 0, true},
	    {"content-length:7\r\n", 7, true},
	    {"Content-Length: \t42 \r\n", 42, true},
	    {"Content-Length: 18446744073709551615\r\n", UINT64_MAX, true},
	    {"Content-Length: 18446744073709551616\r\n", 0, false},
	    {"Content-Length: 18446744073709551620\r\n", 0, false},
	    {"Content-Length: 28446744073709551615\r\n", 0, false},
	    {"Content-Length: 184467440737095516150\r\n", 0, false},
	    {"Content-Length: 99999999999999999999999999\r\n", 0, false},
	    {"Content-Length:\r\n", 0, false},
	    {"Content-Length: +5\r\n", 0, false},
	    {"Content-Length: -5\r\n", 0, false},
	    {"Content-Length: -0\r\n", 0, false},
	    {"Content-Length: 0x5\r\n", 0, false},
	    {"Content-Length: 5a\r\n", 0, false},
	    {"Content-Length: 5.0\r\n", 0, false},
	    {"Content-Length: 5 5\r\n", 0, false},
	    {"Content-Length: 5, 5\r\n", 0, false},
	    {"Content-Length: 5,\r\n", 0, false},
	    {"Content-Length: \"5\"\r\n", 0, false},
	    {"Content-Length: \xb2\r\n", 0, false},
	    {"Content-Length: 5\r\nContent-Length: 5\r\n", 0, false},
	    {"Content-Length: 5\r\ncontent-length: 6\r\n", 0, false},
	    {"Content-Length: 5\r\nContent-Length:\r\n", 0, false},
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int minor = 0; minor < 2; minor++) {
			(void)snprintf(text, sizeof text,
			               "POST / HTTP/1.%d\r\nHost: x\r\n%s\r\n",
			               minor, cases[i].headers);
			if (!cases[i].good) {
				refuses(text, 400);
				continue;
			}
			accepts(text);
			ck_assert(head.has_length);
			ck_assert_uint_eq(head.content_length, cases[i].length);
		}
	}
}

TEST(the_only_coding_is_chunked)
{
	static const char *const refused[] = {
	    "gzip",          "chunked, chunked",
	    "gzip, chunked", "chunked, gzip",
	    "chunked,",      ", chunked",
	    "chunked;a=b",   "xchunked",
	    "chunkedx",      "chunked chunked",
	    "\"chunked\"",   "\vchunked",
	    "identity",      "",
	};
	char text[128];

	accepts(WITH("Transfer-Encoding: chunked\r\n"));
	ck_assert(head.chunked);
	ck_assert(!head.has_length);
	accepts(WITH("TRANSFER-ENCODING:\tChunked \r\n"));
	ck_assert(head.chunked);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		(void)snprintf(text, sizeof text,
		               WITH("Transfer-Encoding: %s\r\n"), refused[i]);
		refuses(text, 400);
	}
	refuses(WITH("Transfer-Encoding: chunked\r\n"
	             "Transfer-Encoding: chunked\r\n"),
	        400);
	refuses(WITH("Transfer-Encoding: chunked\r\n"
	             "transfer-encoding:\r\n"),
	        400);
	refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

TEST(a_length_and_a_coding_exclude_each_other)
{
	refuses(WITH("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
	        400);
	refuses(WITH("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
	        400);
	refuses(WITH("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
	        400);
	refuses(WITH("Content-Length: 0\r\nA: b\r\n"
	             "TRANSFER-encoding: CHUNKED\r\n"),
	        400);
}

TEST(the_only_expectation_is_100_continue)
{
	accepts(WITH("Expect: 100-continue\r\nContent-Length: 1\r\n"));
	ck_assert(head.expect_continue);
	accepts(WITH("expect:100-Continue\r\nContent-Length: 1\r\n"));
	ck_assert(head.expect_continue);
	refuses(WITH("Expect: 200-ok\r\n"), 417);
	refuses(WITH("Expect: 100-continue, 200-ok\r\n"), 417);
	refuses(WITH("Expect: 100-continue;a=b\r\n"), 417);
	refuses(WITH("Expect: 100\r\n"), 417);
	refuses(WITH("Expect:\r\n"), 417);
	/* HTTP/1.0 has no interim answers: RFC 9110, section 10.1.1. */
	accepts("POST / HTTP/1.0\r\nExpect: 100-continue\r\n"
	        "Content-Length: 1\r\n\r\n");
	ck_assert(!head.expect_continue);
}

/* A head with this many headers, of which the first is its Host. */
static int
parse_fields(unsigned count)
{
	char text[KIB * 4] = "GET / HTTP/1.1\r\nHost: x\r\n";
	size_t n = strlen(text);

	for (unsigned i = 1; i < count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "A%u: %u\r\n",
		                      i, i);
	(void)snprintf(text + n, sizeof text - n, "\r\n");
	return parse(text);
}

TEST(headers_are_counted)
{
	ck_assert_int_eq(parse_fields(HEAD_FIELDS_MAX), 0);
	ck_assert_uint_eq(head.field_count, HEAD_FIELDS_MAX);
	is_text(head.fields[HEAD_FIELDS_MAX - 1].name, "A99");
	is_text(head.fields[HEAD_FIELDS_MAX - 1].value, "99");
	ck_assert_int_eq(parse_fields(HEAD_FIELDS_MAX + 1), 431);
	ck_assert_int_eq(parse_fields(HEAD_FIELDS_MAX * 3), 431);
}

TEST(one_line_is_read_as_a_header)
{
	static const char good[] = "Name:\tvalue ";
	static const char *const refused[] = {
	    "",       ":",     ": v",      "n",       "n v",     " n: v",
	    "\tn",    "n : v", "n\x01: v", "n: \x01", "n: \x7f", "n: a\r\nb: c",
	    "n: a\r",
	};
	struct http_field field;
	char *line = malloc(sizeof good - 1);

	ck_assert_ptr_nonnull(line);
	memcpy(line, good, sizeof good - 1);
	ck_assert_ptr_null(head_parse_field(line, sizeof good - 1, &field));
	is_text(field.name, "Name");
	is_text(field.value, "value");
	ck_assert_ptr_eq(field.name.data, line);
	ck_assert_ptr_null(head_parse_field("n:", 2, &field));
	is_text(field.name, "n");
	is_text(field.value, "");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		ck_assert_msg(head_parse_field(refused[i], strlen(refused[i]),
		                               &field) != NULL,
		              "%s", refused[i]);
	free(line);
}

/* The search for the end. */

/*
 * Scan the first n bytes of text. The first `before` of them were scanned by
 * earlier calls; they are overwritten, so that the result cannot depend on
 * them.
 */
static ssize_t
scan_on(struct head_scan *scan, const char *text, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);
	ssize_t length;

	ck_assert_ptr_nonnull(copy);
	ck_assert_uint_le(scan->done, n);
	memcpy(copy, text, n);
	memset(copy, '\0', scan->done);
	length = head_scan(scan, copy, n);
	free(copy);
	return length;
}

static ssize_t
scan_in_two(const char *text, size_t n, size_t cut)
{
	struct head_scan scan = {0};
	ssize_t length = scan_on(&scan, text, cut);

	return length != 0 ? length : scan_on(&scan, text, n);
}

static ssize_t
scan_in_bytes(const char *text, size_t n, size_t *used)
{
	struct head_scan scan = {0};
	ssize_t length = 0;

	for (*used = 0; length == 0 && *used < n;) {
		++*used;
		length = scan_on(&scan, text, *used);
	}
	return length;
}

TEST_CASE(scan);

TEST(the_end_is_found_wherever_the_head_is_cut)
{
	static const struct {
		const char *text;
		ssize_t length;
	} cases[] = {
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
	    {"GET / HTTP/1.0\r\n\r\n", 18},
	    {"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", 18},
	    {"GET / HTTP/1.0\r\n\r\n\r\n\r\n\x01\n", 18},
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r", 0},
	    {"GET / HTTP/1.1\r\nHost: x\r\n", 0},
	    {"GET / HTTP/1.1\r\nHost: x", 0},
	    {"G", 0},
	    {"", 0},
	    {"GET / HTTP/1.1\r\nHost: x\n\r\n", HEAD_SCAN_BAD},
	    {"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", HEAD_SCAN_BAD},
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r\r\n", HEAD_SCAN_BAD},
	    {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HEAD_SCAN_BAD},
	    {"\r\nGET / HTTP/1.1\r\n\r\n", HEAD_SCAN_BAD},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = cases[i].text;
		size_t n = strlen(text), used;

		ck_assert_int_eq(scan_in_bytes(text, n, &used),
		                 cases[i].length);
		if (cases[i].length > 0)
			ck_assert_uint_eq(used, cases[i].length);
		for (size_t cut = 0; cut <= n; cut++)
			ck_assert_msg(scan_in_two(text, n, cut) ==
			                  cases[i].length,
			              "cut at %zu: %s", cut, text);
	}
}

TEST(a_bad_byte_is_noticed_when_it_arrives)
{
	static const struct {
		const char *text;
		size_t bytes; /* up to the bad one */
	} cases[] = {
	    {"\r\n", 1},
	    {"\n", 1},
	    {" GET", 1},
	    {"\x16\x03\x01\x02", 1}, /* TLS to a port without it */
	    {"GET / HTTP/1.1\nHost", 15},
	    {"GET / HTTP/1.1\rHost", 16},
	    {"GET / HTTP/1.1\r\n Host", 17},
	    {"GET / HTTP/1.1\r\n\tHost", 17},
	    {"GET / HTTP/1.1\r\nHost: \x01 and", 23},
	    {"GET / HTTP/1.1\r\nHost: \x7f and", 23},
	    {"GET / HTTP/1.1\r\nHost: x\r\n\rx", 27},
	    {"GET /\x1b", 6},
	};
	struct head_scan scan = {0};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = cases[i].text;
		size_t n = strlen(text), used;

		ck_assert_int_eq(scan_in_bytes(text, n, &used), HEAD_SCAN_BAD);
		ck_assert_msg(used == cases[i].bytes, "%zu bytes: %s", used,
		              text);
	}
	ck_assert_int_eq(scan_on(&scan, "GET \0 ", 6), HEAD_SCAN_BAD);
}
