/* test_batchd_client - ingestd's connection to a batchd that the test plays. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ingestd/batchd_client.h"
#include "libbase/buf.h"
#include "tests/support/test.h"

#define TIMEOUT_MS 100
#define BUDGET_BYTES (600 * KIB)

static uv_loop_t loop;
static struct batchd_client client;
static struct budget budget;
static char dir[] = "/tmp/leat-batchd-client-XXXXXX";
static char path[64];
static int listener;
static struct chan peer; /* batchd's end */
static uint8_t in[FRAME_MAX];
static struct frame got; /* the last frame that batchd received */

static struct answer {
	enum append_result result;
	uint64_t offset;
	int count;
} answers[4];

static void
on_done(void *owner, enum append_result result, uint64_t offset)
{
	struct answer *a = owner;

	a->result = result;
	a->offset = offset;
	a->count++;
}

static void
start_listening(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof addr),
	                 0);
	ck_assert_int_eq(listen(listener, 4), 0);
}

static void
open_client(void)
{
	struct batchd_client_conf conf = {.socket = path,
	                                  .max_event_bytes = 64 * KIB,
	                                  .append_timeout_ms = TIMEOUT_MS,
	                                  .on_done = on_done};

	ck_assert_int_eq(batchd_client_open(&client, &loop, &conf, &budget), 0);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/sock", dir);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	budget = (struct budget){.max_bytes = BUDGET_BYTES};
	peer.fd = -1;
	memset(answers, 0, sizeof answers);
	log_set_level(LOG_ERROR);
	start_listening();
	open_client();
}

static void
teardown(void)
{
	batchd_client_close(&client);
	batchd_client_close(&client); /* twice is safe */
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	batchd_client_fini(&client);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	ck_assert_uint_eq(budget.used_bytes, 0);
	chan_close(&peer);
	if (listener >= 0)
		ck_assert_int_eq(close(listener), 0);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
	memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
}

/*
 * libuv opens a pipe for signals with the first loop of a process and keeps
 * it.  Open it before the first test, which would seem to leak it.
 */
static void
start_libuv(void)
{
	uv_loop_t first;

	ck_assert_int_eq(uv_loop_init(&first), 0);
	ck_assert_int_eq(uv_loop_close(&first), 0);
}

TEST_CASE(wire, .before_all = start_libuv, .setup = setup,
          .teardown = teardown);

/* batchd's side. */

static void
peer_accept(void)
{
	peer.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(peer.fd, 0);
}

static void
peer_read(void)
{
	int n = chan_recv(&peer, in, sizeof in);

	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(frame_read(in, (size_t)n, &got), 0);
}

