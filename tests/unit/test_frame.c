/* test_frame - frames and events, there and back, and from garbage. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libproto/frame.h"
#include "tests/support/test.h"

static struct event
an_event(void)
{
	return (struct event){
	    .id = slice_of("id-1"),
	    .type = slice_of("page\nview"),
	    .user_id = slice_of("J\xc3\xbcrgen"),
	    .payload = slice_of("{\"a\":1}"),
	    .created_at_us = EVENT_TIME_MAX_US,
	    .received_at_us = 0,
	};
}

static void
assert_slice_eq(struct slice a, struct slice b)
{
	ck_assert_uint_eq(a.bytes, b.bytes);
	ck_assert_int_eq(a.data == NULL, b.data == NULL);
	if (a.data)
		ck_assert_mem_eq(a.data, b.data, a.bytes);
}

static struct wire_reader
reader_of(const struct buf *b)
{
	return (struct wire_reader){b->data, b->data + b->len};
}

TEST(an_event_comes_back_as_it_went)
{
	struct event e = an_event(), got;
	struct wire_reader r;
	struct buf b;

	buf_init(&b, EVENT_PACKED_MAX);
	for (int nil_user = 0; nil_user < 2; nil_user++) {
		if (nil_user)
			e.user_id = (struct slice){0};
		buf_clear(&b);
		ck_assert_int_eq(event_pack(&b, &e), 0);
		r = reader_of(&b);
		ck_assert_int_eq(event_read(&r, &got), 0);
		ck_assert_ptr_eq(r.at, r.end);
		assert_slice_eq(got.id, e.id);
		assert_slice_eq(got.type, e.type);
		assert_slice_eq(got.user_id, e.user_id);
		assert_slice_eq(got.payload, e.payload);
		ck_assert_int_eq(got.created_at_us, e.created_at_us);
		ck_assert_int_eq(got.received_at_us, e.received_at_us);
	}
	buf_fini(&b);
}

/* String headers change at 32, 256 and 65536 bytes. */
TEST(every_width_of_string_comes_back)
{
	static const uint32_t sizes[] = {2, 31, 32, 255, 256, 65535, 65536};
	struct event e = an_event(), got;
	struct wire_reader r;
	char *text;
	struct buf b;

	buf_init(&b, EVENT_PACKED_MAX);
	text = calloc(1, 65536);
	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		e.payload = (struct slice){text, sizes[i]};
		buf_clear(&b);
		ck_assert_int_eq(event_pack(&b, &e), 0);
		r = reader_of(&b);
		ck_assert_int_eq(event_read(&r, &got), 0);
		ck_assert_uint_eq(got.payload.bytes, sizes[i]);
	}
	free(text);
	buf_fini(&b);
}

TEST(an_event_cut_anywhere_is_refused)
{
	struct event e = an_event(), got;
	struct buf b;

	buf_init(&b, EVENT_PACKED_MAX);
	ck_assert_int_eq(event_pack(&b, &e), 0);
	for (size_t cut = 0; cut < b.len; cut++) {
		/* A separate copy, so that ASan finds reads past its end. */
		uint8_t *copy = malloc(cut ? cut : 1);
		struct wire_reader r = {copy, copy + cut};

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, b.data, cut);
		ck_assert_int_eq(event_read(&r, &got), -EBADMSG);
		free(copy);
	}
	buf_fini(&b);
}

TEST(an_event_beyond_its_limits_is_refused)
{
	static char long_text[EVENT_USER_ID_MAX + 1];
	struct slice too_long[] = {{long_text, EVENT_ID_MAX + 1},
	                           {long_text, EVENT_TYPE_MAX + 1},
	                           {long_text, EVENT_USER_ID_MAX + 1}};
	struct event events[6], got;
	struct wire_reader r;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		events[i] = an_event();
	events[0].id = too_long[0];
	events[1].type = too_long[1];
	events[2].user_id = too_long[2];
	events[3].id = (struct slice){"", 0};
	events[4].created_at_us = EVENT_TIME_MAX_US + 1;
	events[5].received_at_us = -1;
	buf_init(&b, EVENT_PACKED_MAX);
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		buf_clear(&b);
		ck_assert_int_eq(event_pack(&b, &events[i]), 0);
		r = reader_of(&b);
		ck_assert_int_eq(event_read(&r, &got), -EBADMSG);
	}
	buf_fini(&b);
}

