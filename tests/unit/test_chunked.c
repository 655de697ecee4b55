/* test_chunked - chunked bodies: what is accepted, and what each rule refuses.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libhttp/chunked.h"
#include "tests/support/test.h"

#define BODY_MAX 4096

/* A body, read from pieces. */
struct reading {
	struct chunked chunked;
	enum chunked_result result;
	size_t used; /* bytes, of all pieces */
	char body[BODY_MAX];
	size_t body_bytes;
};

/*
 * Parse the next n bytes, in memory of exactly their size. What is not used
 * must not change.
 */
static void
read_piece(struct reading *r, const char *piece, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1), *at = copy, *data = NULL;
	size_t left = n, data_bytes = 0;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, piece, n);
	do {
		char *from = at;

		r->result =
		    chunked_read(&r->chunked, &at, &left, &data, &data_bytes);
		ck_assert(at >= from);
		ck_assert_ptr_eq(at, copy + n - left);
		if (r->result != CHUNKED_DATA)
			break;
		ck_assert_uint_gt(data_bytes, 0);
		ck_assert(data >= from);
		ck_assert(data + data_bytes <= at);
		ck_assert_uint_le(r->body_bytes + data_bytes, BODY_MAX);
		memcpy(r->body + r->body_bytes, data, data_bytes);
		r->body_bytes += data_bytes;
	} while (true);
	if (r->result == CHUNKED_MORE)
		ck_assert_uint_eq(left, 0);
	if (r->result == CHUNKED_BAD)
		ck_assert_ptr_nonnull(r->chunked.why);
	ck_assert_mem_eq(at, piece + n - left, left);
	r->used += n - left;
	free(copy);
}

static bool
is_over(const struct reading *r)
{
	return r->result == CHUNKED_END || r->result == CHUNKED_BAD;
}

static struct reading
read_pieces(const char *text, size_t n, size_t piece)
{
	struct reading r = {.result = CHUNKED_MORE};

	for (size_t at = 0; at < n && !is_over(&r); at += piece)
		read_piece(&r, text + at, piece < n - at ? piece : n - at);
	return r;
}

static struct reading
read_in_two(const char *text, size_t n, size_t cut)
{
	struct reading r = {.result = CHUNKED_MORE};

	read_piece(&r, text, cut);
	if (!is_over(&r))
		read_piece(&r, text + cut, n - cut);
	return r;
}

static void
is_same(const struct reading *a, const struct reading *b)
{
	ck_assert_int_eq(a->result, b->result);
	ck_assert_uint_eq(a->body_bytes, b->body_bytes);
	ck_assert_mem_eq(a->body, b->body, a->body_bytes);
	if (a->result == CHUNKED_END)
		ck_assert_uint_eq(a->used, b->used);
}

/*
 * Parse the text as a whole, and split at every byte: the result must be the
 * same.
 */
static struct reading
read_bytes(const char *text, size_t n)
{
	struct reading whole = read_pieces(text, n, n > 0 ? n : 1), other;

	other = read_pieces(text, n, 1);
	is_same(&whole, &other);
	for (size_t cut = 0; n <= 512 && cut <= n; cut++) {
		other = read_in_two(text, n, cut);
		is_same(&whole, &other);
	}
	return whole;
}

/* The text is a complete body, and nothing after it. */
static void
accepts(const char *text, const char *body)
{
	struct reading r = read_bytes(text, strlen(text));

	ck_assert_msg(r.result == CHUNKED_END, "%s: %s",
	              r.chunked.why ? r.chunked.why : "no end", text);
	ck_assert_uint_eq(r.used, strlen(text));
	ck_assert_uint_eq(r.body_bytes, strlen(body));
	ck_assert_mem_eq(r.body, body, r.body_bytes);
}

static void
refuses(const char *text)
{
	struct reading r = read_bytes(text, strlen(text));

	ck_assert_msg(r.result == CHUNKED_BAD, "not refused: %s", text);
}

static void
waits(const char *text)
{
	struct reading r = read_bytes(text, strlen(text));

	ck_assert_msg(r.result == CHUNKED_MORE, "not waiting: %s", text);
}

