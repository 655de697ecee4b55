/*
 * fuzz_tls - fuzz a connection with TLS: records that are made up, and those of
 * a real client that are altered, truncated, repeated or delayed. Whatever
 * arrives, the loop must become idle, the connection must end when its client
 * does, and all memory must be freed. The program must see nothing that the
 * client has not sent, and everything if nothing was altered. The input is two
 * bytes that choose the client, and steps of one byte each with their
 * arguments.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "libbase/log.h"
#include "libhttp/http.h"
#include "libhttp/tls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/loop.h"

#define STEPS_MAX 64
#define FLIGHT_MAX (256 * KIB)
#define HOUR_MS (3600 * 1000)
#define SMALL_ANSWER 10
#define LARGE_ANSWER (100 * KIB)

static struct http_tls *tls;
static uv_loop_t loop;

/* The client. */
static struct client {
	gnutls_session_t session;
	int fd;
	bool handshaken, broken; /* its own view */
	bool altered;            /* what it sent, or by its own will */
	unsigned sent;           /* requests */
	unsigned answered;
	unsigned updates; /* of keys */
	size_t pulled;    /* bytes out of the socket */
	uint8_t *flight;  /* what it sends, before it goes into the socket */
	size_t flight_bytes;
} client;

/* What becomes of the next flight. */
static struct alteration {
	size_t at, cut_at; /* 0: it is not cut */
	uint8_t change;
	bool repeats, waits; /* for the one after it */
} alteration;

/* What the program has seen. */
static struct program {
	struct http_request *waiting;
	unsigned heads, bodies, answers;
	bool defers, large;
} program;

/* A certificate and a key for the server. */

static void
load_certificate(const gnutls_datum_t *certificate, const gnutls_datum_t *key)
{
	char paths[2][64], error[HTTP_TLS_ERROR_TEXT];
	const gnutls_datum_t *files[2] = {certificate, key};
	int fd[2];

	for (int i = 0; i < 2; i++) {
		fd[i] = memfd_create("pem", MFD_CLOEXEC);
		HOLDS(fd[i] >= 0 && write(fd[i], files[i]->data,
		                          files[i]->size) == files[i]->size);
		(void)snprintf(paths[i], sizeof paths[i], "/proc/self/fd/%d",
		               fd[i]);
	}
	tls = http_tls_new();
	HOLDS(tls && http_tls_load(tls, paths[0], paths[1], error) == 0);
	for (int i = 0; i < 2; i++)
		(void)close(fd[i]); /* in memory */
}

static void
make_certificate(void)
{
	static const unsigned char serial[] = {1};
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t key_pem, crt_pem;
	const char *err;
	time_t now = time(NULL);

	HOLDS(gnutls_x509_privkey_init(&key) == 0 &&
	      gnutls_x509_crt_init(&crt) == 0);
	HOLDS(gnutls_x509_privkey_generate(
		  key, GNUTLS_PK_ECDSA,
		  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
	HOLDS(gnutls_x509_crt_set_version(crt, 3) == 0 &&
	      gnutls_x509_crt_set_serial(crt, serial, sizeof serial) == 0 &&
	      gnutls_x509_crt_set_activation_time(crt, now - 3600) == 0 &&
	      gnutls_x509_crt_set_expiration_time(crt, now + 86400) == 0 &&
	      gnutls_x509_crt_set_dn(crt, "CN=fuzz", &err) == 0 &&
	      gnutls_x509_crt_set_key(crt, key) == 0 &&
	      gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) == 0);
	HOLDS(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem) ==
	          0 &&
	      gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_pem) ==
	          0);
	load_certificate(&crt_pem, &key_pem);
	gnutls_free(crt_pem.data);
	gnutls_free(key_pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	HOLDS(uv_loop_init(&loop) == 0 && gnutls_global_init() == 0);
	client.flight = malloc(FLIGHT_MAX);
	HOLDS(client.flight);
	make_certificate();
	return 0;
}

/* The program: it checks that request n is the n-th that was sent. */

/* Sizes of bodies: none, one record, several. */
static size_t
body_bytes_of(unsigned n)
{
	static const size_t sizes[] = {0, 20, 5000, 40000};

	return sizes[n % ARRAY_LEN(sizes)];
}

static void
answer(struct http_request *rq)
{
	static char text[LARGE_ANSWER];
	struct http_response a = {.status = 200,
	                          .type = "text/plain",
	                          .body = text,
	                          .body_bytes = program.large ? LARGE_ANSWER
	                                                      : SMALL_ANSWER};

	memset(text, 'x', sizeof text);
	program.answers++;
	http_respond(rq, &a);
}

