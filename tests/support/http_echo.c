/*
 * http_echo - respond to each request with what libhttp has parsed.
 *
 *	http_echo --port N [--unix PATH] [--log]
 *
 * Port 0 is any free one.  The line `ready port=N` on standard error means
 * that it listens, on 127.0.0.1.  Connections to the socket PATH are handed to
 * http_server_adopt.  SIGTERM ends the program.
 *
 * A response is 200 with a JSON object:
 *
 *	{"method":"POST","path":"/a","query":"b" or null,"minor":1,
 *	 "fields":[["Host","h"],...],"body":"..."}
 *
 * Each byte of a request is one character of a text; bytes that are not
 * printable ASCII are escaped as \u00XX.  The response to HEAD has the object
 *in the header X-Seen.  --log writes each object to standard error as well, in
 * a line that begins with `seen `.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "libbase/buf.h"
#include "libbase/log.h"
#include "libhttp/http.h"

#define HEADER_BYTES_MAX (16 * KIB)
#define BODY_BYTES_MAX (64 * KIB)
#define RECEIVED_BYTES_MAX (256 * MIB)
#define CONNECTIONS_MAX 4096
#define TIMEOUT_MS 60000
#define BACKLOG 512

/* Up to six characters for each byte, and the names. */
#define JSON_BYTES_MAX (8 * (HEADER_BYTES_MAX + BODY_BYTES_MAX))

static bool logs; /* --log */

struct program {
	uv_loop_t loop;
	struct http_server *server;
	uv_signal_t sigterm;
	int unix_fd; /* -1: no --unix */
	uv_poll_t unix_listener;
	struct budget budget;
};

/* What is kept of one request; zeroed at first. */
struct echo {
	struct buf json;
	bool is_head;
	int rc; /* the first failure to write */
};

/* JSON. */

static void
add(struct echo *e, const char *text, size_t n)
{
	if (e->rc == 0)
		e->rc = buf_add(&e->json, text, n);
}