static void
peer_send(const struct frame *f)
{
	ck_assert_int_eq(chan_send(&peer, f), 0);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void
peer_welcome(void)
{
	struct frame welcome = {.type = FRAME_WELCOME,
	                        .welcome = {.version = FRAME_VERSION,
	                                    .frame_max_bytes = FRAME_MAX}};
	struct frame intake = {
	    .type = FRAME_INTAKE,
	    .intake = {.open = true, .reason = slice_of("")}};

	peer_accept();
	peer_read();
	ck_assert_int_eq(got.type, FRAME_HELLO);
	ck_assert_int_eq(got.hello.role, ROLE_INGEST);
	peer_send(&welcome);
	peer_send(&intake);
}

/* Frames `seq` - n + 1 .. seq are durable, their first offsets as given. */
static void
peer_appended(uint64_t seq, const uint64_t *offsets, uint32_t n)
{
	uint8_t body[9 * 8], *p = body;
	struct frame f = {.type = FRAME_APPENDED,
	                  .appended = {.seq = seq, .count = n},
	                  .body = body};

	for (uint32_t i = 0; i < n; i++)
		p = offsets[i] == APPEND_NO_OFFSET
		        ? wire_put_nil(p)
		        : wire_put_u64(p, offsets[i]);
	f.body_bytes = (size_t)(p - body);
	peer_send(&f);
}

/* ingestd's side. */

static char payload[200 * KIB];

/* An event whose payload has n bytes. */
static int
add(size_t n)
{
	struct event e = {.id = slice_of("id"),
	                  .type = slice_of("t"),
	                  .payload = {payload, (uint32_t)n}};

	memset(payload, ' ', n);
	return batchd_client_add(&client, &e);
}

static void
commit(int i, int events, size_t n)
{
	for (int k = 0; k < events; k++)
		ck_assert_int_eq(add(n), 0);
	ck_assert_int_eq(batchd_client_commit(&client, &answers[i]), 0);
}

static void
run_until(const int *count)
{
	for (int i = 0; i < 1000 && *count == 0; i++)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_ne(*count, 0);
}

TEST(takes_events_only_when_welcome_and_open)
{
	struct frame intake = {
	    .type = FRAME_INTAKE,
	    .intake = {.open = false, .reason = slice_of("log full")}};
	const char *why;

	ck_assert(!batchd_client_takes(&client, &why));
	ck_assert_str_eq(why, "batchd is unreachable");
	peer_welcome();
	ck_assert(batchd_client_takes(&client, &why));
	peer_send(&intake);
	ck_assert(!batchd_client_takes(&client, &why));
	ck_assert_str_eq(why, "log full");
}

TEST(requests_of_one_turn_share_a_frame)
{
	uint64_t offset = 1000;

	peer_welcome();
	commit(0, 2, 10);
	commit(1, 3, 10);
	batchd_client_flush(&client);
	peer_read();
	ck_assert_int_eq(got.type, FRAME_APPEND);
	ck_assert_uint_eq(got.append.seq, 1);
	ck_assert_uint_eq(got.append.count, 5);
	ck_assert_int_eq(answers[0].count, 0);
	ck_assert_uint_gt(budget.used_bytes, 0);
	peer_appended(1, &offset, 1);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_int_eq(answers[0].result, APPEND_DURABLE);
	ck_assert_uint_eq(answers[0].offset, 1000);
	ck_assert_uint_eq(answers[1].offset, 1002);
	ck_assert_uint_eq(budget.used_bytes, 0);
}

TEST(a_request_may_have_no_offset)
{
	uint64_t offsets[] = {APPEND_NO_OFFSET, 5};

	peer_welcome();
	commit(0, 1, 10);
	commit(1, 1, 10);
	batchd_client_flush(&client);
	peer_read();
	commit(2, 1, 10);
	batchd_client_flush(&client);
	peer_read();
	peer_appended(2, offsets, 2);
	ck_assert_int_eq(answers[1].result, APPEND_DURABLE);
	ck_assert_uint_eq(answers[0].offset, APPEND_NO_OFFSET);
	ck_assert_uint_eq(answers[1].offset, APPEND_NO_OFFSET);
	ck_assert_uint_eq(answers[2].offset, 5);
}

TEST(a_request_over_several_frames_waits_for_the_last)
{
	uint64_t first[] = {50}, rest[] = {70, 90};

	peer_welcome();
	commit(0, 1, 10);
	commit(1, 5, 60 * KIB); /* two to a frame, beside the first */
	batchd_client_flush(&client);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT); /* the socket may be full */
		peer_read();
		ck_assert_uint_eq(got.append.seq, seq);
		ck_assert_uint_le(got.body_bytes, FRAME_BODY_MAX);
	}
	peer_appended(1, first, 1);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_uint_eq(answers[0].offset, 50);
	ck_assert_int_eq(answers[1].count, 0);
	peer_appended(3, rest, 2);
	ck_assert_int_eq(answers[1].count, 1);
	ck_assert_uint_eq(answers[1].offset, 51);
}

TEST(a_cancelled_request_leaves_no_trace)
{
	uint64_t offset = 7;

	peer_welcome();
	commit(0, 1, 10);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(add(60 * KIB), 0);
	batchd_client_cancel(&client);
	commit(1, 1, 10);
	batchd_client_flush(&client);
	peer_read();
	ck_assert_uint_eq(got.append.count, 2);
	ck_assert_int_eq(chan_recv(&peer, in, sizeof in), -EAGAIN);
	peer_appended(1, &offset, 1);
	ck_assert_uint_eq(answers[1].offset, 8);
}

