/* test_chan - the wire over a socketpair, no daemon. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libproto/chan.h"
#include "tests/support/test.h"

static struct chan a, b;

static void
setup(void)
{
	int sv[2], type = SOCK_SEQPACKET | SOCK_NONBLOCK;

	ck_assert_int_eq(socketpair(AF_UNIX, type, 0, sv), 0);
	a.fd = sv[0];
	b.fd = sv[1];
}

static void
teardown(void)
{
	chan_close(&a);
	chan_close(&b);
}

TEST_CASE(frames, .setup = setup, .teardown = teardown);

static struct frame
append_of(uint64_t seq, const void *body, size_t n)
{
	return (struct frame){.type = FRAME_APPEND,
	                      .append = {.seq = seq, .count = 1},
	                      .body = body,
	                      .body_bytes = n};
}

TEST(keeps_frame_boundaries)
{
	uint8_t buf[64];
	struct frame f = append_of(1, "one", 3), got;
	int n;

	ck_assert_int_eq(chan_send(&a, &f), 0);
	f = append_of(2, "three", 5);
	ck_assert_int_eq(chan_send(&a, &f), 0);
	n = chan_recv(&b, buf, sizeof buf);
	ck_assert_int_eq(n, FRAME_APPEND_HEADER + 3);
	ck_assert_int_eq(frame_read(buf, (size_t)n, &got), 0);
	ck_assert_uint_eq(got.append.seq, 1);
	ck_assert_mem_eq(got.body, "one", 3);
	n = chan_recv(&b, buf, sizeof buf);
	ck_assert_int_eq(frame_read(buf, (size_t)n, &got), 0);
	ck_assert_uint_eq(got.append.seq, 2);
	ck_assert_mem_eq(got.body, "three", 5);
	ck_assert_int_eq(chan_recv(&b, buf, sizeof buf), -EAGAIN);
}

TEST(drops_a_frame_that_does_not_fit)
{
	uint8_t buf[8];
	struct frame f = append_of(1, "three", 5);

	ck_assert_int_eq(chan_send(&a, &f), 0);
	ck_assert_int_eq(chan_recv(&b, buf, sizeof buf), -EMSGSIZE);
	ck_assert_int_eq(chan_recv(&b, buf, sizeof buf), -EAGAIN);
}

TEST(refuses_to_send_more_than_a_frame_holds)
{
	static uint8_t big[FRAME_MAX];
	struct frame f = append_of(1, big, sizeof big);

	ck_assert_int_eq(chan_send(&a, &f), -EMSGSIZE);
}

TEST(passes_the_largest_frame_in_a_default_socket_buffer)
{
	static uint8_t big[FRAME_BODY_MAX], buf[FRAME_MAX];
	struct frame f = append_of(1, big, sizeof big);

	ck_assert_int_eq(chan_send(&a, &f), 0);
	ck_assert_int_eq(chan_recv(&b, buf, sizeof buf),
	                 FRAME_APPEND_HEADER + FRAME_BODY_MAX);
}

TEST(reports_a_receiver_that_lags_and_recovers)
{
	static uint8_t big[FRAME_BODY_MAX], buf[FRAME_MAX];
	struct frame f = append_of(1, big, sizeof big);
	int sent = 0, rc = 0;

	while (sent < 1000 && (rc = chan_send(&a, &f)) == 0)
		sent++;
	ck_assert_int_eq(rc, -EAGAIN);
	ck_assert_int_ge(sent, 1);
	ck_assert_int_eq(chan_wait(&a, POLLOUT, 0), -ETIMEDOUT);
	for (int i = 0; i < sent; i++)
		ck_assert_int_gt(chan_recv(&b, buf, sizeof buf), 0);
	ck_assert_int_eq(chan_wait(&a, POLLOUT, 0), 0);
	ck_assert_int_eq(chan_send(&a, &f), 0);
}

TEST(reports_that_the_other_end_is_gone)
{
	uint8_t buf[8];
	struct frame f = append_of(1, "x", 1);

	chan_close(&b);
	ck_assert_int_eq(chan_send(&a, &f), -EPIPE);
	ck_assert_int_eq(chan_recv(&a, buf, sizeof buf), -EPIPE);
	chan_close(&a);
	chan_close(&a); /* twice is safe */
}

TEST(takes_an_empty_packet_for_the_end)
{
	uint8_t buf[8];

	ck_assert_int_eq(send(a.fd, "", 0, 0), 0);
	ck_assert_int_eq(chan_recv(&b, buf, sizeof buf), -EPIPE);
}

TEST(names_a_daemon_that_is_not_up)
{
	struct chan c;
	char path[200];

	ck_assert_int_eq(chan_connect(&c, "/nonexistent/leat.sock", 0),
	                 -ENOENT);
	ck_assert_int_eq(c.fd, -1);
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	ck_assert_int_eq(chan_connect(&c, path, 0), -ENAMETOOLONG);
}