static void
on_head(struct http_request *rq, const struct http_head *head)
{
	char path[32];

	(void)rq;
	(void)snprintf(path, sizeof path, "/%u", program.heads);
	HOLDS(program.heads < client.sent && slice_is(head->path, path));
	HOLDS(head->content_length == body_bytes_of(program.heads));
	program.heads++;
}

static void
on_body(struct http_request *rq, char *body, size_t n)
{
	HOLDS(program.bodies + 1 == program.heads &&
	      n == body_bytes_of(program.bodies));
	for (size_t i = 0; i < n; i++)
		HOLDS(body[i] == (char)(i + program.bodies));
	program.bodies++;
	if (program.defers)
		program.waiting = rq;
	else
		answer(rq);
}

static void
on_refuse(struct http_request *rq, unsigned status, const char *why)
{
	(void)rq;
	(void)status;
	(void)why;
	HOLDS(false); /* the client sends nothing that could be refused */
}

static void
on_end(struct http_request *rq)
{
	HOLDS(program.heads > 0);
	if (program.waiting == rq)
		program.waiting = NULL;
}

static void
tls_on_turn(void *arg)
{
	struct http_request *rq = program.waiting;

	HOLDS(arg == &program);
	program.waiting = NULL;
	if (rq)
		answer(rq);
}

/* The way from the client to the server. */

static void
into_socket(const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(client.fd, bytes, n < 4096 ? n : 4096,
		                    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0) { /* the server has closed, or is slow */
			client.altered |= errno == EAGAIN;
			return;
		}
		bytes += sent;
		n -= (size_t)sent;
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
}

/* Send the flight, altered as was chosen.  It may be empty. */
static void
let_go(void)
{
	struct alteration a = alteration;
	size_t n = client.flight_bytes;

	if (n == 0)
		return;
	if (a.waits) {
		alteration.waits = false;
		return;
	}
	alteration = (struct alteration){0};
	client.flight_bytes = 0;
	client.altered |= a.change || a.cut_at || a.repeats;
	client.flight[a.at % n] ^= a.change;
	if (a.cut_at)
		n = a.cut_at % n;
	into_socket(client.flight, n);
	if (a.repeats)
		into_socket(client.flight, n);
}

static ssize_t
on_push(gnutls_transport_ptr_t arg, const void *bytes, size_t n)
{
	(void)arg;
	HOLDS(n <= FLIGHT_MAX - client.flight_bytes);
	memcpy(client.flight + client.flight_bytes, bytes, n);
	client.flight_bytes += n;
	return (ssize_t)n;
}

static ssize_t
on_pull(gnutls_transport_ptr_t arg, void *out, size_t size)
{
	ssize_t n = recv(client.fd, out, size, MSG_DONTWAIT);

	(void)arg;
	if (n < 0)
		gnutls_transport_set_errno(client.session, errno);
	client.pulled += n > 0 ? (size_t)n : 0;
	return n;
}

static int
on_pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
	(void)arg;
	(void)ms;
	return 1; /* on_pull finds out whether there is something */
}

/* The client. */

static void
check_client(ssize_t rc)
{
	if (rc < 0 && gnutls_error_is_fatal((int)rc))
		client.broken = true;
}

static void
open_client(unsigned kind)
{
	static const char *const priorities[] = {
	    "NORMAL:-VERS-ALL:+VERS-TLS1.3",
	    "NORMAL:-VERS-ALL:+VERS-TLS1.2",
	    "NORMAL",
	    "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA",
	    "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0",
	    "NORMAL:-GROUP-ALL:+GROUP-FFDHE2048",
	};
	static unsigned char names[][9] = {"http/1.1", "h2"};
	const gnutls_datum_t protocols[] = {{names[0], 8}, {names[1], 2}};
	static gnutls_certificate_credentials_t credentials;
	unsigned priority = kind % ARRAY_LEN(priorities);
	unsigned alpn = kind / ARRAY_LEN(priorities) % 4;

	HOLDS(gnutls_init(&client.session, GNUTLS_CLIENT | GNUTLS_NONBLOCK |
	                                       GNUTLS_NO_SIGNAL) == 0);
	HOLDS(credentials ||
	      gnutls_certificate_allocate_credentials(&credentials) == 0);
	HOLDS(gnutls_credentials_set(client.session, GNUTLS_CRD_CERTIFICATE,
	                             credentials) == 0);
	HOLDS(gnutls_priority_set_direct(client.session, priorities[priority],
	                                 NULL) == 0);
	/* http/1.1, both, none, or h2 alone. */
	if (alpn != 2)
		HOLDS(gnutls_alpn_set_protocols(client.session,
		                                protocols + (alpn == 3),
		                                alpn == 1 ? 2 : 1, 0) == 0);
	gnutls_transport_set_push_function(client.session, on_push);
	gnutls_transport_set_pull_function(client.session, on_pull);
	gnutls_transport_set_pull_timeout_function(client.session,
	                                           on_pull_timeout);
	client.handshaken = client.broken = client.altered = false;
	client.sent = client.answered = client.updates = 0;
	client.pulled = client.flight_bytes = 0;
	alteration = (struct alteration){0};
	/* Some of them the server must refuse. */
	client.altered = priority == 3 || priority == 4 || alpn >= 2;
}

