/* test_splitter - where the events of a stream of JSON begin and end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/splitter.h"
#include "libbase/buf.h"
#include "tests/support/test.h"

static struct splitter splitter;
static struct buf got;

static void
setup(void)
{
	ck_assert_int_eq(splitter_init(&splitter), 0);
	buf_init(&got, 16 * MIB);
}

static void
teardown(void)
{
	splitter_fini(&splitter);
	buf_fini(&got);
}

TEST_CASE(splitting, .setup = setup, .teardown = teardown);

/* Give the splitter the next at most `step` bytes of the text. */
static void
feed(const char *text, size_t bytes, size_t *at, size_t step)
{
	size_t room, n = bytes - *at;
	void *into = splitter_room(&splitter, &room);

	ck_assert_uint_gt(room, 0);
	if (n > step)
		n = step;
	if (n > room)
		n = room;
	if (n > 0)
		memcpy(into, text + *at, n);
	splitter_add(&splitter, n);
	*at += n;
}

/*
 * Split a text that arrives in pieces of `step` bytes.  Returns what was found:
 * "line:piece" for each piece, and how it ended.
 */
static const char *
split_in_steps(const char *text, size_t bytes, size_t step)
{
	struct splitter_piece p;
	enum splitter_result result;
	size_t at = 0;

	buf_clear(&got);
	for (;;) {
		result = splitter_next(&splitter, &p);
		if (result == SPLITTER_MORE) {
			feed(text, bytes, &at, step);
			continue;
		}
		(void)buf_addf(&got, "%" PRIu64 ":", p.start.line);
		if (result != SPLITTER_PIECE)
			break;
		ck_assert_mem_eq(text + p.start.bytes, p.text, p.bytes);
		ck_assert_int_eq(buf_add(&got, p.text, p.bytes), 0);
		(void)buf_add_text(&got, " ");
	}
	if (result == SPLITTER_END)
		ck_assert_uint_eq(splitter.position.bytes, bytes);
	(void)buf_addf(&got, "%s",
	               result == SPLITTER_END          ? "end"
	               : result == SPLITTER_TOO_LONG   ? "too long"
	               : result == SPLITTER_UNFINISHED ? "unfinished"
	                                               : p.why);
	ck_assert_int_eq(buf_add(&got, "", 1), 0);
	return (const char *)got.data;
}

static void
begin_again(void)
{
	splitter_fini(&splitter);
	ck_assert_int_eq(splitter_init(&splitter), 0);
}

/* Split a text in one piece, and byte by byte; both must find the same. */
static void
check_bytes(const char *text, size_t bytes, const char *expected)
{
	begin_again();
	ck_assert_str_eq(split_in_steps(text, bytes, bytes + 1), expected);
	begin_again();
	ck_assert_str_eq(split_in_steps(text, bytes, 1), expected);
	/* After the end it is found again. */
	ck_assert_ptr_nonnull(strstr(expected, split_in_steps(text, bytes, 1)));
}

static void
check(const char *text, const char *expected)
{
	check_bytes(text, strlen(text), expected);
}

TEST(each_line_is_a_piece)
{
	check("", "0:end");
	check("\n \r\n\t\n", "0:end");
	check("{\"a\":1}\n{}\n", "1:{\"a\":1} 2:{} 0:end");
	check("\n\n  {} \r\n{}", "3:{} \r 4:{} 0:end");
	check("1\ntrue\n\"x\"\n", "1:1 2:true 3:\"x\" 0:end");
}

TEST(a_broken_line_affects_no_other)
{
	check("{\"a\n{}\n}}}\n{\n{}\n", "1:{\"a 2:{} 3:}}} 4:{ 5:{} 0:end");
}

TEST(each_element_of_an_array_is_a_piece)
{
	check("[]", "0:end");
	check("[{\"a\":[1,{}]},{}]", "1:{\"a\":[1,{}]} 1:{} 0:end");
	check("[\n{\n\"a\":\n1\n}\n,\n{}\n]\n", "2:{\n\"a\":\n1\n} 7:{} 0:end");
	check("[ 1 , null,\"a,]\\\"\" ,[[]] ]",
	      "1:1 1:null 1:\"a,]\\\"\" 1:[[]] 0:end");
	check("[{\"a\":\"}]{\\\\\"},{}]", "1:{\"a\":\"}]{\\\\\"} 1:{} 0:end");
}

