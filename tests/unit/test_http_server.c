/*
 * test_http_server - the server over socket pairs: responses at once, later, in
 * order and over time, and clients that are slow or leave.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "libhttp/http.h"
#include "tests/support/test.h"

#define OUT_BYTES (4 * MIB)
#define DEFERRED_MAX 8

/* What the handler should do, and what it has seen. */
static struct {
	bool refuse; /* in on_head, with 403 */
	bool defer;  /* respond when the test does */
	http_produce produce;
	size_t answer_bytes; /* 0: the body is sent back */
	unsigned heads, bodies, ends, turns;
	unsigned refusals[600];
	struct http_request *deferred[DEFERRED_MAX];
	unsigned deferred_count;
	char last_body[64];
} program;

static uv_loop_t loop;
static struct budget budget;
static struct http_settings settings;
static struct http_server *server;
static char out[OUT_BYTES + 1];
static size_t out_bytes;
static char big[MIB];

static void
on_head(struct http_request *rq, const struct http_head *head)
{
	const struct http_response no = {403, "text/plain", NULL, "no", 2};

	(void)head;
	program.heads++;
	if (program.refuse)
		http_respond(rq, &no);
}

static void
on_body(struct http_request *rq, char *body, size_t n)
{
	struct http_response a = {200, "text/plain", NULL, body, n};
	const struct http_response stream = {200, "text/plain", NULL, NULL, 0};

	program.bodies++;
	(void)snprintf(program.last_body, sizeof program.last_body, "%.*s",
	               (int)n, body);
	memset(body + n, 'X', HTTP_BODY_PADDING); /* which is allowed */
	if (program.defer) {
		ck_assert_uint_lt(program.deferred_count, DEFERRED_MAX);
		program.deferred[program.deferred_count++] = rq;
		return;
	}
	if (program.produce) {
		http_stream(rq, &stream, program.produce);
		return;
	}
	if (program.answer_bytes > 0) {
		a.body = big;
		a.body_bytes = program.answer_bytes;
	}
	http_respond(rq, &a);
}

static void
on_refuse(struct http_request *rq, unsigned status, const char *why)
{
	program.refusals[status]++;
	http_respond_error(rq, status, why, NULL);
}

static void
on_end(struct http_request *rq)
{
	(void)rq;
	program.ends++;
}

static void
on_turn(void *arg)
{
	(void)arg;
	program.turns++;
}

static void
setup(void)
{
	memset(&program, 0, sizeof program);
	memset(big, 'b', sizeof big);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	budget = (struct budget){.max_bytes = 64 * MIB};
	settings = (struct http_settings){
	    .max_header_bytes = 1024,
	    .max_body_bytes = 1 * MIB,
	    .budget = &budget,
	    .max_received_bytes = 32 * MIB,
	    .max_connections = 100,
	    .address_share_percent = 100,
	    .idle_timeout_ms = 60000,
	    .header_timeout_ms = 60000,
	    .request_timeout_ms = 60000,
	};
}

static void
open_server(void)
{
	const struct http_handler handler = {.on_head = on_head,
	                                     .on_body = on_body,
	                                     .on_refuse = on_refuse,
	                                     .on_end = on_end,
	                                     .on_turn = on_turn,
	                                     .data_bytes = 8};

	ck_assert_int_eq(http_server_open(&server, &loop, &settings, &handler),
	                 0);
}

static void
teardown(void)
{
	http_server_close(server);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	ck_assert_uint_eq(budget.used_bytes, 0);
	ck_assert_uint_eq(program.heads, program.ends);
}

/*
 * libuv opens a pipe for signals with the first loop of a process and keeps it.
 * Open a loop before the first test, which would seem to leak the pipe
 * otherwise.
 */
static void
start_libuv(void)
{
	uv_loop_t first;

	ck_assert_int_eq(uv_loop_init(&first), 0);
	ck_assert_int_eq(uv_loop_close(&first), 0);
}

TEST_CASE(http_server, .before_all = start_libuv, .setup = setup,
          .teardown = teardown);