static void
shake_hands(int times)
{
	for (int i = 0; i < times && !client.broken && !client.handshaken;
	     i++) {
		int rc = gnutls_handshake(client.session);

		check_client(rc);
		client.handshaken = rc == 0;
		let_go();
		loop_settle(&loop);
	}
}

static void
send_record(const void *bytes, size_t n)
{
	ssize_t sent = gnutls_record_send(client.session, bytes, n);

	check_client(sent);
	HOLDS(sent < 0 || (size_t)sent == n); /* on_push takes all */
}

static size_t
write_request(char *out, size_t room, unsigned index)
{
	size_t body_bytes = body_bytes_of(index), n;

	n = (size_t)snprintf(out, room,
	                     "POST /%u HTTP/1.1\r\nHost: x\r\n"
	                     "Content-Length: %zu\r\n\r\n",
	                     index, body_bytes);
	HOLDS(n + body_bytes <= room);
	for (size_t i = 0; i < body_bytes; i++)
		out[n++] = (char)(i + index);
	return n;
}

/* Several at once may share a record. */
static void
send_requests(unsigned count, size_t record_max)
{
	static char text[256 * 1024];
	size_t n = 0, step;

	for (unsigned i = 0; i < count; i++)
		n += write_request(text + n, sizeof text - n, client.sent++);
	for (size_t at = 0; at < n && !client.broken; at += step) {
		step = n - at < record_max ? n - at : record_max;
		send_record(text + at, step);
		let_go();
	}
}

static void
send_alerts(unsigned kind, unsigned count)
{
	client.altered = true;
	for (unsigned i = 0; i < count; i++)
		check_client(gnutls_alert_send(
		    client.session,
		    kind & 1 ? GNUTLS_AL_WARNING : GNUTLS_AL_FATAL,
		    (gnutls_alert_description_t)(kind >> 1)));
}

/* Count the responses by their sizes, which are all the same. */
static void
read_answers(void)
{
	static char text[16 * 1024];
	ssize_t n = 0;

	while (client.handshaken && !client.broken &&
	       (n = gnutls_record_recv(client.session, text, sizeof text)) >
	           0) {
		for (char *at = text, *end = text + n;
		     (at = memmem(at, (size_t)(end - at), "HTTP/1.1 200", 12));
		     at++)
			client.answered++;
	}
	check_client(n);
	let_go(); /* an alert, or a key update's answer */
}

enum step {
	STEP_RAW,
	STEP_HANDSHAKE,
	STEP_WHOLE_HANDSHAKE,
	STEP_REQUEST,
	STEP_CHANGE,
	STEP_CUT,
	STEP_REPEAT,
	STEP_WAIT,
	STEP_UPDATE_KEYS,
	STEP_REHANDSHAKE,
	STEP_ALERT,
	STEP_BYE,
	STEP_READ,
	STEPS,
};

/* Send bytes that no TLS library would. */
static void
send_raw(struct fuzz_input *in)
{
	size_t n = fuzz_u16(in);
	const uint8_t *raw = fuzz_bytes(in, &n);

	client.altered |= n > 0;
	into_socket(raw, n);
}

static void
update_keys(bool of_peer)
{
	/* GnuTLS allows 8 in a second. */
	client.altered |= ++client.updates > 4;
	check_client(gnutls_session_key_update(client.session,
	                                       of_peer ? GNUTLS_KU_PEER : 0));
}

static void
rehandshake(void)
{
	client.altered = true;
	check_client(gnutls_handshake(client.session));
}

static void
send_close_notify(void)
{
	client.altered = true; /* what follows is not read */
	check_client(gnutls_bye(client.session, GNUTLS_SHUT_WR));
}