TEST(arrays_and_lines_may_follow_each_other)
{
	check("[{}][{}]\n[\n{}]{}\n{}[]\n[]", "1:{} 1:{} 3:{} 3:{} 4:{}[] "
	                                      "0:end");
}

TEST(a_byte_order_mark_is_skipped)
{
	check("\xef\xbb\xbf{}\n", "1:{} 0:end");
	check("\xef\xbb\xbf[{}]", "1:{} 0:end");
	check("\xef\xbb\xbf", "0:end");
	/* Only at the beginning. */
	check("{}\n\xef\xbb\xbf{}", "1:{} 2:\xef\xbb\xbf{} 0:end");
}

TEST(what_is_sent_by_mistake_is_recognised)
{
	static const char utf16[] = "\xff\xfe[\0]\0", gzip[] = "\x1f\x8b\x08\0";

	check_bytes(utf16, sizeof utf16 - 1,
	            "1:UTF-16; JSON must be UTF-8, which iconv can make of "
	            "it");
	check_bytes(gzip, sizeof gzip - 1,
	            "1:compressed with gzip; send the output of zcat instead");
	check("\x28\xb5\x2f\xfd..",
	      "1:compressed with zstd; send the output of zstdcat instead");
}

TEST(a_broken_array_ends_the_stream)
{
	check("[{} {}]", "1:{} 1:expected ',' or ']'");
	check("[{},]", "1:{} 1:expected an event");
	check("[,{}]", "1:expected an event");
	check("[}]", "1:expected an event");
	check("[{},\n{\"a\":[1}]},{}]", "1:{} 2:'}' closes a '['");
	check("[{]]", "1:']' closes a '{'");
	check("[{\"a\":\"x\n\"}]", "1:a string has no closing quote on its "
	                           "line");
}

TEST(an_unfinished_end_is_reported)
{
	check("{}\n{\"a\":1", "1:{} 2:unfinished");
	check("{}\n{\"a\":\"}", "1:{} 2:unfinished");
	check("[{}", "1:{} 1:unfinished");
	check("[{},", "1:{} 1:unfinished");
	check("[\n{},{\"a\"", "2:{} 2:unfinished");
	check("[", "1:unfinished");
	/* A whole event without a newline is not unfinished. */
	check("{}\n{\"a\":1}", "1:{} 2:{\"a\":1} 0:end");
	check("{\"a\":1} x", "1:{\"a\":1} x 0:end");
}

TEST(any_byte_may_be_in_a_piece)
{
	static const char text[] = "{\"a\":\"\0\x80\xff\x01\"}\n[{\"\0\"}]";

	begin_again();
	(void)split_in_steps(text, sizeof text - 1, 3);
	ck_assert_ptr_nonnull(memmem(got.data, got.len, "2:{\"\0\"}", 7));
	ck_assert_ptr_nonnull(memmem(got.data, got.len, "0:end", 5));
}

/* Build a text of n bytes c between two texts. */
static char *
long_text(const char *before, char c, size_t n, const char *after,
          size_t *bytes)
{
	char *text = malloc(strlen(before) + n + strlen(after) + 1);

	ck_assert_ptr_nonnull(text);
	*bytes = (size_t)sprintf(text, "%s", before);
	memset(text + *bytes, c, n);
	*bytes += n;
	*bytes += (size_t)sprintf(text + *bytes, "%s", after);
	return text;
}

