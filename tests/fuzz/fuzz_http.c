/*
 * fuzz_http - fuzz a whole connection: requests that arrive in pieces, and a
 * program that responds at once, later, with a stream, or before the body has
 * arrived.
 *
 * A model parses the same bytes all at once and in a simple way, with
 * head_parse and chunked_read.  It predicts which requests the program must
 * have been given, and which responses the client must have got, in order.
 *
 * The input is 8 bytes that choose what happens, and the client's bytes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbase/log.h"
#include "libhttp/chunked.h"
#include "libhttp/http.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/loop.h"

#define INPUT_MAX (16 * KIB)
#define REQUESTS_MAX (INPUT_MAX / 16)
#define DECISIONS 4
#define ANSWER_MAX (200 * KIB)
#define LARGE_ANSWERS 8 /* of one connection */
#define RECEIVED_MAX (4 * MIB)
#define REFUSED_STATUS 403
#define HOUR_MS (3600 * 1000)

/* How the connection ends. */
enum ending {
	END_HALF,    /* the client ends its sending when nothing more happens */
	END_EARLY,   /* the same, right after its last byte */
	END_ABRUPT,  /* the client closes */
	END_CLOSE,   /* the server is closed */
	END_QUIESCE, /* the server is quiesced in the middle */
};

/* How the program responds to one request. */
struct decision {
	bool refuses; /* in on_head */
	enum { ANSWER_NOW, ANSWER_ON_TURN, ANSWER_LATER, ANSWER_STREAM } when;
	size_t bytes;
	bool pauses; /* between the pieces of a stream */
};

/* What the first bytes of the input choose. */
struct choices {
	enum ending ending;
	bool tight; /* there is little memory, and another client has half of it
	             */
	bool timed; /* time passes */
	bool reads_late; /* the client reads all responses at the end */
	bool small_socket;
	bool settles; /* between the pieces */
	size_t max_header_bytes, max_body_bytes;
	uint32_t random;
	size_t piece_max;
	unsigned quiesce_at; /* a piece */
	struct decision decisions[DECISIONS];
};

/* One request, as the program was given it. */
struct seen {
	uint64_t head, body; /* digests */
	bool has_body, ended;
	unsigned refused; /* by on_refuse, for this status */
};

/* What http_data holds. */
struct request {
	bool used;
	unsigned index;
	size_t left; /* of a stream */
	bool waits;  /* the next piece of a stream is not there yet */
	bool other;  /* it is the other client's */
};

static struct choices choices;
static struct seen seen[REQUESTS_MAX];
static unsigned seen_count;
static struct http_request *open_request; /* on_end has not been called */
static struct http_request *waiting;      /* for an answer */
static struct http_request *streaming;
static char *received; /* by the client */
static size_t received_bytes;
static size_t received_before_end; /* of the client's sending */
static bool client_at_end;
static int other_client; /* its socket, or -1 */
static bool other_begins;
static uint64_t passed_ms;
static uv_loop_t loop;

/* Replaces libuv's timers, which know only the real time. */
uint64_t
uv_now(const uv_loop_t *l)
{
	return l->time + passed_ms;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	HOLDS(uv_loop_init(&loop) == 0);
	received = calloc(1, RECEIVED_MAX);
	HOLDS(received);
	return 0;
}

/* Digests. */

#define DIGEST_START UINT64_C(14695981039346656037)

static uint64_t
digest(uint64_t d, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < n; i++)
		d = (d ^ at[i]) * UINT64_C(1099511628211);
	return (d ^ n) * UINT64_C(1099511628211);
}

static uint64_t
digest_head(const struct http_head *head)
{
	uint64_t d =
	    digest(DIGEST_START, head->method.data, head->method.bytes);

	d = digest(d, head->path.data, head->path.bytes);
	d = digest(d, head->query.data, head->query.bytes);
	d = digest(d, &head->minor, sizeof head->minor);
	for (unsigned i = 0; i < head->field_count; i++) {
		const struct http_field *f = &head->fields[i];

		d = digest(d, f->name.data, f->name.bytes);
		d = digest(d, f->value.data, f->value.bytes);
	}
	return d;
}