TEST(chunks_become_a_body)
{
	accepts("0\r\n\r\n", "");
	accepts("5\r\nhello\r\n0\r\n\r\n", "hello");
	accepts("1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n", "hello");
	accepts("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
	        "01234567890123456789");
	accepts("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
	accepts("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n");
	accepts("1A\r\nabcdefghijklmnopqrstuvwxyz\r\n000\r\n\r\n",
	        "abcdefghijklmnopqrstuvwxyz");
	accepts("05\r\nhello\r\n0\r\n\r\n", "hello");
	accepts("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello");
}

TEST(an_incomplete_body_waits_for_more)
{
	static const char text[] = "5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n";

	for (size_t n = 0; n < sizeof text - 1; n++) {
		struct reading r = read_bytes(text, n);

		ck_assert_int_eq(r.result, CHUNKED_MORE);
		ck_assert_uint_eq(r.used, n);
	}
	accepts(text, "hello");
}

TEST(what_follows_the_end_is_not_touched)
{
	static const char body[] = "3\r\nabc\r\n0\r\nA: b\r\n\r\n";
	static const char *const after[] = {
	    "\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n", "\n", " ",
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		struct reading r;
		int n = snprintf(text, sizeof text, "%s%s", body, after[i]);

		r = read_bytes(text, (size_t)n);
		ck_assert_int_eq(r.result, CHUNKED_END);
		ck_assert_uint_eq(r.used, sizeof body - 1);
		ck_assert_uint_eq(r.body_bytes, 3);
	}
}

TEST(a_body_may_hold_every_byte)
{
	char text[300] = "100\r\n";
	struct reading r;
	size_t n = strlen(text);

	for (unsigned c = 0; c < 256; c++)
		text[n++] = (char)c;
	memcpy(text + n, "\r\n0\r\n\r\n", 7);
	r = read_bytes(text, n + 7);
	ck_assert_int_eq(r.result, CHUNKED_END);
	ck_assert_uint_eq(r.body_bytes, 256);
	ck_assert_mem_eq(r.body, text + n - 256, 256);
}

TEST(a_size_is_hexadecimal_digits_only)
{
	char text[32];

	for (unsigned c = 1; c < 256; c++) {
		bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		             (c >= 'A' && c <= 'F');
		int n;

		n = snprintf(text, sizeof text, "1%c\r\n", (char)c);
		ck_assert_msg(read_bytes(text, (size_t)n).result ==
		                  (digit ? CHUNKED_MORE : CHUNKED_BAD),
		              "byte 0x%02x", c);
	}
	ck_assert_int_eq(read_bytes("1\0\r\n", 4).result, CHUNKED_BAD);
	refuses("\r\n");
	refuses("\r\n0\r\n\r\n");
	refuses(";a\r\n");
	refuses("0x5\r\nhello\r\n");
	refuses("+5\r\nhello\r\n");
	refuses("-5\r\nhello\r\n");
	refuses("-0\r\n\r\n");
	refuses(" 5\r\nhello\r\n");
	refuses("5 \r\nhello\r\n");
	refuses("5\t\r\nhello\r\n");
	refuses("5h\r\nhello\r\n");
	refuses("5,5\r\nhello\r\n");
	refuses("5.\r\nhello\r\n");
	refuses("g\r\n");
	refuses("\"5\"\r\nhello\r\n");
}

TEST(a_size_has_64_bits)
{
	struct reading r;

	r = read_bytes("ffffffffffffffff\r\nabc", 21);
	ck_assert_int_eq(r.result, CHUNKED_MORE);
	ck_assert_uint_eq(r.body_bytes, 3);
	ck_assert_uint_eq(r.chunked.left, UINT64_MAX - 3);
	waits("8000000000000000\r\nabc");
	refuses("10000000000000000\r\nabc");
	refuses("ffffffffffffffff0\r\nabc");
	refuses("10000000000000005\r\nhello\r\n");
	refuses("100000000000000000000000000000005\r\nhello\r\n");
}

TEST(extensions_are_read_over)
{
	accepts("3;a\r\nabc\r\n0;b\r\n\r\n", "abc");
	accepts("3;a=b\r\nabc\r\n0\r\n\r\n", "abc");
	accepts("3;a=b;c;d=e\r\nabc\r\n0\r\n\r\n", "abc");
	accepts("3;a=\"\"\r\nabc\r\n0\r\n\r\n", "abc");
	accepts("3;a=\"b c;d=\\\"e\\\\\"\r\nabc\r\n0\r\n\r\n", "abc");
	accepts("3;a=\"b\";c=\"\td\xc3\xa4\"\r\nabc\r\n0\r\n\r\n", "abc");
	accepts("3;!#$%&'*+-.^_`|~09azAZ=x\r\nabc\r\n0\r\n\r\n", "abc");
}

TEST(extensions_are_names_and_values)
{
	static const char *const cases[] = {
	    ";",
	    ";=",
	    ";=a",
	    ";a=",
	    ";a;",
	    ";;a",
	    "; a",
	    ";a =b",
	    ";a= b",
	    ";a ",
	    " ;a",
	    "\t;a",
	    ";a=b ;c",
	    ";a==b",
	    ";a=b=c",
	    ";a b",
	    ";a,b",
	    ";a:b",
	    ";\"a\"",
	    ";a=\"",
	    ";a=\"b",
	    ";a=\"b\\\"",
	    ";a=\"b\"c",
	    ";a=\"b\" ",
	    ";a=\"\\",
	    ";a=\"b\"\"c\"",
	    ";a=b\"c\"",
	    ";a=\x01",
	    ";a=\"\x01\"",
	    ";a=\x7f",
	    ";a=\"\x7f\"",
	    ";\xc3\xa4",
	    ";a=\xc3\xa4",
	    ";a=\"\\\x01\"",
	    ";a=\"\\\x7f\"",
	    ";a=(b)",
	    ";a\t",
	};
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text, "3%s\r\nabc\r\n0\r\n\r\n",
		               cases[i]);
		refuses(text);
		(void)snprintf(text, sizeof text, "0%s\r\n\r\n", cases[i]);
		refuses(text);
	}
	ck_assert_int_eq(read_bytes("3;a\0\r\n", 6).result, CHUNKED_BAD);
	ck_assert_int_eq(read_bytes("3;a=\"\0\"\r\n", 9).result, CHUNKED_BAD);
}

