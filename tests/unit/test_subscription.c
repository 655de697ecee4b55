/* test_subscription - batches from frames, over a socketpair; the test is
 * batchd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libsink/subscription.h"
#include "tests/support/test.h"

#define STREAM "11111111-2222-3333-4444-555555555555"
#define EVENTS 100

static struct subscription subscription;
static const struct frame_refused none;
static struct chan batchd;
static struct buf body;

static void
setup(void)
{
	struct subscription_limits limits = {
	    .events = EVENTS, .bytes = 1 << 20, .wait_ms = 10};
	int sv[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv), 0);
	ck_assert_int_eq(subscription_init(&subscription, "postgres", &limits),
	                 0);
	subscription.chan.fd = sv[0];
	batchd.fd = sv[1];
	buf_init(&body, FRAME_BODY_MAX);
}

static void
teardown(void)
{
	subscription_fini(&subscription);
	chan_close(&batchd);
	buf_fini(&body);
}

TEST_CASE(frames, .setup = setup, .teardown = teardown);

static void
send_frame(const struct frame *f)
{
	ck_assert_int_eq(chan_send(&batchd, f), 0);
}

/* What feed has sent to batchd. */
static struct frame
received(void)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame f;
	int n = chan_recv(&batchd, bytes, sizeof bytes);

	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(frame_read(bytes, (size_t)n, &f), 0);
	return f;
}

static void
send_welcome(void)
{
	struct frame f = {.type = FRAME_WELCOME,
	                  .welcome = {.version = FRAME_VERSION,
	                              .frame_max_bytes = FRAME_MAX}};

	send_frame(&f);
	f = (struct frame){.type = FRAME_STREAM,
	                   .stream = {.name = slice_of(STREAM)}};
	send_frame(&f);
}

static void
send_start(void)
{
	const struct frame f = {.type = FRAME_START};

	send_frame(&f);
}

/* Events that are named by their offsets. */
static void
send_batch(uint64_t offset, uint32_t count, bool last)
{
	struct frame f = {.type = FRAME_BATCH,
	                  .batch = {.offset = offset,
	                            .count = count,
	                            .last = last,
	                            .next = offset + count}};

	buf_clear(&body);
	for (uint32_t i = 0; i < count; i++) {
		char id[24];
		struct event e = {.type = slice_of("t"),
		                  .payload = slice_of("{}")};

		(void)snprintf(id, sizeof id, "e%u", (unsigned)(offset + i));
		e.id = slice_of(id);
		ck_assert_int_eq(event_pack(&body, &e), 0);
	}
	f.body = body.data;
	f.body_bytes = body.len;
	send_frame(&f);
}

static void
subscribe(bool has_position, uint64_t position)
{
	send_welcome();
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_OTHER);
	ck_assert_int_eq(subscription_step(&subscription),
	                 SUBSCRIPTION_WELCOME);
	ck_assert_str_eq(subscription.stream, STREAM);
	send_start();
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_START);
	ck_assert_int_eq(
	    subscription_start(&subscription, has_position, position, &none),
	    0);
	ck_assert_int_eq(received().type, FRAME_SUBSCRIBE);
}

static void
assert_batch(uint64_t offset, size_t count)
{
	ck_assert_uint_eq(subscription.offset, offset);
	ck_assert_uint_eq(subscription.count, count);
	for (size_t i = 0; i < count; i++) {
		char id[24];

		(void)snprintf(id, sizeof id, "e%u", (unsigned)(offset + i));
		ck_assert_uint_eq(subscription.events[i].id.bytes, strlen(id));
		ck_assert_mem_eq(subscription.events[i].id.data, id,
		                 strlen(id));
	}
}

TEST(joins_frames_to_a_batch)
{
	struct frame f;

	subscribe(true, 5);
	send_batch(5, 3, false);
	send_batch(8, 1, false);
	send_batch(9, 20, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_PART);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_PART);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	ck_assert_int_eq(subscription_step(&subscription), -EAGAIN);
	assert_batch(5, 24);
	ck_assert_int_eq(subscription_committed(&subscription, 29, &none), 0);
	f = received();
	ck_assert_int_eq(f.type, FRAME_COMMITTED);
	ck_assert_uint_eq(f.committed.next_offset, 29);
	send_batch(29, 1, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	assert_batch(29, 1);
}