/* The program. */

static struct decision
decision_of(unsigned index)
{
	return choices.decisions[index % DECISIONS];
}

/* The text that proves what was seen, repeated until it is long enough. */
static size_t
write_proof(unsigned index, char *out, size_t room)
{
	size_t want = index < LARGE_ANSWERS ? decision_of(index).bytes : 1, n;

	n = (size_t)snprintf(out, room, "%u %016llx %016llx\n", index,
	                     (unsigned long long)seen[index].head,
	                     (unsigned long long)seen[index].body);
	for (; n < want; n *= 2)
		memcpy(out + n, out, n);
	HOLDS(n <= room);
	return n;
}

static void
answer(struct http_request *rq, unsigned status)
{
	struct request *data = http_data(rq);
	char *body = malloc(ANSWER_MAX);
	struct http_response a = {.status = status,
	                          .type = "text/plain",
	                          .headers = "X-A: b\r\nX-C: d\r\n",
	                          .body = body};

	HOLDS(body);
	a.body_bytes = write_proof(data->index, body, ANSWER_MAX);
	http_respond(rq, &a);
	HOLDS(open_request != rq); /* on_end has been called */
	free(body);
}

static ssize_t
produce(struct http_request *rq, char *out, size_t room)
{
	struct request *data = http_data(rq);
	char *text = malloc(ANSWER_MAX);
	size_t n, all;

	HOLDS(rq == open_request && rq == streaming);
	HOLDS(room >= HTTP_STREAM_ROOM && text);
	all = write_proof(data->index, text, ANSWER_MAX);
	data->waits = decision_of(data->index).pauses && !data->waits;
	n = data->left < room ? data->left : room;
	n = n > 1000 && data->index % 2 ? n / 3 : n;
	memcpy(out, text + all - data->left, n);
	free(text);
	if (data->waits && data->left > 0)
		return HTTP_STREAM_WAIT;
	data->left -= n;
	return n > 0 ? (ssize_t)n : HTTP_STREAM_END;
}

static void
stream(struct http_request *rq)
{
	struct http_response a = {.status = 200, .type = "text/plain"};
	struct request *data = http_data(rq);
	char *text = malloc(ANSWER_MAX);

	HOLDS(text);
	data->left = write_proof(data->index, text, ANSWER_MAX);
	free(text);
	streaming = rq;
	http_stream(rq, &a, produce);
}

static void
on_head(struct http_request *rq, const struct http_head *head)
{
	struct request *data = http_data(rq);
	char address[HTTP_ADDRESS_TEXT];

	HOLDS(!open_request && http_arg(rq) == &choices);
	HOLDS(http_request_of(data) == rq);
	HOLDS(!data->used && data->index == 0 && data->left == 0 &&
	      !data->waits && !data->other);
	data->other = other_begins;
	if (data->other)
		return;
	HOLDS(seen_count < REQUESTS_MAX);
	http_client_address(rq, address);
	HOLDS(memchr(address, '\0', sizeof address));
	open_request = rq;
	data->used = true;
	data->index = seen_count++;
	seen[data->index] = (struct seen){.head = digest_head(head)};
	if (decision_of(data->index).refuses)
		answer(rq, REFUSED_STATUS);
}

static void
on_body(struct http_request *rq, char *body, size_t n)
{
	struct request *data = http_data(rq);
	struct seen *s = &seen[data->index];

	HOLDS(rq == open_request && !s->has_body && !s->refused);
	HOLDS(n <= choices.max_body_bytes);
	s->has_body = true;
	s->body = digest(DIGEST_START, body, n);
	memset(body, 0xee, n + HTTP_BODY_PADDING); /* as simdjson may */
	switch (decision_of(data->index).when) {
	case ANSWER_NOW:
		answer(rq, 200);
		break;
	case ANSWER_ON_TURN:
	case ANSWER_LATER:
		waiting = rq;
		break;
	case ANSWER_STREAM:
		stream(rq);
		break;
	}
}