/* A step that needs another state of the session is skipped. */
static void
take_step(struct fuzz_input *in)
{
	gnutls_protocol_t version = gnutls_protocol_get_version(client.session);
	bool open = client.handshaken && !client.broken;
	size_t n;

	switch ((enum step)(fuzz_u8(in) % STEPS)) {
	case STEP_RAW:
		send_raw(in);
		break;
	case STEP_HANDSHAKE:
		shake_hands(1);
		break;
	case STEP_WHOLE_HANDSHAKE:
		shake_hands(10);
		break;
	case STEP_REQUEST:
		n = fuzz_u8(in);
		if (open)
			send_requests(1 + (unsigned)(n >> 6),
			              64 + (n & 63) * 256);
		break;
	case STEP_CHANGE:
		alteration.at = fuzz_u16(in);
		alteration.change = fuzz_u8(in);
		break;
	case STEP_CUT:
		alteration.cut_at = fuzz_u16(in);
		break;
	case STEP_REPEAT:
		alteration.repeats = true;
		break;
	case STEP_WAIT:
		alteration.waits = true;
		break;
	case STEP_UPDATE_KEYS:
		n = fuzz_u8(in);
		if (open && version == GNUTLS_TLS1_3)
			update_keys(n & 1);
		break;
	case STEP_REHANDSHAKE:
		if (open && version == GNUTLS_TLS1_2)
			rehandshake();
		break;
	case STEP_ALERT:
		n = fuzz_u8(in);
		if (client.handshaken)
			send_alerts((unsigned)n, 1 + fuzz_u8(in) % 32);
		break;
	case STEP_BYE:
		if (open)
			send_close_notify();
		break;
	case STEP_READ:
	case STEPS:
		read_answers();
		break;
	}
	let_go();
}

static void
converse(struct fuzz_input *in, const struct http_server *server)
{
	size_t before;

	for (int i = 0; i < STEPS_MAX && in->at < in->end; i++) {
		take_step(in);
		loop_settle(&loop);
	}
	do {
		before = client.pulled;
		loop_settle(&loop);
		read_answers();
	} while (client.pulled > before);
	if (!client.altered && client.handshaken) {
		HOLDS(!client.broken);
		HOLDS(client.flight_bytes > 0 ||
		      client.answered == client.sent);
	}
	HOLDS(program.heads >= program.bodies &&
	      program.bodies >= program.answers);
	HOLDS(http_server_stats(server)->malformed == 0);
}

/* The client has closed, so the connection must end. */
static void
check_end(const struct http_server *server)
{
	char bytes[4096];
	ssize_t n;

	(void)shutdown(client.fd, SHUT_WR);
	do {
		loop_settle(&loop);
		n = recv(client.fd, bytes, sizeof bytes, MSG_DONTWAIT);
	} while (n > 0);
	HOLDS(n == 0 || errno == ECONNRESET);
	HOLDS(http_server_stats(server)->connections == 0);
}

static struct http_server *
open_server(struct budget *budget)
{
	const struct http_settings settings = {
	    .tls = tls,
	    .max_header_bytes = 4096,
	    .max_body_bytes = MIB,
	    .budget = budget,
	    .max_received_bytes = SIZE_MAX,
	    .max_connections = 4,
	    .address_share_percent = 100,
	    .idle_timeout_ms = HOUR_MS,
	    .header_timeout_ms = HOUR_MS,
	    .request_timeout_ms = HOUR_MS,
	};
	static const struct http_handler handler = {
	    .on_head = on_head,
	    .on_body = on_body,
	    .on_refuse = on_refuse,
	    .on_end = on_end,
	    .on_turn = tls_on_turn,
	    .arg = &program,
	    .data_bytes = 8,
	};
	struct http_server *server;

	*budget = (struct budget){.max_bytes = SIZE_MAX};
	HOLDS(http_server_open(&server, &loop, &settings, &handler) == 0);
	return server;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, small = 1, fd[2];
	unsigned kind = fuzz_u8(&in), flags = fuzz_u8(&in);
	struct http_server *server;
	struct budget budget;

	HOLDS(socketpair(AF_UNIX, type, 0, fd) == 0);
	if (flags & 1)
		HOLDS(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small,
		                 sizeof small) == 0);
	program = (struct program){.defers = flags & 2, .large = flags & 4};
	client.fd = fd[1];
	open_client(kind);
	server = open_server(&budget);
	HOLDS(http_server_adopt(server, fd[0]) == 0);
	converse(&in, server);
	if (flags & 8)
		http_server_quiesce(server);
	if (!(flags & 16))
		check_end(server);
	http_server_close(server);
	HOLDS(!program.waiting && budget.used_bytes == 0);
	loop_settle(&loop);
	HOLDS(!uv_loop_alive(&loop));
	gnutls_deinit(client.session);
	(void)close(client.fd); /* a socket: nothing to lose */
	return 0;
}