TEST(lines_end_with_crlf_and_nothing_else)
{
	refuses("3\nabc\r\n0\r\n\r\n");
	refuses("3\rabc\r\n0\r\n\r\n");
	refuses("3\r\r\nabc\r\n0\r\n\r\n");
	refuses("3\n\rabc\r\n0\r\n\r\n");
	refuses("3;a\nabc\r\n0\r\n\r\n");
	refuses("3;a\rb\r\nabc\r\n0\r\n\r\n");
	refuses("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n");
	refuses("3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n");
	refuses("3\r\nabc\n0\r\n\r\n");
	refuses("3\r\nabc\r0\r\n\r\n");
	refuses("3\r\nabc\r\r\n0\r\n\r\n");
	refuses("3\r\nabc0\r\n\r\n");
	refuses("3\r\nabcd\r\n0\r\n\r\n");
	refuses("3\r\nab\r\n0\r\n\r\n");
	refuses("3\r\nabc\r\n\r\n0\r\n\r\n");
	refuses("3\r\nabc\r\n0\n\r\n");
	refuses("3\r\nabc\r\n0\r\n\n");
	refuses("3\r\nabc\r\n0\r\n\r\r\n");
	refuses("3\r\nabc\r\n0\r\r\n\r\n");
	refuses("3\r\nabc\r\n0\r\nA: b\n\r\n");
	refuses("3\r\nabc\r\n0\r\nA: b\rc\r\n\r\n");
	refuses("3\r\nabc\r\n0\r\nA: b\r\n\n");
}

TEST(trailers_are_read_and_dropped)
{
	accepts("3\r\nabc\r\n0\r\nA: b\r\n\r\n", "abc");
	accepts("0\r\nA:\r\nB: c d\te\xff\r\n\r\n", "");
	accepts("0\r\nChecksum: 1\r\nChecksum: 2\r\n\r\n", "");
}