static void
on_refuse(struct http_request *rq, unsigned status, const char *why)
{
	struct request *data = http_data(rq);

	HOLDS(status == 400 || status == 413 ||
	      (status == 503 && choices.tight) ||
	      (status == 408 && choices.timed));
	HOLDS(why && *why && why[strlen(why) - 1] != '.');
	if (!data->other) {
		HOLDS(rq == open_request && !seen[data->index].has_body);
		seen[data->index].refused = status;
	}
	http_respond_error(rq, status, why, "X-A: b\r\n");
}

static void
on_end(struct http_request *rq)
{
	struct request *data = http_data(rq);

	if (data->other)
		return;
	HOLDS(rq == open_request && !seen[data->index].ended);
	seen[data->index].ended = true;
	open_request = waiting = streaming = NULL;
}

/* Respond to all deferred requests. Returns true if there was one. */
static bool
answer_waiting(bool on_turn)
{
	struct http_request *rq = waiting;
	const struct request *data = rq ? http_data(rq) : NULL;

	if (!data ||
	    (on_turn && decision_of(data->index).when != ANSWER_ON_TURN))
		return false;
	waiting = NULL;
	answer(rq, 200);
	return true;
}

static void
http_on_turn(void *arg)
{
	HOLDS(arg == &choices);
	(void)answer_waiting(true);
}

/* Time. */

static void
on_walk(uv_handle_t *handle, void *arg)
{
	uv_timer_t *timer = (uv_timer_t *)handle;

	(void)arg;
	if (handle->type == UV_TIMER && uv_is_active(handle))
		timer->timer_cb(timer);
}

static void
pass_time(uint64_t ms)
{
	passed_ms += ms;
	uv_walk(&loop, on_walk, NULL);
}

/* The clients. */

static uint32_t
random_below(uint32_t n)
{
	choices.random = choices.random * 1664525 + 1013904223;
	return (choices.random >> 8) % n;
}

