/*
 * test_control_request - the arguments of a control verb, and a request to a
 * batchd that the test plays.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libproto/chan.h"
#include "libproto/control_request.h"
#include "tests/support/test.h"

static char path[64];
static int listener;
static pthread_t thread;
static struct frame answer; /* what the batchd of the test sends */
static struct control_reply reply;
/* What it has received. */
static uint8_t asked[FRAME_MAX];
static struct frame question;

static void
setup(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)snprintf(path, sizeof path, "/tmp/leat-test-control-%d",
	               (int)getpid());
	(void)unlink(path); /* of an earlier run */
	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	answer = (struct frame){.type = FRAME_HELLO};
}

static void
teardown(void)
{
	(void)close(listener);
	(void)unlink(path);
}

TEST_CASE(requests, .setup = setup, .teardown = teardown);

/* Take hello and the request, and send the answer, if there is one. */
static void *
play_batchd(void *arg)
{
	static uint8_t hello[FRAME_MAX];
	struct chan c = {.fd = accept(listener, NULL, NULL)};
	ssize_t n;

	(void)arg;
	ck_assert_int_ge(c.fd, 0);
	n = recv(c.fd, hello, sizeof hello, 0);
	ck_assert_int_gt((int)n, 0);
	n = recv(c.fd, asked, sizeof asked, 0);
	ck_assert_int_gt((int)n, 0);
	ck_assert_int_eq(frame_read(asked, (size_t)n, &question), 0);
	if (answer.type != FRAME_HELLO)
		ck_assert_int_eq(chan_send(&c, &answer), 0);
	/* Wait until the client has had enough. */
	n = recv(c.fd, hello, sizeof hello, 0);
	ck_assert_int_eq((int)n, 0);
	chan_close(&c);
	return NULL;
}

static int
ask(const struct control_args *args, uint64_t timeout_ms)
{
	const struct control_request request = {.socket = path,
	                                        .verb = "pause",
	                                        .args = args,
	                                        .timeout_ms = timeout_ms};
	int rc;

	ck_assert_int_eq(pthread_create(&thread, NULL, play_batchd, NULL), 0);
	rc = control_request(&request, &reply);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(question.type, FRAME_CONTROL);
	ck_assert(slice_is(question.control.verb, "pause"));
	return rc;
}

TEST(arguments_come_back_as_they_were_added)
{
	const struct slice name = slice_of("postgres");
	struct control_args args;
	struct slice text;
	uint64_t value;
	const uint8_t *map;
	size_t n;

	control_args_init(&args);
	control_args_add_text(&args, "sink", name);
	control_args_add_uint(&args, "for_ms", 1800000);
	ck_assert_int_eq(args.map.error, 0);
	map = args.map.data;
	n = args.map.len;
	ck_assert(wire_is_one_value(map, n));
	ck_assert_int_eq(control_args_find_text(map, n, "sink", &text), 0);
	ck_assert(slice_is(text, "postgres"));
	ck_assert_int_eq(control_args_find_uint(map, n, "for_ms", &value), 0);
	ck_assert_uint_eq(value, 1800000);
	/* Missing, of another type, and cut. */
	ck_assert_int_eq(control_args_find_uint(map, n, "to", &value), -ENOENT);
	ck_assert_uint_eq(value, 0);
	ck_assert_int_eq(control_args_find_uint(map, n, "sink", &value),
	                 -EBADMSG);
	for (size_t cut = 0; cut < n; cut++)
		ck_assert_int_eq(
		    control_args_find_uint(map, cut, "for_ms", &value),
		    -EBADMSG);
	control_args_fini(&args);
}

/* The failure is kept, and the request is not made. */
TEST(arguments_that_do_not_fit_a_frame_are_refused)
{
	static char longest[FRAME_BODY_MAX];
	const struct slice text = {longest, sizeof longest};
	struct control_args args;

	control_args_init(&args);
	control_args_add_text(&args, "event", text);
	control_args_add_uint(&args, "limit", 1);
	ck_assert_int_eq(args.map.error, -EMSGSIZE);
	ck_assert_int_eq(
	    control_request(&(struct control_request){.socket = path,
	                                              .verb = "dead",
	                                              .args = &args,
	                                              .timeout_ms = 1000},
	                    &reply),
	    -EMSGSIZE);
	control_args_fini(&args);
}

TEST(a_reply_is_received)
{
	static const uint8_t map[] = {0x80};
	struct control_args args;
	uint64_t value;

	control_args_init(&args);
	control_args_add_uint(&args, "for_ms", 300);
	answer = (struct frame){.type = FRAME_REPLY,
	                        .reply = {1, true, {"", 0}},
	                        .body = map,
	                        .body_bytes = 1};
	ck_assert_int_eq(ask(&args, 10000), 0);
	ck_assert_uint_eq(reply.body_bytes, 1);
	ck_assert_uint_eq(reply.body[0], 0x80);
	ck_assert_str_eq(reply.text, "");
	ck_assert_int_eq(control_args_find_uint(question.body,
	                                        question.body_bytes, "for_ms",
	                                        &value),
	                 0);
	ck_assert_uint_eq(value, 300);
	control_args_fini(&args);
}

TEST(a_refusal_has_a_reason)
{
	answer = (struct frame){.type = FRAME_REPLY,
	                        .reply = {1, false, slice_of("no such sink")}};
	ck_assert_int_eq(ask(NULL, 10000), -EOPNOTSUPP);
	ck_assert_str_eq(reply.text, "no such sink");
	ck_assert_ptr_null(reply.body);
}

TEST(an_error_frame_is_not_taken_for_a_reply_without_a_map)
{
	answer = (struct frame){.type = FRAME_ERROR,
	                        .error = {ERROR_STOPPING, slice_of("stop")}};
	ck_assert_int_eq(ask(NULL, 10000), ERR_BATCHD_REFUSED);
	answer =
	    (struct frame){.type = FRAME_REPLY, .reply = {1, true, {"", 0}}};
	ck_assert_int_eq(ask(NULL, 10000), -EBADMSG);
}

TEST(a_batchd_that_does_not_reply_is_given_up)
{
	ck_assert_int_eq(ask(NULL, 50), -ETIMEDOUT);
}