TEST(a_large_event_is_refused_and_others_stay)
{
	uint64_t offset = 1;

	peer_welcome();
	ck_assert_int_eq(add(60 * KIB), 0);
	ck_assert_int_eq(add(60 * KIB), 0);
	ck_assert_int_eq(add(64 * KIB), -EMSGSIZE); /* starts a frame in vain */
	ck_assert_int_eq(add(200 * KIB), -EMSGSIZE);
	ck_assert_int_eq(batchd_client_commit(&client, &answers[0]), 0);
	batchd_client_flush(&client);
	peer_read();
	ck_assert_uint_eq(got.append.count, 2);
	ck_assert_int_eq(chan_recv(&peer, in, sizeof in), -EAGAIN);
	peer_appended(1, &offset, 1);
	ck_assert_int_eq(answers[0].count, 1);
	commit(1, 1, 10);
	batchd_client_flush(&client);
	peer_read();
	ck_assert_uint_eq(got.append.seq, 2);
	peer_appended(2, &offset, 1);
	ck_assert_int_eq(answers[1].count, 1);
}

TEST(the_budget_bounds_what_waits)
{
	int taken = 0, rc;

	peer_welcome();
	while ((rc = add(60 * KIB)) == 0)
		taken++;
	ck_assert_int_eq(rc, -ENOBUFS);
	ck_assert_int_eq(taken, 9);
	ck_assert_int_eq(batchd_client_commit(&client, &answers[0]), 0);
	ck_assert_int_eq(add(60 * KIB), -ENOBUFS);
	batchd_client_cancel(&client);
}