static void
client_read(int fd)
{
	while (!client_at_end) {
		ssize_t n = recv(fd, received + received_bytes,
		                 RECEIVED_MAX - received_bytes, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		/* A reset is received after what was sent before it. */
		HOLDS(n >= 0 || errno == ECONNRESET);
		client_at_end = n <= 0;
		received_bytes += n > 0 ? (size_t)n : 0;
		HOLDS(received_bytes < RECEIVED_MAX);
	}
}

/* Another client sends half of a body and then stops. */
static void
open_other_client(struct http_server *server)
{
	static const char text[] = "POST / HTTP/1.1\r\nHost: x\r\n"
				   "Content-Length: 500\r\n\r\n";
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, fd[2];
	char body[250] = "";

	HOLDS(socketpair(AF_UNIX, type, 0, fd) == 0);
	HOLDS(http_server_adopt(server, fd[0]) == 0);
	other_client = fd[1];
	other_begins = true;
	HOLDS(send(fd[1], text, sizeof text - 1, 0) == sizeof text - 1 &&
	      send(fd[1], body, sizeof body, 0) == sizeof body);
	loop_settle(&loop);
	other_begins = false;
}

static void
close_other_client(void)
{
	if (other_client >= 0)
		(void)close(other_client); /* a socket: nothing to lose */
	other_client = -1;
}

/* Run until neither side has anything to do. */
static void
drain(int fd, bool reads)
{
	size_t before;
	bool again;

	do {
		before = received_bytes;
		loop_settle(&loop);
		if (reads)
			client_read(fd);
		again = answer_waiting(false);
		if (streaming &&
		    ((struct request *)http_data(streaming))->waits) {
			http_stream_wake(streaming);
			again = true;
		}
	} while (again || received_bytes > before);
}

/*
 * Send a piece. If the server takes no more, it must do so again when the
 * client has read the responses. Returns how much was sent, or -1 if the server
 * has closed.
 */
static ssize_t
send_piece(int fd, const uint8_t *bytes, size_t n)
{
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t sent = send(fd, bytes, n, flags);

	if (sent < 0 && errno == EAGAIN) {
		drain(fd, true);
		sent = send(fd, bytes, n, flags);
		HOLDS(sent >= 0 || errno != EAGAIN);
	}
	return sent;
}

/* Send the client's bytes.  Returns early when the server has closed. */
static void
client_send(struct http_server *server, int fd, const uint8_t *bytes, size_t n)
{
	for (unsigned i = 0; n > 0; i++) {
		size_t piece = 1 + random_below((uint32_t)choices.piece_max);
		ssize_t sent = send_piece(fd, bytes, piece < n ? piece : n);

		if (sent < 0)
			return;
		bytes += sent;
		n -= (size_t)sent;
		if (choices.settles)
			loop_settle(&loop);
		else
			(void)uv_run(&loop, UV_RUN_NOWAIT);
		if (!choices.reads_late)
			client_read(fd);
		if (random_below(2))
			(void)answer_waiting(false);
		if (streaming && random_below(2))
			http_stream_wake(streaming);
		if (choices.timed && random_below(3) == 0)
			pass_time(random_below(8000));
		if (choices.ending == END_QUIESCE && i == choices.quiesce_at)
			http_server_quiesce(server);
	}
}

static void
converse(struct http_server *server, int fd, const uint8_t *bytes, size_t n)
{
	client_send(server, fd, bytes, n);
	switch (choices.ending) {
	case END_HALF:
		drain(fd, true);
		HOLDS(!open_request || !seen[seen_count - 1].has_body);
		HOLDS(http_server_stats(server)->pending == 0);
		break;
	case END_QUIESCE:
		http_server_quiesce(server);
		drain(fd, true);
		break;
	case END_ABRUPT:
	case END_CLOSE:
		return;
	case END_EARLY:
		break;
	}
	received_before_end = received_bytes;
	(void)shutdown(fd, SHUT_WR);
	close_other_client();
	drain(fd, true);
	HOLDS(client_at_end && !open_request);
	HOLDS(http_server_stats(server)->connections == 0);
}

/* The model. */

enum fate {
	FATE_ANSWERED,
	FATE_BAD_HEAD, /* answered by the server */
	FATE_BAD_BODY, /* on_refuse */
	FATE_CUT,      /* ends inside its body */
	FATE_CUT_HEAD,
};

struct expected {
	enum fate fate;
	unsigned status, other_status; /* FATE_BAD_*; 0: there is no other */
	uint64_t head, body;
	bool keep_alive, as_head, old, expects, has_body;
	bool cut;      /* its body does not end */
	bool withheld; /* nothing of it has been sent */
	bool last;     /* nothing of what follows is read */
	bool may_last; /* perhaps nothing */
};

struct model {
	char *at; /* a copy of the client's bytes */
	size_t left;
	char *body;
	struct expected expected[REQUESTS_MAX];
	unsigned count;
};

static void
model_use(struct model *m, size_t n)
{
	m->at += n;
	m->left -= n;
}

static bool
streams(const struct expected *e, unsigned index)
{
	return e->fate == FATE_ANSWERED && !decision_of(index).refuses &&
	       decision_of(index).when == ANSWER_STREAM;
}

static void
model_length_body(struct model *m, struct expected *e, uint64_t length)
{
	size_t n = length > m->left ? m->left : (size_t)length;

	e->body = digest(DIGEST_START, m->at, n);
	if (length > choices.max_body_bytes)
		e->fate = FATE_BAD_BODY;
	else
		e->fate = length > m->left ? FATE_CUT : FATE_ANSWERED;
	e->status = 413;
	e->last = e->cut = length > m->left;
	model_use(m, n);
}

static void
model_chunked_body(struct model *m, struct expected *e)
{
	struct chunked chunked = {0};
	enum chunked_result result;
	const size_t max = choices.max_body_bytes;
	const char *from = m->at;
	bool too_large = false;
	size_t n = 0, bytes;
	char *data;

	while ((result = chunked_read(&chunked, &m->at, &m->left, &data,
	                              &bytes)) == CHUNKED_DATA) {
		memcpy(m->body + n, data, bytes);
		n += bytes;
		/* Including the rest of this chunk, whose size is known. */
		too_large |= n > max || chunked.left > max - n;
	}
	/* The lines between the chunks have the same limit. */
	too_large |= (size_t)(m->at - from) - n > max;
	e->body = digest(DIGEST_START, m->body, n);
	e->status = too_large ? 413 : 400;
	if (too_large || result == CHUNKED_BAD)
		e->fate = FATE_BAD_BODY;
	else
		e->fate = result == CHUNKED_END ? FATE_ANSWERED : FATE_CUT;
	e->last = result != CHUNKED_END;
	e->cut = result == CHUNKED_MORE;
}

static void
model_body(struct model *m, struct expected *e, const struct http_head *head)
{
	const char *from = m->at;

	if (head->chunked)
		model_chunked_body(m, e);
	else
		model_length_body(m, e, head->content_length);
	e->has_body = head->chunked || head->content_length > 0;
	e->withheld = m->at == from;
	/* The server may choose how much of a refused body it reads. */
	e->may_last =
	    e->fate == FATE_BAD_BODY ||
	    (decision_of(m->count).refuses && e->has_body &&
	     (e->expects || (size_t)(m->at - from) > choices.max_body_bytes));
}

/* Parse one request. Returns true if another one may follow. */
static bool
model_request(struct model *m)
{
	static struct http_head head;
	struct expected *e = &m->expected[m->count];
	struct head_scan scan = {0}, limit_scan = {0};
	size_t max = choices.max_header_bytes;
	ssize_t n = head_scan(&scan, m->at, m->left);
	bool over =
	    m->left > max && head_scan(&limit_scan, m->at, max + 1) == 0;
	const char *why;
	int status;

	*e = (struct expected){.fate = FATE_BAD_HEAD, .status = 400};
	if (over) {
		e->status = 431;
		/* Either error may be found first: malformed, or too large. */
		e->other_status = n == HEAD_SCAN_BAD ? 400 : 0;
		return false;
	}
	if (n == 0)
		e->fate = FATE_CUT_HEAD;
	if (n <= 0)
		return false;
	if ((size_t)n > max) {
		e->status = 431;
		return false;
	}
	status = head_parse(m->at, (size_t)n, &head, &why);
	e->status = (unsigned)status;
	e->as_head = slice_is(head.method, "HEAD");
	if (status != 0)
		return false;
	e->head = digest_head(&head);
	e->keep_alive = head.keep_alive;
	e->old = head.minor == 0;
	e->expects = head.expect_continue;
	model_use(m, (size_t)n);
	model_body(m, e, &head);
	e->last |= !e->keep_alive;
	if (streams(e, m->count)) {
		/* The connection closes after it. */
		e->last = true;
	}
	return !e->last;
}

static void
model_read(struct model *m, const uint8_t *bytes, size_t n)
{
	char *copy = fuzz_copy(bytes, n);
	bool again = true;

	m->at = copy;
	m->left = n;
	m->count = 0;
	m->body = malloc(n + 1);
	HOLDS(m->body);
	while (m->left > 0 && again) {
		again = model_request(m);
		m->count++;
	}
	free(m->body);
	free(copy);
}

/* The answers. */

struct answer {
	unsigned status, interims;
	bool closes, chunked, is_json;
	size_t length;
	bool has_length;
	char *body; /* without the chunks around it */
	size_t body_bytes;
};

static bool
line_is(const char *line, const char *text)
{
	return strncmp(line, text, strlen(text)) == 0;
}

/* Parse the lines of a head. Returns what is after it, or NULL. */
static char *
read_answer_head(char *at, const char *end, struct answer *a)
{
	char *head_end = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
	unsigned lines = 0;

	if (!head_end)
		return NULL;
	HOLDS(line_is(at, "HTTP/1.1 ") && at[12] == ' ');
	a->status = (unsigned)strtoul(at + 9, NULL, 10);
	HOLDS(a->status >= 100 && a->status < 600);
	while (at < head_end) {
		char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);

		at = line_end + 2;
		if (at > head_end)
			break;
		lines++;
		if (line_is(at, "Content-Length: ")) {
			HOLDS(!a->has_length && !a->chunked);
			a->has_length = true;
			a->length = strtoul(at + 16, NULL, 10);
		}
		if (line_is(at, "Transfer-Encoding: chunked\r")) {
			HOLDS(!a->has_length && !a->chunked);
			a->chunked = true;
		}
		a->closes |= line_is(at, "Connection: close\r");
		a->is_json |= line_is(at, "Content-Type: application/json\r");
	}
	HOLDS(a->status == 100 ? lines == 0 : lines >= 2);
	return head_end + 4;
}