/* Connect a client. */
static int
client(void)
{
	int sv[2], small = 4096;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	/* So that a large response does not fit. */
	ck_assert_int_eq(
	    setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	ck_assert_int_eq(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(http_server_adopt(server, sv[1]), 0);
	return sv[0];
}

/* Run the loop until the server has handled everything. */
static void
turn(void)
{
	for (int i = 0; i < 50; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void
send_text(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0),
	                 (ssize_t)strlen(text));
	turn();
}

/* Receive up to `max` bytes. Returns false at the end of the connection. */
static bool
hear_some(int fd, size_t max)
{
	ssize_t n = recv(fd, out + out_bytes, max, 0);

	if (n > 0)
		out_bytes += (size_t)n;
	out[out_bytes] = '\0';
	return n != 0;
}

static const char *
hear(int fd)
{
	out_bytes = 0;
	out[0] = '\0';
	for (int i = 0; i < 2000; i++) {
		size_t before = out_bytes;

		if (!hear_some(fd, OUT_BYTES - out_bytes))
			break;
		turn();
		if (out_bytes == before)
			break;
	}
	return out;
}

static bool
is_closed(int fd)
{
	out_bytes = 0;
	turn();
	return !hear_some(fd, OUT_BYTES);
}

static unsigned
count(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(n) "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " #n "\r\n\r\n"

TEST(pipelined_requests_are_answered_in_order)
{
	int fd;

	open_server();
	fd = client();
	program.defer = true;
	send_text(fd, POST(1) "1" POST(1) "2" POST(1) "3");
	/* One at a time, whatever has arrived. */
	for (int i = 0; i < 3; i++) {
		const struct http_response a = {200, "text/plain", NULL,
		                                &"123"[i], 1};

		ck_assert_uint_eq(program.bodies, i + 1);
		ck_assert_uint_eq(http_server_stats(server)->pending, 1);
		ck_assert_str_eq(hear(fd), "");
		http_respond(program.deferred[i], &a);
		turn();
		ck_assert_ptr_nonnull(strstr(hear(fd), "200 OK"));
		ck_assert_int_eq(out[out_bytes - 1], '1' + i);
	}
	ck_assert_uint_eq(http_server_stats(server)->pending, 0);
	ck_assert(!is_closed(fd));
	(void)close(fd);
}

TEST(many_pipelined_requests_are_all_answered)
{
	static char text[3000 * (sizeof GET - 1) + 1];
	unsigned answers = 0;
	int fd;

	open_server();
	fd = client();
	for (int i = 0; i < 3000; i++)
		memcpy(text + (size_t)i * (sizeof GET - 1), GET,
		       sizeof GET - 1);
	for (size_t sent = 0; sent < sizeof text - 1 || answers < 3000;) {
		ssize_t n =
		    send(fd, text + sent, sizeof text - 1 - sent, MSG_DONTWAIT);
		unsigned before = answers;

		sent += n > 0 ? (size_t)n : 0;
		turn();
		answers += count(hear(fd), "200 OK");
		ck_assert(n > 0 || answers > before);
	}
	ck_assert_uint_eq(answers, 3000);
	ck_assert_uint_eq(program.bodies, 3000);
	(void)close(fd);
}

TEST(a_body_in_pieces_is_put_together)
{
	int fd;

	open_server();
	fd = client();
	for (const char *p = POST(11); *p; p++)
		send_text(fd, (char[]){*p, '\0'});
	send_text(fd, "hello ");
	ck_assert_uint_eq(budget.used_bytes, 11 + HTTP_BODY_PADDING);
	send_text(fd, "world" GET);
	ck_assert_uint_eq(program.bodies, 2);
	ck_assert_uint_eq(count(hear(fd), "200 OK"), 2);
	ck_assert_ptr_nonnull(strstr(out, "hello world"));
	send_text(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
	              "\r\n\r\n5\r\nhello\r\n1\r\n \r\n5\r\nw");
	send_text(fd, "orld\r\n0\r\n\r\n" GET);
	ck_assert_uint_eq(count(hear(fd), "200 OK"), 2);
	ck_assert_ptr_nonnull(strstr(out, "hello world"));
	ck_assert_uint_eq(budget.used_bytes, 0);
	(void)close(fd);
}

TEST(a_client_that_has_sent_all_still_gets_its_answer)
{
	const struct http_response a = {200, "text/plain", NULL, "yes", 3};
	int fd;

	open_server();
	fd = client();
	program.defer = true;
	ck_assert_int_eq(send(fd, GET, strlen(GET), 0), (ssize_t)strlen(GET));
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	turn();
	ck_assert_uint_eq(program.bodies, 1);
	http_respond(program.deferred[0], &a);
	ck_assert_ptr_nonnull(strstr(hear(fd), "yes"));
	ck_assert(is_closed(fd));
	(void)close(fd);
}

TEST(a_refused_body_is_dropped_and_the_connection_goes_on)
{
	int fd;

	open_server();
	fd = client();
	program.refuse = true;
	send_text(fd, POST(10) "12345");
	ck_assert_str_eq(hear(fd), ""); /* the body first */
	send_text(fd, "67890" GET);
	ck_assert_uint_eq(count(hear(fd), "403 Forbidden"), 2);
	send_text(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
	              "\r\n\r\n5\r\nhello\r\n0\r\n");
	send_text(fd, "\r\n" GET);
	ck_assert_uint_eq(count(hear(fd), "403 Forbidden"), 2);
	ck_assert_uint_eq(program.bodies, 0);
	ck_assert(!is_closed(fd));
	(void)close(fd);
}

TEST(a_refused_body_that_is_held_back_or_long_closes)
{
	static const char *const heads[] = {
	    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
	    "Expect: 100-continue\r\n\r\n",
	    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"};

	open_server();
	program.refuse = true;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		int fd = client();

		send_text(fd, heads[i]);
		ck_assert_uint_eq(count(hear(fd), "403 Forbidden"), 1);
		ck_assert_ptr_nonnull(strstr(out, "Connection: close\r\n"));
		/* It reads on for a while, and answers nothing more. */
		send_text(fd, GET);
		ck_assert(is_closed(fd));
		(void)close(fd);
	}
	ck_assert_uint_eq(program.heads, 2);
}

TEST(a_body_beyond_the_limit_is_refused_once)
{
	char chunk[70000];
	int fd;

	open_server();
	fd = client();
	send_text(fd, POST(1048577));
	ck_assert_uint_eq(count(hear(fd), "HTTP/1.1 "), 1);
	ck_assert_ptr_nonnull(strstr(out, " 413 "));
	(void)close(fd);
	fd = client();
	send_text(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
	              "\r\n\r\n");
	memset(chunk, 'x', sizeof chunk);
	(void)snprintf(chunk, sizeof chunk, "10000\r\n");
	chunk[7] = 'x';
	memcpy(chunk + 7 + 65536, "\r\n", 3);
	for (int i = 0; i < 20 && program.refusals[413] < 2; i++) {
		ssize_t n = 0, at = 0, all = 7 + 65536 + 2;

		for (; at<all; at += n> 0 ? n : 0) {
			n = send(fd, chunk + at, (size_t)(all - at), 0);
			turn();
		}
	}
	ck_assert_uint_eq(program.refusals[413], 2);
	ck_assert_uint_eq(count(hear(fd), "HTTP/1.1 "), 1);
	(void)close(fd);
	turn();
}

TEST(malformed_requests_get_one_answer_and_a_close)
{
	static const char *const texts[] = {
	    "GET / HTTP/1.1\r\n\r\n" GET, "GET / HTTP/1.1\nHost: x\r\n\r\n" GET,
	    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n" GET,
	    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "5;\nhello\r\n0\r\n\r\n" GET};

	open_server();
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int fd = client();

		send_text(fd, texts[i]);
		ck_assert_uint_eq(count(hear(fd), "HTTP/1.1 "), 1);
		ck_assert_ptr_nonnull(strstr(out, " 400 Bad Request"));
		ck_assert_ptr_nonnull(strstr(out, "\r\n\r\n{\"error\":"));
		ck_assert(is_closed(fd));
		(void)close(fd);
	}
	ck_assert_uint_eq(program.bodies, 0);
	ck_assert_uint_eq(http_server_stats(server)->malformed, 4);
}

TEST(a_large_answer_waits_for_a_slow_reader)
{
	size_t all = 0;
	int fd;

	open_server();
	fd = client();
	program.answer_bytes = sizeof big;
	send_text(fd, GET GET);
	/* The second waits until the first is sent. */
	ck_assert_uint_eq(program.bodies, 1);
	ck_assert_uint_eq(http_server_stats(server)->pending, 1);
	ck_assert_uint_gt(budget.used_bytes, sizeof big / 2);
	while (all < 2 * sizeof big) {
		out_bytes = 0;
		ck_assert(hear_some(fd, 100000));
		turn();
		all += out_bytes;
	}
	ck_assert_uint_eq(program.bodies, 2);
	turn();
	ck_assert_uint_eq(budget.used_bytes, 0);
	(void)close(fd);
}

TEST(head_and_http_1_0_are_answered_as_they_must_be)
{
	int fd;

	open_server();
	fd = client();
	program.answer_bytes = 5;
	send_text(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(hear(fd), "Content-Length: 5\r\n"));
	ck_assert_str_eq(strstr(out, "\r\n\r\n"), "\r\n\r\n");
	send_text(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert_ptr_nonnull(
	    strstr(hear(fd), "Connection: keep-alive\r\n\r\nbbbbb"));
	send_text(fd, "GET / HTTP/1.0\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(hear(fd), "Connection: close\r\n"));
	ck_assert(is_closed(fd));
	(void)close(fd);
}

/* Streams. */

static unsigned produced, produce_limit;

static ssize_t
produce_numbers(struct http_request *rq, char *to, size_t room)
{
	(void)rq;
	ck_assert_uint_ge(room, HTTP_STREAM_ROOM);
	if (produced >= produce_limit)
		return produce_limit == 0 ? HTTP_STREAM_WAIT : HTTP_STREAM_END;
	memset(to, '.', 1000);
	(void)snprintf(to, 16, "[%u]", produced++);
	return 1000;
}

TEST(a_stream_is_produced_as_the_client_reads)
{
	size_t all = 0;
	int fd;

	open_server();
	fd = client();
	program.produce = produce_numbers;
	produced = 0;
	produce_limit = 2000;
	send_text(fd, GET);
	/* No more is produced than the socket takes. */
	ck_assert_uint_gt(produced, 0);
	ck_assert_uint_lt(produced, 500);
	ck_assert_uint_le(budget.used_bytes, 4096);
	while (program.ends == 0) {
		out_bytes = 0;
		ck_assert(hear_some(fd, 10000));
		turn();
		all += out_bytes;
	}
	ck_assert_uint_eq(produced, 2000);
	(void)hear(fd);
	all += out_bytes;
	ck_assert_uint_gt(all, 2000 * 1000);
	ck_assert_str_eq(out + out_bytes - 5, "0\r\n\r\n");
	ck_assert(is_closed(fd));
	(void)close(fd);
}

static struct http_request *streaming;

static ssize_t
produce_when_woken(struct http_request *rq, char *to, size_t room)
{
	(void)room;
	streaming = rq;
	if (produced == 0)
		return HTTP_STREAM_WAIT;
	produced--;
	memcpy(to, "tick", 4);
	return 4;
}

TEST(a_stream_waits_for_the_program_and_ends_with_the_client)
{
	int fd;

	open_server();
	fd = client();
	program.produce = produce_when_woken;
	produced = 0;
	send_text(fd, "GET / HTTP/1.0\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(hear(fd), "Connection: close"));
	ck_assert_ptr_null(strstr(out, "chunked"));
	for (int i = 0; i < 3; i++) {
		produced = 1;
		http_stream_wake(streaming);
		turn();
		ck_assert_str_eq(hear(fd), "tick");
	}
	ck_assert_uint_eq(program.ends, 0);
	(void)close(fd);
	turn();
	ck_assert_uint_eq(program.ends, 1);
	ck_assert_uint_eq(http_server_stats(server)->connections, 0);
}

/* Limits. */

static void
on_passed(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, NULL);
	*(bool *)timer->data = true;
}

/* Run the loop for this long by its own clock. */
static void
pass(uint64_t ms)
{
	bool passed = false;
	uv_timer_t timer;

	ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
	timer.data = &passed;
	ck_assert_int_eq(uv_timer_start(&timer, on_passed, ms, 0), 0);
	while (!passed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	turn(); /* closes the timer */
}

TEST(what_is_late_gets_408_or_a_close)
{
	int idle, head, body;

	settings.header_timeout_ms = 100;
	settings.request_timeout_ms = 200;
	settings.idle_timeout_ms = 400;
	open_server();
	idle = client();
	head = client();
	body = client();
	send_text(head, "GET / HT");
	send_text(body, POST(10) "1234");
	/* The timers use the loop's clock, so wait for each in turn. */
	while (http_server_stats(server)->overdue < 1)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_ptr_nonnull(strstr(hear(head), " 408 "));
	while (http_server_stats(server)->overdue < 2)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_ptr_nonnull(strstr(hear(body), " 408 "));
	ck_assert_uint_eq(program.refusals[408], 1);
	/* One that is idle is closed as well, and is not counted. */
	while (!is_closed(idle))
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_uint_eq(out_bytes, 0);
	ck_assert_uint_eq(http_server_stats(server)->overdue, 2);
	ck_assert(is_closed(idle) && is_closed(head) && is_closed(body));
	(void)close(idle);
	(void)close(head);
	(void)close(body);
}

/* Send a part of a body of `a`s. */
static void
send_body(int fd, const char *head, size_t n)
{
	char text[2000];
	size_t at = strlen(head);

	memcpy(text, head, at);
	memset(text + at, 'a', n);
	text[at + n] = '\0';
	send_text(fd, text);
}

TEST(when_memory_runs_out_the_slowest_goes)
{
	int first, second;

	settings.max_received_bytes = 1600;
	settings.request_timeout_ms = 5000;
	open_server();
	first = client();
	second = client();
	send_body(first, POST(1000), 900);
	/*
	 * No connection is old enough to be evicted, so the new body is
	 * refused.
	 */
	send_body(second, POST(1000), 700);
	ck_assert_uint_eq(program.refusals[503], 1);
	ck_assert_str_eq(hear(second), "");
	send_body(second, "", 300);
	ck_assert_ptr_nonnull(strstr(hear(second), " 503 "));
	/* What arrives whole needs no memory. */
	send_body(second, POST(1000), 1000);
	ck_assert_ptr_nonnull(strstr(hear(second), " 200 "));
	/* After a tenth of its time limit, the first connection is evicted. */
	pass(settings.request_timeout_ms / 10);
	ck_assert_uint_eq(http_server_stats(server)->evicted, 0);
	send_body(second, POST(1000), 700);
	ck_assert_uint_eq(http_server_stats(server)->evicted, 1);
	ck_assert(is_closed(first));
	send_body(second, "", 300);
	ck_assert_ptr_nonnull(strstr(hear(second), " 200 "));
	(void)close(first);
	(void)close(second);
}

TEST(an_old_connection_goes_for_a_new_one)
{
	int fds[9];

	settings.max_connections = 8; /* two are kept free */
	open_server();
	for (size_t i = 0; i < 6; i++)
		fds[i] = client();
	send_text(fds[0], GET); /* the youngest now */
	(void)hear(fds[0]);
	send_text(fds[1], POST(10) "1");
	for (size_t i = 6; i < 9; i++)
		fds[i] = client();
	ck_assert_uint_eq(http_server_stats(server)->evicted, 3);
	for (size_t i = 0; i < 9; i++) {
		ck_assert_int_eq(is_closed(fds[i]), i >= 1 && i <= 3);
		(void)close(fds[i]);
	}
}

TEST(a_server_that_stops_lets_each_connection_end)
{
	const struct http_response a = {200, "text/plain", NULL, "yes", 3};
	int idle, waiting;

	open_server();
	idle = client();
	waiting = client();
	program.defer = true;
	send_text(waiting, GET GET);
	http_server_quiesce(server);
	ck_assert(is_closed(idle));
	ck_assert_uint_eq(http_server_stats(server)->pending, 1);
	http_respond(program.deferred[0], &a);
	ck_assert_uint_eq(http_server_stats(server)->pending, 0);
	ck_assert_ptr_nonnull(strstr(hear(waiting), "Connection: close"));
	ck_assert(is_closed(waiting));
	ck_assert_uint_eq(program.bodies, 1);
	(void)close(idle);
	(void)close(waiting);
}

/* epoll refuses a file, as it refuses a socket when the kernel has no room. */
TEST(connections_that_cannot_be_served_do_not_flood_the_log)
{
	char lines[16384];
	int fds[2], before = dup(STDERR_FILENO);
	size_t logged = 0;
	ssize_t n;

	open_server();
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(
		    http_server_adopt(server, memfd_create("file", 0)), -EPERM);
	ck_assert_int_ge(dup2(before, STDERR_FILENO), 0);
	n = read(fds[0], lines, sizeof lines - 1);
	ck_assert_int_gt(n, 0);
	lines[n] = '\0';
	for (const char *p = lines; (p = strchr(p, '\n')); p++)
		logged++;
	ck_assert_uint_eq(logged, 10);
	ck_assert_ptr_nonnull(strstr(lines, "cannot serve a connection"));
	ck_assert_uint_eq(http_server_stats(server)->connections, 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(before);
}

TEST(a_server_can_close_in_the_middle_of_everything)
{
	int fds[6];

	open_server();
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = client();
	send_text(fds[0], "GET /");
	send_text(fds[1], POST(10) "123");
	program.answer_bytes = sizeof big;
	send_text(fds[2], GET GET);
	program.defer = true;
	send_text(fds[3], GET GET);
	program.defer = false;
	program.produce = produce_when_woken;
	send_text(fds[4], GET);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	/* teardown closes it, and looks at the budget. */
}
