/* test_report - statistics maps, as daemons send them and as none should. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libproto/report.h"
#include "libproto/wire.h"
#include "tests/support/test.h"

static struct report r;

static int
read_map(enum frame_role role, const char *bytes, size_t n)
{
	return report_read(role, bytes, n, &r);
}
#define READ(role, literal) read_map(role, literal, sizeof(literal) - 1)

TEST_LOOP(reads_what_it_writes, 2)
{
	uint8_t map[REPORT_PACKED_MAX];
	enum frame_role role = _i == 0 ? ROLE_INGEST : ROLE_SINK;
	struct report full = {0};
	size_t count;
	const struct figure *figures = report_figures(role, &count);
	char error[REPORT_TEXT_MAX + 1];

	memset(error, 'e', REPORT_TEXT_MAX);
	error[REPORT_TEXT_MAX] = '\0';
	for (size_t i = 0; i < count; i++) {
		if (figures[i].kind == FIGURE_TEXT)
			report_set_text(&full, i, slice_of(error));
		else
			report_set(&full, i, INT64_MAX - i);
		/* Its keys differ. */
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(figures[i].key, figures[j].key);
	}
	ck_assert_int_eq(
	    report_read(role, map, report_pack(role, &full, map), &r), 0);
	ck_assert_uint_eq(r.known, full.known);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(r.values[i], full.values[i]);
	ck_assert_str_eq(r.texts[0], full.texts[0]);
	ck_assert_str_eq(r.texts[1], full.texts[1]);
}

TEST(keeps_what_it_knows_and_skips_the_rest)
{
	ck_assert_int_eq(READ(ROLE_SINK, "\x84\xa6"
	                                 "events\x05\xa5state\xa4idle"
	                                 "\xa1x\xff\xa1y\xa1z"),
	                 0);
	ck_assert_uint_eq(r.values[SINK_EVENTS], 5);
	ck_assert_str_eq(r.texts[SINK_STATE], "idle");
	ck_assert(report_has(&r, SINK_EVENTS) && report_has(&r, SINK_STATE));
	ck_assert(!report_has(&r, SINK_RETRIES));
	/* A number is no text, nor the other way round. */
	ck_assert_int_eq(READ(ROLE_SINK, "\x82\xa6"
	                                 "events\xa1"
	                                 "5\xa5state\x01"),
	                 0);
	ck_assert_uint_eq(r.known, 0);
	ck_assert_int_eq(READ(ROLE_CONTROL, "\x81\xa1x\x01"), 0);
	ck_assert_int_eq(READ(ROLE_INGEST, "\x80"), 0);
}