/*
 * Parse the response to a request. Returns what is after it, or NULL if it is
 * not complete.
 */
static char *
read_answer(char *at, char *end, const struct expected *e, struct answer *a)
{
	struct chunked chunked = {0};
	enum chunked_result result;
	size_t left, n;
	char *data;

	*a = (struct answer){0};
	at = read_answer_head(at, end, a);
	while (at && a->status == 100) {
		unsigned interims = a->interims + 1;

		*a = (struct answer){.interims = interims};
		at = read_answer_head(at, end, a);
	}
	if (!at)
		return NULL;
	a->body = at;
	left = (size_t)(end - at);
	if (e->as_head)
		return at;
	if (!a->chunked) {
		a->body_bytes = a->has_length ? a->length : left;
		HOLDS(a->has_length || a->closes);
		return a->body_bytes <= left ? at + a->body_bytes : NULL;
	}
	while ((result = chunked_read(&chunked, &at, &left, &data, &n)) ==
	       CHUNKED_DATA) {
		memmove(a->body + a->body_bytes, data, n);
		a->body_bytes += n;
	}
	HOLDS(result != CHUNKED_BAD);
	return result == CHUNKED_END ? at : NULL;
}

/* The response comes from the program, and contains what the program saw. */
static void
check_proof(unsigned index, const struct expected *e, const struct answer *a)
{
	char *text = malloc(ANSWER_MAX);
	size_t n;

	HOLDS(text);
	n = write_proof(index, text, ANSWER_MAX);
	if (e->as_head)
		HOLDS(a->chunked || !a->has_length || a->length == n);
	else
		HOLDS(a->body_bytes == n && memcmp(a->body, text, n) == 0);
	free(text);
}