TEST(takes_as_many_frames_as_events)
{
	subscribe(false, 0);
	for (uint32_t i = 0; i < EVENTS; i++) {
		send_batch(1000 + i, 1, i + 1 == EVENTS);
		ck_assert_int_eq(subscription_step(&subscription),
		                 i + 1 == EVENTS ? SUBSCRIPTION_BATCH
		                                 : SUBSCRIPTION_PART);
	}
	assert_batch(1000, EVENTS);
}

TEST(refuses_more_events_than_it_asked_for)
{
	subscribe(false, 0);
	send_batch(0, EVENTS, false);
	send_batch(EVENTS, 1, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_PART);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

/* Cut before batch_events and batch_bytes were lowered. */
TEST(a_stable_sink_takes_a_batch_larger_than_its_limits)
{
	int fd = subscription.chan.fd;
	struct subscription_limits limits = {.events = EVENTS,
	                                     .bytes = FRAME_BODY_MAX,
	                                     .wait_ms = 10,
	                                     .stable = true};

	subscription.chan.fd = -1;
	subscription_fini(&subscription);
	ck_assert_int_eq(
	    subscription_init(&subscription, "clickhouse", &limits), 0);
	subscription.chan.fd = fd;
	subscribe(false, 0);
	for (uint32_t i = 0; i < 30; i++) {
		send_batch(i * 1000, 1000, i == 29);
		ck_assert_int_eq(subscription_step(&subscription),
		                 i == 29 ? SUBSCRIPTION_BATCH
		                         : SUBSCRIPTION_PART);
	}
	assert_batch(0, 30000);
	ck_assert_uint_gt(subscription.body_bytes, FRAME_BODY_MAX);
}

TEST(refuses_offsets_that_do_not_adjoin)
{
	subscribe(true, 5);
	send_batch(5, 3, false);
	send_batch(9, 3, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_PART);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

TEST(refuses_what_is_stored_already)
{
	subscribe(true, 5);
	send_batch(4, 3, true);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

TEST(takes_a_batch_after_a_gap)
{
	subscribe(true, 5);
	send_batch(50, 3, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	assert_batch(50, 3);
}

TEST(refuses_a_batch_while_one_is_in_hand)
{
	subscribe(true, 0);
	send_batch(0, 3, true);
	send_batch(3, 3, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
	assert_batch(0, 3);
}

TEST(refuses_a_batch_whose_next_is_not_its_end)
{
	struct frame f = {.type = FRAME_BATCH,
	                  .batch = {.offset = 5, .last = true, .next = 6}};

	subscribe(true, 5);
	send_frame(&f);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

TEST_LOOP(refuses_a_stream_that_it_does_not_expect, 4)
{
	static const char longer[] = STREAM "-";
	struct frame f = {.type = FRAME_STREAM,
	                  .stream = {.name = slice_of(STREAM)}};

	if (_i > 0)
		send_welcome();
	for (int i = 0; _i > 0 && i < 2; i++)
		ck_assert_int_ge(subscription_step(&subscription), 0);
	if (_i > 1)
		subscription.has_stream = false;
	if (_i == 2)
		f.stream.stream_no = 1;
	if (_i == 3)
		f.stream.name = slice_of(longer);
	send_frame(&f);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

TEST_LOOP(refuses_a_start_that_it_does_not_expect, 3)
{
	struct frame f = {.type = FRAME_START};

	if (_i > 0)
		subscribe(false, 0);
	if (_i == 1)
		subscription.started = false;
	f.start.stream_no = _i == 1 ? 1 : 0;
	send_frame(&f);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

static void
send_halt(void)
{
	const struct frame f = {.type = FRAME_HALT};

	send_frame(&f);
}

static void
send_seek(void)
{
	const struct frame f = {.type = FRAME_SEEK,
	                        .seek = {.from = 9, .to = 4}};

	send_frame(&f);
}

/* The batch in hand may be on its way into the store. */
TEST(a_halt_ends_the_subscription_when_it_is_answered)
{
	struct frame f;

	subscribe(true, 5);
	send_batch(5, 3, true);
	send_halt();
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_HALT);
	assert_batch(5, 3);
	ck_assert_int_eq(subscription_committed(&subscription, 8, &none), 0);
	ck_assert_int_eq(received().type, FRAME_COMMITTED);
	ck_assert_int_eq(subscription_halted(&subscription, true, 8, &none), 0);
	f = received();
	ck_assert_int_eq(f.type, FRAME_HALTED);
	ck_assert(f.halted.has_position);
	ck_assert_uint_eq(f.halted.position, 8);
	send_seek();
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_SEEK);
	ck_assert_uint_eq(subscription.seek_from, 9);
	ck_assert_uint_eq(subscription.seek_to, 4);
	ck_assert_int_eq(subscription_halted(&subscription, false, 0, &none),
	                 0);
	ck_assert(!received().halted.has_position);
	send_start();
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_START);
	ck_assert_int_eq(subscription_start(&subscription, true, 4, &none), 0);
	ck_assert_int_eq(received().type, FRAME_SUBSCRIBE);
	send_batch(4, 1, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
}

TEST_LOOP(refuses_what_does_not_follow_a_halt, 4)
{
	subscribe(false, 0);
	if (_i == 0) {
		send_seek();
	} else {
		send_halt();
		ck_assert_int_eq(subscription_step(&subscription),
		                 SUBSCRIPTION_HALT);
	}
	if (_i == 1)
		send_halt();
	if (_i == 2)
		send_start();
	if (_i == 3)
		send_batch(0, 1, true);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

TEST(refuses_a_batch_before_it_has_subscribed)
{
	send_welcome();
	send_batch(0, 3, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_OTHER);
	ck_assert_int_eq(subscription_step(&subscription),
	                 SUBSCRIPTION_WELCOME);
	ck_assert_int_eq(subscription_step(&subscription), -EPROTO);
}

TEST(refuses_events_that_are_cut_or_too_many_for_their_count)
{
	struct frame f = {.type = FRAME_BATCH,
	                  .batch = {.count = 1, .last = true, .next = 2}};

	subscribe(false, 0);
	send_batch(0, 1, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	ck_assert_int_eq(subscription_committed(&subscription, 1, &none), 0);
	f.batch.offset = 1;
	f.body = body.data;
	f.body_bytes = body.len - 1;
	send_frame(&f);
	ck_assert_int_eq(subscription_step(&subscription), -EBADMSG);
	subscription.count = 0;
	ck_assert_int_eq(buf_add(&body, "x", 1), 0);
	f.body = body.data;
	f.body_bytes = body.len;
	send_frame(&f);
	ck_assert_int_eq(subscription_step(&subscription), -EBADMSG);
}

TEST(tells_the_answer_to_a_flush_from_a_batch)
{
	subscribe(false, 0);
	ck_assert_int_eq(subscription_flush(&subscription), 0);
	ck_assert_int_eq(received().type, FRAME_FLUSH);
	send_batch(0, 2, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_BATCH);
	ck_assert_int_eq(subscription_committed(&subscription, 2, &none), 0);
	send_batch(2, 0, true);
	ck_assert_int_eq(subscription_step(&subscription), SUBSCRIPTION_EMPTY);
}

TEST(keeps_the_text_of_a_refusal)
{
	struct frame f = {.type = FRAME_ERROR,
	                  .error = {.code = ERROR_BUSY,
	                            .text = slice_of("connected already")}};

	send_frame(&f);
	ck_assert_int_eq(subscription_step(&subscription), ERR_BATCHD_REFUSED);
	ck_assert_int_eq(subscription.error_code, ERROR_BUSY);
	ck_assert_str_eq(subscription.error_text, "connected already");
}

/* batchd refuses, and closes; what it has not read resets the link. */
TEST(reads_a_refusal_after_a_send_that_fails)
{
	struct frame f = {
	    .type = FRAME_ERROR,
	    .error = {.code = ERROR_AHEAD, .text = slice_of("beyond the end")}};

	for (int unread = 0; unread < 2; unread++) {
		subscribe(false, 0);
		if (unread)
			ck_assert_int_eq(subscription_flush(&subscription), 0);
		send_frame(&f);
		chan_close(&batchd);
		ck_assert_int_eq(subscription_flush(&subscription), -EPIPE);
		ck_assert_int_eq(subscription_final_error(&subscription),
		                 ERR_BATCHD_REFUSED);
		ck_assert_int_eq(subscription.error_code, ERROR_AHEAD);
		ck_assert_int_eq(subscription_final_error(&subscription),
		                 -EPIPE);
		teardown();
		setup();
	}
}

TEST(reports_that_batchd_is_gone_or_sends_rubbish)
{
	ck_assert_int_eq(send(batchd.fd, "rubbish", 7, 0), 7);
	ck_assert_int_eq(subscription_step(&subscription), -EBADMSG);
	chan_close(&batchd);
	ck_assert_int_eq(subscription_step(&subscription), -EPIPE);
	subscription_close(&subscription);
	subscription_close(&subscription);
}