TEST(continues_when_a_full_socket_empties)
{
	uint64_t offsets[] = {0, 2, 4, 6, 8};
	uint64_t seq = 0;

	peer_welcome();
	commit(0, 9, 60 * KIB);
	commit(1, 1, 10); /* together more than the socket holds */
	batchd_client_flush(&client);
	for (int i = 0; i < 1000 && seq < 5; i++) {
		batchd_client_flush(&client);
		if (chan_wait(&peer, POLLIN, 0) == 0) {
			peer_read();
			ck_assert_uint_eq(got.append.seq, ++seq);
		}
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	ck_assert_uint_eq(seq, 5);
	peer_appended(5, offsets, 5);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_uint_eq(answers[1].offset, 9);
}

TEST(what_was_not_sent_is_refused_when_the_intake_closes)
{
	struct frame intake = {
	    .type = FRAME_INTAKE,
	    .intake = {.open = false, .reason = slice_of("log full")}};
	uint64_t offsets[] = {0, 2, 4}, seq = 0;
	size_t held;
	int room = 70 * KIB; /* the kernel doubles it */

	peer_welcome();
	ck_assert_int_eq(setsockopt(client.chan.fd, SOL_SOCKET, SO_SNDBUF,
	                            &room, sizeof room),
	                 0);
	commit(0, 6, 60 * KIB); /* three frames, more than the socket holds */
	held = budget.used_bytes;
	commit(1, 2, 60 * KIB); /* a frame of its own */
	commit(2, 1, 10);
	batchd_client_flush(&client);
	ck_assert_uint_lt(client.queue.sent_seq, 3);
	peer_send(&intake);
	ck_assert_int_eq(answers[0].count, 0);
	ck_assert_int_eq(answers[1].count, 1);
	ck_assert_int_eq(answers[1].result, APPEND_NOT_SENT);
	ck_assert_int_eq(answers[2].count, 1);
	ck_assert_int_eq(answers[2].result, APPEND_NOT_SENT);
	ck_assert_uint_eq(budget.used_bytes, held);
	/* A request that was partly sent is completed; nothing follows it. */
	for (int i = 0; i < 1000 && seq < 3; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		if (chan_wait(&peer, POLLIN, 0) == 0) {
			peer_read();
			ck_assert_uint_eq(got.append.seq, ++seq);
		}
	}
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	ck_assert_int_eq(chan_recv(&peer, in, sizeof in), -EAGAIN);
	peer_appended(3, offsets, 3);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_int_eq(answers[0].result, APPEND_DURABLE);
	ck_assert_uint_eq(budget.used_bytes, 0);
	intake.intake.open = true;
	peer_send(&intake);
	commit(3, 1, 10);
	batchd_client_flush(&client);
	peer_read();
	ck_assert_uint_eq(got.append.seq, 4);
}

TEST(a_lost_connection_answers_all_and_is_reopened)
{
	const char *why;

	peer_welcome();
	commit(0, 1, 10);
	batchd_client_flush(&client);
	commit(1, 1, 10); /* not even sent */
	chan_close(&peer);
	run_until(&answers[1].count);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_int_eq(answers[0].result, APPEND_CONNECTION_LOST);
	ck_assert_int_eq(answers[1].result,
	                 APPEND_NOT_SENT); /* surely not kept */
	ck_assert_uint_eq(budget.used_bytes, 0);
	ck_assert(!batchd_client_takes(&client, &why));
	while (client.state != BATCHD_CLIENT_HELLO)
		(void)uv_run(&loop, UV_RUN_ONCE);
	peer_welcome();
	ck_assert(batchd_client_takes(&client, &why));
	commit(2, 1, 10);
	batchd_client_flush(&client);
	peer_read();
	ck_assert_uint_eq(got.append.seq, 1); /* counted from 1 again */
}

TEST(a_request_that_waits_too_long_is_answered_once)
{
	uint64_t offset = 1;

	peer_welcome();
	commit(0, 1, 10);
	batchd_client_flush(&client);
	run_until(&answers[0].count);
	ck_assert_int_eq(answers[0].result, APPEND_TIMED_OUT);
	ck_assert_uint_gt(budget.used_bytes, 0);
	peer_appended(1, &offset, 1);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_uint_eq(budget.used_bytes, 0);
}

/* Frames that batchd never read are dropped, and statistics get through. */
TEST(a_full_log_keeps_no_request_that_was_answered)
{
	struct frame closed = {
	    .type = FRAME_INTAKE,
	    .intake = {.open = false, .reason = slice_of("full")}};

	peer_welcome();
	commit(0, 1, 10);
	commit(1, 1, 10);
	batchd_client_flush(&client);
	peer_send(&closed);
	run_until(&answers[0].count);
	run_until(&answers[1].count);
	ck_assert_int_eq(answers[0].result, APPEND_TIMED_OUT);
	ck_assert_int_eq(answers[1].result, APPEND_TIMED_OUT);
	while (client.state != BATCHD_CLIENT_HELLO)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_uint_eq(budget.used_bytes, 0);
	chan_close(&peer);
	peer_welcome();
	ck_assert_uint_eq(client.connects, 2);
	ck_assert(batchd_client_send_stats(&client, "\x80", 1));
	peer_read();
	ck_assert_int_eq(got.type, FRAME_STATS);
}

TEST_LOOP(keeps_the_status_that_batchd_pushes, 2)
{
	struct frame f = {.type = FRAME_STATUS,
	                  .body = (const uint8_t *)"\x81\xa1x\x01",
	                  .body_bytes = 4};

	peer_welcome();
	ck_assert_uint_eq(client.status.len, 0);
	peer_send(&f);
	ck_assert_uint_eq(client.status.len, 4);
	f.body = (const uint8_t *)"\x80";
	f.body_bytes = 1;
	peer_send(&f);
	ck_assert_uint_eq(client.status.len, 1);
	ck_assert_int_eq(client.state, BATCHD_CLIENT_OPEN);
	/* Cut, or more than one value. */
	f.body =
	    (const uint8_t *)(_i == 0 ? "\xdf\xff\xff\xff\xff" : "\x80\x80");
	f.body_bytes = _i == 0 ? 5 : 2;
	peer_send(&f);
	ck_assert_int_eq(client.state, BATCHD_CLIENT_DISCONNECTED);
	ck_assert_uint_eq(client.status.len, 0);
	ck_assert(!batchd_client_send_stats(&client, "\x80", 1));
}

/* Frames that batchd never sends: each closes the connection. */
TEST_LOOP(nonsense_closes_the_connection, 5)
{
	uint64_t offset = 1;
	struct frame f = {.type = FRAME_BATCH, .batch = {.count = 1}};

	peer_welcome();
	commit(0, 1, 10);
	batchd_client_flush(&client);
	switch (_i) {
	case 0:
		peer_send(&f);
		break;
	case 1: /* never sent */
		peer_appended(2, (uint64_t[]){1, 2}, 2);
		break;
	case 2: /* leaves a gap */
		commit(1, 1, 10);
		batchd_client_flush(&client);
		peer_appended(2, &offset, 1);
		break;
	case 3: /* twice */
		peer_appended(1, &offset, 1);
		answers[0] = (struct answer){.result = APPEND_CONNECTION_LOST,
		                             .count = 1};
		peer_appended(1, &offset, 1);
		break;
	default:
		ck_assert_int_eq(send(peer.fd, "\xc1", 1, 0), 1);
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	ck_assert_int_eq(client.state, BATCHD_CLIENT_DISCONNECTED);
	ck_assert_int_eq(answers[0].count, 1);
	ck_assert_int_eq(answers[0].result, APPEND_CONNECTION_LOST);
}