static void
check_error(const struct answer *a)
{
	HOLDS(a->is_json && a->body_bytes > 14);
	HOLDS(memcmp(a->body, "{\"error\":\"", 10) == 0);
	HOLDS(memcmp(a->body + a->body_bytes - 3, "\"}\n", 3) == 0);
	for (size_t i = 0; i < a->body_bytes - 1; i++)
		HOLDS((unsigned char)a->body[i] >= 0x20);
}

static void
check_content(unsigned index, const struct expected *e, const struct answer *a)
{
	if (!seen[index].refused)
		check_proof(index, e, a);
	else if (!e->as_head)
		check_error(a);
}

/* The status that the program must have sent; 0 if it sent none. */
static unsigned
status_of(const struct expected *e, unsigned index)
{
	if (decision_of(index).refuses)
		return REFUSED_STATUS;
	switch (e->fate) {
	case FATE_ANSWERED:
		return 200;
	case FATE_BAD_BODY:
		return e->status;
	case FATE_CUT:
	case FATE_CUT_HEAD:
	case FATE_BAD_HEAD:
		break;
	}
	return 0;
}

static void
check_seen(const struct expected *e, unsigned index)
{
	const struct seen *s = &seen[index];

	HOLDS(s->ended && s->head == e->head);
	if (decision_of(index).refuses)
		HOLDS(!s->has_body && !s->refused);
	else if (e->fate == FATE_ANSWERED)
		HOLDS(s->has_body && s->body == e->body && !s->refused);
	else
		HOLDS(!s->has_body && s->refused == status_of(e, index));
}

/* The body has not arrived, perhaps although the server asked for it. */
static void
check_interim(const struct expected *e, char **at, const char *end)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	size_t n = sizeof interim - 1;

	if (e->expects && (size_t)(end - *at) == n &&
	    memcmp(*at, interim, n) == 0)
		*at += n;
	else
		HOLDS(!e->expects || !e->withheld);
}

/*
 * Only for a body that is being dropped does the response wait for more bytes,
 * and not if the client holds the body back.
 */