static const struct {
	const char *bytes;
	size_t n;
} bad[] = {
#define BAD(literal)                                                           \
	{                                                                      \
		literal, sizeof(literal) - 1                                   \
	}
    BAD(""),
    BAD("\xc0"),                          /* no map */
    BAD("\x81\xa1x\x81\xa1y\x01"),        /* nested, */
    BAD("\x81\xa1x\x91\x01"),             /* either way */
    BAD("\x81\xa1x\xc0"),                 /* nil */
    BAD("\x81\xa1x\xc3"),                 /* boolean */
    BAD("\x81\xa1x\xca\x00\x00\x00\x00"), /* float */
    BAD("\x81\xa1x\xc4\x01z"),            /* binary */
    BAD("\x81\x01\x01"),                  /* a key that is no text */
    BAD("\x81\xc0\x01"),                  /* nor this one */
    BAD("\x81\xa1x"),                     /* cut */
    BAD("\x81\xa1x\x01\x01"),             /* more after it */
    BAD("\xdf\xff\xff\xff\xff\xa1x\x01"), /* a count too large, */
    BAD("\xde\xff\xff"),                  /* in any width */
    BAD("\x81\xdb\xff\xff\xff\xffx"),     /* a length too large */
    BAD("\x81\xa6"
        "events\xff"), /* below 0 */
    BAD("\x81\xa6"
        "events\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
};

TEST_LOOP(refuses_what_is_no_flat_map_of_numbers_and_texts, ARRAY_LEN(bad))
{
	ck_assert_int_eq(read_map(ROLE_SINK, bad[_i].bytes, bad[_i].n),
	                 -EBADMSG);
}

TEST(refuses_more_than_4_kib)
{
	static char map[REPORT_READ_MAX + 1];

	memset(map, 'x', sizeof map);
	memcpy(map, "\x81\xa1x\xda", 4);
	map[4] = (char)((REPORT_READ_MAX - 6) >> 8);
	map[5] = (char)((REPORT_READ_MAX - 6) & 0xff);
	ck_assert_int_eq(read_map(ROLE_SINK, map, REPORT_READ_MAX), 0);
	map[5]++;
	ck_assert_int_eq(read_map(ROLE_SINK, map, REPORT_READ_MAX + 1),
	                 -EBADMSG);
}

TEST(a_text_is_one_line_of_utf8_without_control_bytes)
{
	static const struct {
		const char *in, *out;
	} texts[] = {
	    {"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x91\x8d",
	     "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x91\x8d"},
	    {"a\x07"
	     "b\x1b[0m\x7f",
	     "a?b?[0m?"},
	    {"refused\n\tIs the server running?\n",
	     "refused Is the server running?"},
	    {"\r\n a  b\v\f", "a b"},
	    {" \n", ""},
	    {"\xff\xfe", "??"},
	    {"\xc0\x80 \xe0\x80\x80 \xed\xa0\x80", "?? ??? ???"},
	    {"\xf4\x90\x80\x80 \xc3", "???? ?"},
	};
	char longest[REPORT_TEXT_MAX + 3];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		report_set_text(&r, SINK_ERROR, slice_of(texts[i].in));
		ck_assert_str_eq(r.texts[SINK_ERROR], texts[i].out);
	}
	/* It is not cut within a character. */
	memset(longest, 'x', sizeof longest);
	memcpy(longest + REPORT_TEXT_MAX - 1, "\xc3\xa4", 3);
	report_set_text(&r, SINK_ERROR, slice_of(longest));
	ck_assert_uint_eq(strlen(r.texts[SINK_ERROR]), REPORT_TEXT_MAX - 1);
	/* Nor does it end with the blank before a character that is cut. */
	memcpy(longest + REPORT_TEXT_MAX - 1, "\ny", 3);
	report_set_text(&r, SINK_ERROR, slice_of(longest));
	ck_assert_uint_eq(strlen(r.texts[SINK_ERROR]), REPORT_TEXT_MAX - 1);
}

/* A process that outlives a batchd, and another process after it. */
TEST(counts_each_event_once_across_batchds)
{
	struct report_sums sums = {0};
	struct report sent = {0}, now = {0}, base, last;

	report_set(&now, INGEST_REQUESTS, 10);
	report_set(&now, INGEST_CONNECTIONS, 3);
	base = report_base(ROLE_INGEST, &now, &sent);
	ck_assert_uint_eq(base.values[INGEST_REQUESTS], 0);
	ck_assert_uint_eq(base.values[INGEST_CONNECTIONS], 3);
	report_count(ROLE_INGEST, &sums, &base, &now);
	ck_assert_uint_eq(sums.values[INGEST_REQUESTS], 10);
	ck_assert_uint_eq(sums.values[INGEST_CONNECTIONS], 0);

	/* Connected again, after 5 more that no batchd has heard of. */
	sent = now;
	report_set(&now, INGEST_REQUESTS, 15);
	base = report_base(ROLE_INGEST, &now, &sent);
	report_count(ROLE_INGEST, &sums, &base, &now);
	ck_assert_uint_eq(sums.values[INGEST_REQUESTS], 15);

	/* What goes down, or is out of all bounds, adds nothing. */
	last = now;
	report_set(&now, INGEST_REQUESTS, 1);
	report_count(ROLE_INGEST, &sums, &last, &now);
	report_set(&now, INGEST_REQUESTS, INT64_MAX);
	last.values[INGEST_REQUESTS] = 0;
	report_count(ROLE_INGEST, &sums, &last, &now);
	ck_assert_uint_eq(sums.values[INGEST_REQUESTS], 15);
}

