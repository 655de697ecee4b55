/* test_question - a question to batchd, over a socket with a test behind it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ingestd/question.h"

static uv_loop_t loop;
static char dir[] = "/tmp/leat-question-XXXXXX", path[64];
static int listener;
static struct chan peer;
static struct question q;
static int answers;
static size_t answer_bytes; /* SIZE_MAX: there was none */

static void
on_answer(void *arg, const uint8_t *map, size_t n)
{
	ck_assert_ptr_eq(arg, &answers);
	answer_bytes = map ? n : SIZE_MAX;
	answers++;
}

static void
setup(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/sock", dir);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof addr),
	                 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	q = (struct question){.loop = &loop,
	                      .socket = path,
	                      .on_answer = on_answer,
	                      .arg = &answers,
	                      .chan = {.fd = -1}};
	peer.fd = -1;
	answers = 0;
}

static void
teardown(void)
{
	question_drop(&q);
	question_drop(&q); /* twice is safe */
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	chan_close(&peer);
	ck_assert_int_eq(close(listener), 0);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
	memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
}

static void
peer_send(const struct frame *f)
{
	ck_assert_int_eq(chan_send(&peer, f), 0);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* Ask; batchd's end takes it in and says welcome. */
static void
ask(void)
{
	static uint8_t in[FRAME_MAX];
	struct frame f, welcome = {.type = FRAME_WELCOME,
	                           .welcome = {.version = FRAME_VERSION,
	                                       .stream = slice_of("s"),
	                                       .frame_max_bytes = FRAME_MAX}};
	int n;

	ck_assert_int_eq(question_ask(&q, "status"), 0);
	ck_assert(question_asked(&q));
	peer.fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(peer.fd, 0);
	n = chan_recv(&peer, in, sizeof in);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(frame_read(in, (size_t)n, &f), 0);
	ck_assert_int_eq(f.type, FRAME_HELLO);
	ck_assert_int_eq(f.hello.role, ROLE_CONTROL);
	n = chan_recv(&peer, in, sizeof in);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(frame_read(in, (size_t)n, &f), 0);
	ck_assert_int_eq(f.type, FRAME_CONTROL);
	ck_assert_int_eq(f.control.verb.bytes, strlen("status"));
	peer_send(&welcome);
	ck_assert(question_asked(&q));
}

START_TEST(hears_the_answer_once_and_may_ask_again)
{
	struct frame reply = {.type = FRAME_REPLY,
	                      .reply = {.id = 1, .ok = true},
	                      .body = (const uint8_t *)"\x80",
	                      .body_bytes = 1};

	reply.reply.text = slice_of("");
	for (int i = 1; i <= 2; i++) {
		ask();
		peer_send(&reply);
		ck_assert_int_eq(answers, i);
		ck_assert_uint_eq(answer_bytes, 1);
		ck_assert(!question_asked(&q));
		chan_close(&peer);
	}
}
END_TEST

/* batchd that is gone, refuses, or talks nonsense. */
START_TEST(hears_of_no_answer)
{
	struct frame f = {.type = _i == 1 ? FRAME_REPLY : FRAME_ERROR};

	if (_i == 1)
		f.reply.text = slice_of("unknown verb");
	if (_i == 2)
		f.error.text = slice_of("full");
	if (_i == 2)
		f.error.code = ERROR_FULL;
	ask();
	if (_i == 0)
		chan_close(&peer);
	else if (_i < 3)
		peer_send(&f);
	else
		ck_assert_int_eq(send(peer.fd, "\xc1", 1, 0), 1);
	while (answers == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(answers, 1);
	ck_assert_uint_eq(answer_bytes, SIZE_MAX);
	ck_assert(!question_asked(&q));
}
END_TEST

START_TEST(a_question_that_is_dropped_has_no_answer)
{
	ask();
	question_drop(&q);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(answers, 0);
}
END_TEST

START_TEST(batchd_that_is_away_cannot_be_asked)
{
	q.socket = "/nonexistent";
	ck_assert_int_eq(question_ask(&q, "status"), -ENOENT);
	ck_assert(!question_asked(&q));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("question");
	TCase *tc = tcase_create("question");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, hears_the_answer_once_and_may_ask_again);
	tcase_add_loop_test(tc, hears_of_no_answer, 0, 4);
	tcase_add_test(tc, a_question_that_is_dropped_has_no_answer);
	tcase_add_test(tc, batchd_that_is_away_cannot_be_asked);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