static void
add_literal(struct echo *e, const char *text)
{
	add(e, text, strlen(text));
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void
add_text(struct echo *e, const char *text, size_t n)
{
	const char *end = text + n, *from = text;
	char escape[8];

	add(e, "\"", 1);
	for (; text < end; text++) {
		if (is_plain((unsigned char)*text))
			continue;
		add(e, from, (size_t)(text - from));
		(void)snprintf(escape, sizeof escape, "\\u%04x",
		               (unsigned)(unsigned char)*text);
		add_literal(e, escape);
		from = text + 1;
	}
	add(e, from, (size_t)(text - from));
	add(e, "\"", 1);
}

static void
add_slice(struct echo *e, struct slice s)
{
	add_text(e, s.data, s.bytes);
}

static void
add_head(struct echo *e, const struct http_head *head)
{
	add_literal(e, "{\"method\":");
	add_slice(e, head->method);
	add_literal(e, ",\"path\":");
	add_slice(e, head->path);
	add_literal(e, ",\"query\":");
	if (head->query.data)
		add_slice(e, head->query);
	else
		add_literal(e, "null");
	add_literal(e, head->minor == 0 ? ",\"minor\":0" : ",\"minor\":1");
	add_literal(e, ",\"fields\":[");
	for (unsigned i = 0; i < head->field_count; i++) {
		add_literal(e, i == 0 ? "[" : ",[");
		add_slice(e, head->fields[i].name);
		add_literal(e, ",");
		add_slice(e, head->fields[i].value);
		add_literal(e, "]");
	}
	add_literal(e, "],\"body\":");
}

/* The handler. */

static void
on_head(struct http_request *rq, const struct http_head *head)
{
	struct echo *e = http_data(rq);

	buf_init(&e->json, JSON_BYTES_MAX);
	e->is_head = slice_is(head->method, "HEAD");
	add_head(e, head);
}

static void
write_log(const struct buf *json)
{
	/* There is no NUL in it: all of those are escaped. */
	(void)fprintf(stderr, "seen %.*s\n", (int)json->len,
	              (const char *)json->data);
}

/* Respond to HEAD, of whose response a client sees only the headers. */
static void
answer_head_request(struct http_request *rq, const struct buf *json)
{
	struct http_response answer = {.status = 200};
	char *line = NULL;

	if (asprintf(&line, "X-Seen: %.*s\r\n", (int)json->len,
	             (const char *)json->data) < 0)
		line = NULL; /* the answer is empty then */
	answer.headers = line;
	http_respond(rq, &answer);
	free(line);
}

static void
on_body(struct http_request *rq, char *body, size_t n)
{
	struct echo *e = http_data(rq);
	struct http_response answer = {.status = 200,
	                               .type = "application/json"};

	add_text(e, body, n);
	add_literal(e, "}");
	if (e->rc < 0) {
		log_error("cannot describe a request err=%s",
		          log_quote(strerror(-e->rc)));
		answer.status = 500;
		http_respond(rq, &answer);
		return;
	}
	if (logs)
		write_log(&e->json);
	if (e->is_head) {
		answer_head_request(rq, &e->json);
		return;
	}
	answer.body = e->json.data;
	answer.body_bytes = e->json.len;
	http_respond(rq, &answer);
}

static void
on_refuse(struct http_request *rq, unsigned status, const char *why)
{
	char body[256];
	int n = snprintf(body, sizeof body, "{\"reason\":\"%s\"}", why);
	struct http_response answer = {
	    .status = status,
	    .type = "application/json",
	    .body = body,
	    .body_bytes = (size_t)n < sizeof body ? (size_t)n : 0,
	};

	http_respond(rq, &answer);
}

static void
on_end(struct http_request *rq)
{
	struct echo *e = http_data(rq);

	buf_fini(&e->json);
}

/* The socket of --unix. */

static void
on_unix_listener(uv_poll_t *poll, int status, int events)
{
	struct program *p = poll->data;
	int fd = accept4(p->unix_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)status; /* accept4 returns the error */
	(void)events;
	if (fd < 0)
		log_error("accept failed err=%s", log_quote(strerror(errno)));
	else if (http_server_adopt(p->server, fd) < 0)
		log_error("cannot adopt a connection");
}

static int
listen_unix(struct program *p, const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof at.sun_path)
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	p->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->unix_fd < 0 ||
	    bind(p->unix_fd, (struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(p->unix_fd, BACKLOG) < 0)
		return -errno;
	p->unix_listener.data = p;
	if (uv_poll_init(&p->loop, &p->unix_listener, p->unix_fd) < 0 ||
	    uv_poll_start(&p->unix_listener, UV_READABLE, on_unix_listener) < 0)
		return -EIO;
	return 0;
}

/* The program. */

static void
on_sigterm(uv_signal_t *handle, int signum)
{
	struct program *p = handle->data;

	(void)signum;
	http_server_close(p->server);
	uv_close((uv_handle_t *)handle, NULL);
	if (p->unix_fd >= 0)
		uv_close((uv_handle_t *)&p->unix_listener, NULL);
}

static int
start(struct program *p, unsigned port, const char *unix_path)
{
	struct http_settings settings = {
	    .listen = "127.0.0.1",
	    .port = port,
	    .max_header_bytes = HEADER_BYTES_MAX,
	    .max_body_bytes = BODY_BYTES_MAX,
	    .budget = &p->budget,
	    .max_received_bytes = RECEIVED_BYTES_MAX,
	    .max_connections = CONNECTIONS_MAX,
	    .address_share_percent = 100,
	    .idle_timeout_ms = TIMEOUT_MS,
	    .header_timeout_ms = TIMEOUT_MS,
	    .request_timeout_ms = TIMEOUT_MS,
	};
	struct http_handler handler = {
	    .on_head = on_head,
	    .on_body = on_body,
	    .on_refuse = on_refuse,
	    .on_end = on_end,
	    .data_bytes = sizeof(struct echo),
	};
	int rc = uv_loop_init(&p->loop);

	if (rc == 0)
		rc =
		    http_server_open(&p->server, &p->loop, &settings, &handler);
	if (rc == 0 && unix_path)
		rc = listen_unix(p, unix_path);
	if (rc == 0)
		rc = uv_signal_init(&p->loop, &p->sigterm);
	p->sigterm.data = p;
	if (rc == 0)
		rc = uv_signal_start(&p->sigterm, on_sigterm, SIGTERM);
	return rc;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"port", required_argument, NULL, 'p'},
	    {"unix", required_argument, NULL, 'u'},
	    {"log", no_argument, NULL, 'l'},
	    {NULL, 0, NULL, 0},
	};
	struct program p = {.unix_fd = -1,
	                    .budget = {.max_bytes = RECEIVED_BYTES_MAX}};
	const char *unix_path = NULL;
	unsigned port = 0;
	int option, rc;

	log_init("http_echo");
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'p')
			port = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'u')
			unix_path = optarg;
		else if (option == 'l')
			logs = true;
		else
			return EXIT_CONFIG;
	}
	rc = start(&p, port, unix_path);
	if (rc < 0) {
		log_error("cannot start err=%s", log_quote(strerror(-rc)));
		return 1;
	}
	(void)fprintf(stderr, "ready port=%u\n", http_server_port(p.server));
	(void)uv_run(&p.loop, UV_RUN_DEFAULT);
	if (p.unix_fd >= 0)
		(void)close(p.unix_fd);
	return uv_loop_close(&p.loop) == 0 ? 0 : 1;
}