static void
check_in_time(const struct expected *e, const char *after)
{
	bool in_time = !e->cut || (e->expects && e->withheld);

	HOLDS(choices.ending != END_HALF || !in_time ||
	      after <= received + received_before_end);
}

/*
 * Check one request and its response at *at. Returns true if others may follow.
 */
static bool
check_request(const struct expected *e, unsigned index, char **at, char *end)
{
	bool may_end = e->fate == FATE_CUT_HEAD && *at == end;
	struct answer a;

	if (e->fate == FATE_BAD_HEAD || e->fate == FATE_CUT_HEAD) {
		HOLDS(seen_count == index);
		if (may_end)
			return false;
		*at = read_answer(*at, end, e, &a);
		HOLDS(*at && a.interims == 0);
		HOLDS(a.status == e->status || a.status == e->other_status);
		HOLDS(a.closes);
		check_in_time(e, *at);
		if (!e->as_head)
			check_error(&a);
		return false;
	}
	HOLDS(seen_count > index);
	check_seen(e, index);
	if (status_of(e, index) == 0) {
		check_interim(e, at, end);
		return false;
	}
	*at = read_answer(*at, end, e, &a);
	if (choices.ending == END_EARLY && streams(e, index) &&
	    (!*at || e->old)) {
		*at = end; /* the end of the client's sending ends a stream */
		return false;
	}
	HOLDS(*at && a.status == status_of(e, index));
	HOLDS(a.interims <= (e->expects && e->has_body));
	check_in_time(e, *at);
	check_content(index, e, &a);
	HOLDS(e->keep_alive || a.closes);
	HOLDS(!a.closes || e->last || e->may_last);
	if (e->may_last && seen_count == index + 1 && *at == end)
		return false;
	return !e->last && !a.closes;
}

/* Everything that the model predicts has happened, and nothing else. */
static void
check_all(const struct model *m, const struct http_stats *stats)
{
	char *at = received, *end = received + received_bytes;
	unsigned i = 0, bad_bodies = 0;

	for (unsigned k = 0; k < seen_count; k++)
		bad_bodies += seen[k].refused == 400;
	while (i < m->count && check_request(&m->expected[i], i, &at, end))
		i++;
	HOLDS(at == end && seen_count <= i + 1);
	if (i == m->count || m->expected[i].fate != FATE_CUT_HEAD)
		HOLDS(stats->malformed ==
		      bad_bodies + (i < m->count &&
		                    m->expected[i].fate == FATE_BAD_HEAD));
	HOLDS(stats->overdue == 0 && stats->evicted == 0);
}

/*
 * The program and the client have seen the beginning of what the model
 * predicts; the last response may be cut.
 */
static void
check_beginning(const struct model *m)
{
	char *at = received, *end = received + received_bytes;
	const struct expected own = {.fate = FATE_BAD_HEAD}, *e;
	struct answer a = {0};

	for (unsigned i = 0; i < seen_count; i++) {
		HOLDS(i < m->count && seen[i].ended);
		HOLDS(seen[i].head == m->expected[i].head);
		HOLDS(!seen[i].has_body || seen[i].body == m->expected[i].body);
	}
	for (unsigned i = 0; at < end; i++) {
		HOLDS(!a.closes && i <= seen_count && i < m->count);
		/* The error may have been found before the method. */
		e = i < seen_count ? &m->expected[i] : &own;
		at = read_answer(at, end, e, &a);
		if (!at)
			return;
		if (i == seen_count) {
			HOLDS(a.status >= 400 && a.closes);
			check_error(&a);
			continue;
		}
		HOLDS(a.status == (decision_of(i).refuses ? REFUSED_STATUS
		                   : seen[i].refused      ? seen[i].refused
		                                          : 200));
		if (a.has_length || a.chunked)
			check_content(i, e, &a);
	}
}

/* One run. */