TEST(skip_finds_the_boundaries)
{
	struct event e = an_event();
	struct wire_reader r;
	size_t one;
	struct buf b;

	buf_init(&b, EVENT_PACKED_MAX);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(event_pack(&b, &e), 0);
	one = b.len / 3;
	r = reader_of(&b);
	ck_assert_int_eq(event_skip(&r, 2), 0);
	ck_assert_ptr_eq(r.at, b.data + 2 * one);
	ck_assert_int_eq(event_skip(&r, 2), -EBADMSG);
	buf_fini(&b);
}

static const uint8_t body[] = "body";
static const char longest_name[FRAME_STREAM_NAME_MAX] = "a stream";

/* One of each type, with its fields at their widest. */
static const struct frame samples[] = {
    {.type = FRAME_HELLO,
     .hello = {FRAME_VERSION, ROLE_SINK, {"postgres", 8}, 4194304}},
    {.type = FRAME_WELCOME, .welcome = {FRAME_VERSION, FRAME_MAX}},
    {.type = FRAME_APPEND,
     .append = {INT64_MAX, FRAME_BODY_MAX},
     .body = body,
     .body_bytes = 4},
    {.type = FRAME_APPENDED,
     .appended = {INT64_MAX, FRAME_APPENDED_MAX},
     .body = body,
     .body_bytes = 4},
    {.type = FRAME_SUBSCRIBE, .subscribe = {0, true, 7, 1, 2, 3, true, {4, 5}}},
    {.type = FRAME_SUBSCRIBE,
     .subscribe = {0, false, 0, 1, 2, 3, false, {0, 0}}},
    {.type = FRAME_BATCH,
     .batch = {0, INT64_MAX, 10, true, INT64_MAX, 0, true},
     .body = body,
     .body_bytes = 4},
    {.type = FRAME_BATCH,
     .batch = {0, INT64_MAX, 10, false, 0, INT64_MAX, true},
     .body = body,
     .body_bytes = 4},
    {.type = FRAME_COMMITTED, .committed = {0, 12, {1, 2}}},
    {.type = FRAME_STATS, .body = body, .body_bytes = 4},
    {.type = FRAME_ERROR, .error = {ERROR_BUSY, {"busy", 4}}},
    {.type = FRAME_CONTROL,
     .control = {9, {"status", 6}},
     .body = body,
     .body_bytes = 4},
    {.type = FRAME_REPLY,
     .reply = {9, true, {"", 0}},
     .body = body,
     .body_bytes = 4},
    {.type = FRAME_INTAKE, .intake = {false, {"log full", 8}}},
    {.type = FRAME_FLUSH, .flush = {0}},
    {.type = FRAME_STREAM,
     .stream = {0, {longest_name, 360}, INT64_MAX, INT64_MAX}},
    {.type = FRAME_WATCH, .watch = {true, INT64_MAX, INT64_MAX, true, 1}},
    {.type = FRAME_WATCH, .watch = {false, 0, 0, false, INT64_MAX}},
    {.type = FRAME_SKIPPED, .skipped = {INT64_MAX, INT64_MAX}},
    {.type = FRAME_STATUS, .body = body, .body_bytes = 4},
    {.type = FRAME_START, .start = {0, 7}},
    {.type = FRAME_HALT, .halt = {0}},
    {.type = FRAME_HALTED, .halted = {0, true, INT64_MAX, {3, 4}}},
    {.type = FRAME_HALTED, .halted = {0, false, 0, {0, 0}}},
    {.type = FRAME_SEEK, .seek = {0, INT64_MAX, INT64_MAX}},
};