TEST(trailers_are_headers)
{
	refuses("0\r\nA\r\n\r\n");
	refuses("0\r\nA : b\r\n\r\n");
	refuses("0\r\n: b\r\n\r\n");
	refuses("0\r\nA: b\r\n c\r\n\r\n");
	refuses("0\r\n A: b\r\n\r\n");
	refuses("0\r\nA: \x01\r\n\r\n");
	refuses("0\r\nA: \x7f\r\n\r\n");
	refuses("0\r\nGET / HTTP/1.1\r\n\r\n");
	ck_assert_int_eq(read_bytes("0\r\nA: \0\r\n", 9).result, CHUNKED_BAD);
}

TEST(trailers_do_not_name_framing)
{
	static const char *const names[] = {
	    "Content-Length",
	    "content-length",
	    "Transfer-Encoding",
	    "Host",
	    "TRANSFER-ENCODING",
	    "Connection",
	    "Trailer",
	    "TE",
	    "Expect",
	    "Authorization",
	    "Content-Encoding",
	};
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(text, sizeof text, "0\r\nA: b\r\n%s: 0\r\n\r\n",
		               names[i]);
		refuses(text);
	}
	accepts("0\r\nContent-Lengths: 0\r\nHos: t\r\n\r\n", "");
}

/* A body whose first line has this many bytes, its CRLF included. */
static struct reading
read_line_of(size_t n)
{
	char text[2 * CHUNKED_LINE_MAX];

	memset(text, 'a', sizeof text);
	text[0] = '0';
	text[1] = ';';
	memcpy(text + n - 2, "\r\n\r\n", 4);
	return read_bytes(text, n + 2);
}

TEST(lines_have_a_limit)
{
	struct reading r;
	char text[2 * CHUNKED_LINE_MAX];

	ck_assert_int_eq(read_line_of(CHUNKED_LINE_MAX).result, CHUNKED_END);
	ck_assert_int_eq(read_line_of(CHUNKED_LINE_MAX + 3).result,
	                 CHUNKED_BAD);
	/* It is refused before its end. */
	memset(text, 'a', sizeof text);
	text[0] = '0';
	text[1] = ';';
	r = read_bytes(text, sizeof text);
	ck_assert_int_eq(r.result, CHUNKED_BAD);
	ck_assert_uint_le(r.used, CHUNKED_LINE_MAX + 3);
	memset(text, '0', sizeof text);
	ck_assert_int_eq(read_bytes(text, sizeof text).result, CHUNKED_BAD);
}

/* A body with trailers of this many bytes, their last CRLF included. */
static struct reading
read_trailers_of(size_t n)
{
	char text[2 * CHUNKED_TRAILERS_MAX + 8] = "0\r\n";
	size_t at = 3, end = n + 3;

	while (at + 2 < end) {
		size_t line = end - 2 - at > 100 ? 64 : end - 2 - at;

		memset(text + at, 'v', line);
		memcpy(text + at, "A:", 2);
		memcpy(text + at + line - 2, "\r\n", 2);
		at += line;
	}
	memcpy(text + at, "\r\n", 2);
	return read_bytes(text, end);
}

TEST(trailers_have_a_limit)
{
	ck_assert_int_eq(read_trailers_of(1000).result, CHUNKED_END);
	ck_assert_int_eq(read_trailers_of(CHUNKED_TRAILERS_MAX).result,
	                 CHUNKED_END);
	ck_assert_int_eq(read_trailers_of(CHUNKED_TRAILERS_MAX + 3).result,
	                 CHUNKED_BAD);
	ck_assert_int_eq(read_trailers_of(2 * CHUNKED_TRAILERS_MAX).result,
	                 CHUNKED_BAD);
}

TEST(one_trailer_has_the_limit_of_a_line)
{
	char text[2 * CHUNKED_LINE_MAX];

	memset(text, 'v', sizeof text);
	memcpy(text, "0\r\nA:", 5);
	memcpy(text + 3 + CHUNKED_LINE_MAX - 2, "\r\n\r\n", 4);
	ck_assert_int_eq(read_bytes(text, 3 + CHUNKED_LINE_MAX + 2).result,
	                 CHUNKED_END);
	memset(text + 5, 'v', sizeof text - 5);
	ck_assert_int_eq(read_bytes(text, sizeof text).result, CHUNKED_BAD);
}