/* False figures of one process do not affect those of others. */
TEST(a_sum_never_stands_still)
{
	const uint64_t step = UINT64_C(1) << 48;
	struct report_sums sums = {0};
	struct report liar = {0}, last = {0}, base = {0}, now = {0};

	report_set(&last, INGEST_REQUESTS, 0);
	/* The largest number in one step, or one more than is accepted. */
	report_set(&liar, INGEST_REQUESTS, INT64_MAX);
	report_count(ROLE_INGEST, &sums, &last, &liar);
	report_set(&liar, INGEST_REQUESTS, step + 1);
	report_count(ROLE_INGEST, &sums, &last, &liar);
	ck_assert_uint_eq(sums.values[INGEST_REQUESTS], 0);
	/* In steps that are: the sum starts again before it is too large. */
	for (int i = 1; i < 1 << 15; i++) {
		report_set(&liar, INGEST_REQUESTS, (uint64_t)i * step);
		report_count(ROLE_INGEST, &sums, &last, &liar);
		ck_assert_uint_eq(sums.values[INGEST_REQUESTS],
		                  (uint64_t)i * step);
		last = liar;
	}
	report_set(&base, INGEST_REQUESTS, 7);
	report_set(&now, INGEST_REQUESTS, 7 + step);
	report_count(ROLE_INGEST, &sums, &base, &now);
	ck_assert_uint_eq(sums.values[INGEST_REQUESTS], step);
	report_set(&base, INGEST_REQUESTS, 7);
	report_set(&now, INGEST_REQUESTS, 10);
	report_count(ROLE_INGEST, &sums, &base, &now);
	ck_assert_uint_eq(sums.values[INGEST_REQUESTS], step + 3);
}

TEST(keeps_what_a_partial_report_does_not_have)
{
	struct report all = {0}, part = {0};

	report_set(&all, SINK_EVENTS, 5);
	report_set(&all, SINK_DEAD_LETTERS, 3);
	report_set_text(&all, SINK_STATE, slice_of("idle"));
	report_set(&part, SINK_DEAD_LETTERS, 0);
	report_set(&part, SINK_DEAD_BYTES, 7);
	report_merge(&all, &part);
	ck_assert_uint_eq(all.values[SINK_EVENTS], 5);
	ck_assert_str_eq(all.texts[SINK_STATE], "idle");
	ck_assert(report_has(&all, SINK_DEAD_LETTERS));
	ck_assert_uint_eq(all.values[SINK_DEAD_LETTERS], 0);
	ck_assert(report_has(&all, SINK_DEAD_BYTES));
	ck_assert_uint_eq(all.values[SINK_DEAD_BYTES], 7);
	report_set_text(&part, SINK_STATE, slice_of("writing"));
	report_merge(&all, &part);
	ck_assert_str_eq(all.texts[SINK_STATE], "writing");
}

static int
skip(const char *bytes, size_t n, size_t *left)
{
	struct wire_reader in = {(const uint8_t *)bytes,
	                         (const uint8_t *)bytes + n};
	int rc = wire_skip(&in);

	*left = (size_t)(in.end - in.at);
	return rc;
}

TEST(skips_one_value_of_any_kind)
{
	static const char *const one[] = {"\xc0",
	                                  "\x7f",
	                                  "\xe0",
	                                  "\xc2",
	                                  "\xa1x",
	                                  "\xd9\x01x",
	                                  "\xc4\x01x",
	                                  "\xc7\x01tx",
	                                  "\xca"
	                                  "1234",
	                                  "\xcb"
	                                  "12345678",
	                                  "\xcc"
	                                  "1",
	                                  "\xd1"
	                                  "12",
	                                  "\xce"
	                                  "1234",
	                                  "\xd3"
	                                  "12345678",
	                                  "\xd4tx",
	                                  "\xd5tx2",
	                                  "\xd8t1234567890123456",
	                                  "\x92\x01\x02",
	                                  "\x82\x01\x02\x03\x91\xa1x"};
	char deep[WIRE_DEPTH_MAX + 2];
	size_t left;

	for (size_t i = 0; i < ARRAY_LEN(one); i++) {
		size_t n = strlen(one[i]);

		ck_assert_int_eq(skip(one[i], n + 1, &left), 0);
		ck_assert_uint_eq(left, 1);
		ck_assert_int_eq(skip(one[i], n - 1, &left), -EBADMSG);
	}
	ck_assert_int_eq(skip("\xc1", 1, &left), -EBADMSG);
	ck_assert_int_eq(skip("\xdd\xff\xff\xff\xff\x01", 6, &left), -EBADMSG);
	memset(deep, '\x91', sizeof deep);
	deep[WIRE_DEPTH_MAX] = '\x01';
	ck_assert_int_eq(skip(deep, WIRE_DEPTH_MAX + 1, &left), 0);
	deep[WIRE_DEPTH_MAX] = '\x91';
	deep[WIRE_DEPTH_MAX + 1] = '\x01';
	ck_assert_int_eq(skip(deep, WIRE_DEPTH_MAX + 2, &left), -EBADMSG);
}