/* header and body of one sample in bytes; returns their number. */
static size_t
put_sample(size_t i, uint8_t *bytes)
{
	int n = frame_put_header(&samples[i], bytes);

	ck_assert_int_gt(n, 0);
	memcpy(bytes + n, body, samples[i].body_bytes);
	return (size_t)n + samples[i].body_bytes;
}

TEST(every_frame_comes_back_as_it_went)
{
	uint8_t bytes[FRAME_HEADER_MAX + 4], again[FRAME_HEADER_MAX];
	struct frame got;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		n = put_sample(i, bytes);
		ck_assert_int_eq(frame_read(bytes, n, &got), 0);
		ck_assert_int_eq(got.type, samples[i].type);
		ck_assert_uint_eq(got.body_bytes, samples[i].body_bytes);
		/* The same header again proves each field equal. */
		ck_assert_int_eq(frame_put_header(&got, again),
		                 (int)(n - got.body_bytes));
		ck_assert_mem_eq(again, bytes, n - got.body_bytes);
	}
}

TEST(a_type_that_this_version_does_not_have_is_refused)
{
	static const uint8_t types[] = {0, 15, 16, 17, 18, 28, 127};
	struct frame got;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const uint8_t bytes[] = {0x91, types[i]};

		ck_assert_int_eq(frame_read(bytes, sizeof bytes, &got),
		                 -EBADMSG);
	}
}

TEST(a_header_cut_anywhere_is_refused)
{
	uint8_t bytes[FRAME_HEADER_MAX + 4];
	struct frame got;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		n = put_sample(i, bytes) - samples[i].body_bytes;
		for (size_t cut = 0; cut < n; cut++)
			ck_assert_int_eq(frame_read(bytes, cut, &got),
			                 -EBADMSG);
	}
}

TEST(bytes_after_a_frame_without_body_are_refused)
{
	uint8_t bytes[FRAME_HEADER_MAX + 4];
	struct frame got;
	size_t n = put_sample(0, bytes);

	bytes[n] = 0xc0;
	ck_assert_int_eq(frame_read(bytes, n + 1, &got), -EBADMSG);
}

TEST(the_append_header_has_one_length)
{
	uint8_t bytes[FRAME_HEADER_MAX];
	struct frame f = {.type = FRAME_APPEND, .append = {1, 1}};

	ck_assert_int_eq(frame_put_header(&f, bytes), FRAME_APPEND_HEADER);
	f.append.seq = INT64_MAX;
	f.append.count = FRAME_BODY_MAX;
	ck_assert_int_eq(frame_put_header(&f, bytes), FRAME_APPEND_HEADER);
}

TEST(a_name_that_could_leave_its_directory_is_refused)
{
	static const char *const bad[] = {"../x", "a/b", "A", "a b", "a\n"};
	uint8_t bytes[FRAME_HEADER_MAX];
	struct frame f = samples[0], got;
	int n;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		f.hello.name = slice_of(bad[i]);
		n = frame_put_header(&f, bytes);
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(frame_read(bytes, (size_t)n, &got), -EBADMSG);
	}
}

TEST(random_bytes_and_flipped_bits_never_crash)
{
	uint8_t bytes[FRAME_HEADER_MAX + 4];
	struct frame got;
	struct event e;
	int refused = 0;

	srand(1);
	for (int round = 0; round < 200000; round++) {
		size_t n =
		    put_sample((size_t)rand() % ARRAY_LEN(samples), bytes);
		struct wire_reader r = {bytes, bytes + n};

		for (int flips = rand() % 4; flips >= 0; flips--)
			bytes[(size_t)rand() % n] ^=
			    (uint8_t)(1 + rand() % 255);
		refused += frame_read(bytes, n, &got) < 0;
		refused += event_read(&r, &e) < 0;
	}
	ck_assert_int_gt(refused, 200000); /* most are refused */
}