static void
choose(struct fuzz_input *in)
{
	static const size_t pieces[] = {1, 8, 64, 512, 4096, 65536};
	static const size_t answers[] = {1, 1000, 40 * KIB, 90 * KIB};
	static const enum ending endings[] = {
	    END_HALF,    END_EARLY, END_ABRUPT, END_CLOSE,
	    END_QUIESCE, END_HALF,  END_HALF,   END_EARLY,
	};
	unsigned flags = fuzz_u8(in);

	choices.ending = endings[fuzz_u8(in) % ARRAY_LEN(endings)];
	choices.tight = (flags & 65) == 65;
	choices.timed = flags & 128;
	choices.reads_late = flags & 2;
	choices.small_socket = flags & 4;
	choices.settles = flags & 8;
	choices.max_header_bytes = flags & 16 ? 8192 : 256;
	choices.max_body_bytes = flags & 32 ? 32768 : 1000;
	choices.random = fuzz_u8(in);
	choices.piece_max = pieces[choices.random % ARRAY_LEN(pieces)];
	choices.quiesce_at = fuzz_u8(in) % 16;
	for (int i = 0; i < DECISIONS; i++) {
		unsigned bits = fuzz_u8(in);

		choices.decisions[i] = (struct decision){
		    .refuses = bits & 1,
		    .when = bits >> 1 & 3,
		    .bytes = answers[bits >> 3 & 3],
		    .pauses = bits & 32,
		};
	}
}

static struct http_server *
open_server(struct budget *budget)
{
	const struct http_settings settings = {
	    .max_header_bytes = choices.max_header_bytes,
	    .max_body_bytes = choices.max_body_bytes,
	    .budget = budget,
	    .max_received_bytes = choices.tight ? 600 : SIZE_MAX,
	    .max_connections = 4,
	    .address_share_percent = 100,
	    .idle_timeout_ms = choices.timed ? 30000 : HOUR_MS,
	    .header_timeout_ms = choices.timed ? 10000 : HOUR_MS,
	    .request_timeout_ms = choices.timed ? 20000 : HOUR_MS,
	};
	static const struct http_handler handler = {
	    .on_head = on_head,
	    .on_body = on_body,
	    .on_refuse = on_refuse,
	    .on_end = on_end,
	    .on_turn = http_on_turn,
	    .arg = &choices,
	    .data_bytes = sizeof(struct request),
	};
	struct http_server *server;

	*budget = (struct budget){.max_bytes = choices.tight ? 2000 : SIZE_MAX};
	HOLDS(http_server_open(&server, &loop, &settings, &handler) == 0);
	return server;
}

static void
start_over(void)
{
	seen_count = 0;
	received_bytes = 0;
	client_at_end = other_begins = false;
	other_client = -1;
	passed_ms = 0;
	HOLDS(!open_request && !waiting && !streaming);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model model;
	struct fuzz_input in = {data, data + size};
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, small = 1, fd[2];
	struct http_server *server;
	struct http_stats stats;
	struct budget budget;

	if (size > INPUT_MAX)
		return 0;
	choose(&in);
	start_over();
	model_read(&model, in.at, (size_t)(in.end - in.at));
	HOLDS(socketpair(AF_UNIX, type, 0, fd) == 0);
	if (choices.small_socket)
		HOLDS(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small,
		                 sizeof small) == 0);
	server = open_server(&budget);
	if (choices.tight)
		open_other_client(server);
	HOLDS(http_server_adopt(server, fd[0]) == 0);
	converse(server, fd[1], in.at, (size_t)(in.end - in.at));
	if (choices.ending == END_ABRUPT) {
		(void)close(fd[1]);
		close_other_client();
		drain(-1, false);
		HOLDS(http_server_stats(server)->connections == 0);
	}
	stats = *http_server_stats(server);
	HOLDS(stats.requests == seen_count + choices.tight);
	if (choices.ending != END_CLOSE)
		HOLDS(budget.used_bytes == 0);
	http_server_close(server);
	HOLDS(!open_request && budget.used_bytes == 0);
	loop_settle(&loop);
	HOLDS(!uv_loop_alive(&loop));
	close_other_client();
	if (choices.ending != END_ABRUPT)
		(void)close(fd[1]);
	if (choices.ending <= END_EARLY && !choices.tight && !choices.timed)
		check_all(&model, &stats);
	else
		check_beginning(&model);
	return 0;
}