/* Split a text with one long piece.  Returns how often SPLITTER_TOO_LONG. */
static unsigned
count_too_long(const char *before, size_t n, const char *after, size_t step,
               unsigned *pieces)
{
	struct splitter_piece p;
	enum splitter_result result;
	unsigned too_long = 0;
	size_t bytes, at = 0;
	char *text = long_text(before, 'x', n, after, &bytes);

	*pieces = 0;
	begin_again();
	while ((result = splitter_next(&splitter, &p)) != SPLITTER_END) {
		ck_assert_int_lt(result, SPLITTER_END);
		if (result == SPLITTER_MORE)
			feed(text, bytes, &at, step);
		too_long += result == SPLITTER_TOO_LONG;
		*pieces += result == SPLITTER_PIECE;
		if (result == SPLITTER_TOO_LONG)
			ck_assert_uint_eq(p.start.line, 2);
	}
	ck_assert_uint_eq(splitter.position.bytes, bytes);
	free(text);
	return too_long;
}

TEST(a_piece_that_is_too_long_is_skipped)
{
	static const size_t steps[] = {4096, 65536, 100000, SIZE_MAX};
	/* Bytes of the events without the x. */
	const size_t fits = SPLITTER_PIECE_MAX - 4;
	unsigned pieces;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		ck_assert_uint_eq(count_too_long("{}\n{\"", fits, "\"}\n{}\n",
		                                 steps[i], &pieces),
		                  0);
		ck_assert_uint_eq(pieces, 3);
		ck_assert_uint_eq(count_too_long("{}\n{\"", fits + 1,
		                                 "\"}\n{}\n", steps[i],
		                                 &pieces),
		                  1);
		ck_assert_uint_eq(pieces, 2);
		ck_assert_uint_eq(count_too_long("[{},\n{\"", fits, "\"},{}]",
		                                 steps[i], &pieces),
		                  0);
		ck_assert_uint_eq(pieces, 3);
		ck_assert_uint_eq(count_too_long("[{},\n{\"", 10 * MIB,
		                                 "\"},{}]", steps[i], &pieces),
		                  1);
		ck_assert_uint_eq(pieces, 2);
		/* It is the last line, too. */
		ck_assert_uint_eq(
		    count_too_long("{}\n{\"", 10 * MIB, "", steps[i], &pieces),
		    1);
		ck_assert_uint_eq(pieces, 1);
	}
}

TEST(depth_has_a_limit)
{
	size_t bytes;
	char *text =
	    long_text("[{}\n,{\"a\":", '[', JSON_DEPTH_BREAK, "]", &bytes);

	check_bytes(text, bytes, "1:{} 2:nested more than 1024 levels deep");
	free(text);
	text =
	    long_text("[{}\n,{\"a\":", '[', JSON_DEPTH_BREAK - 1, "]", &bytes);
	check_bytes(text, bytes, "1:{} 2:unfinished");
	free(text);
}

/* Split a text once, and again from the position after each piece. */
static void
check_resuming(const char *text)
{
	const size_t bytes = strlen(text);
	struct splitter_position after[8];
	struct splitter_piece p;
	enum splitter_result result;
	size_t count = 0, at = 0;
	char *whole;

	begin_again();
	while ((result = splitter_next(&splitter, &p)) != SPLITTER_END) {
		if (result == SPLITTER_MORE)
			feed(text, bytes, &at, 1);
		else
			after[count++] = splitter.position;
	}
	ck_assert_uint_gt(count, 1);
	begin_again();
	whole = strdup(split_in_steps(text, bytes, 1));
	for (size_t i = 0; i < count; i++) {
		begin_again();
		splitter_seek(&splitter, &after[i]);
		at = after[i].bytes;
		buf_clear(&got);
		while ((result = splitter_next(&splitter, &p)) !=
		       SPLITTER_END) {
			if (result == SPLITTER_MORE)
				feed(text, bytes, &at, 1);
			else
				(void)buf_addf(&got, "%" PRIu64 ":%.*s ",
				               p.start.line, (int)p.bytes,
				               p.text);
		}
		(void)buf_add_text(&got, "0:end");
		ck_assert_int_eq(buf_add(&got, "", 1), 0);
		ck_assert_ptr_nonnull(strstr(whole, (const char *)got.data));
	}
	free(whole);
}

TEST(splitting_can_continue_after_each_piece)
{
	check_resuming("{\"a\":1}\n\n{\"b\":2}\n{}");
	check_resuming("[{\"a\":1},\n{\"b\":[\n]} ,{\"c\":1}]\n[{}]{\"d\":2}");
}
