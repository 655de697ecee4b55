/* server - see http.h and server_state.h. */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbase/fd_limit.h"
#include "libhttp/conn.h"

#define BACKLOG 4096

/* Connections that are accepted in one turn of the loop. */
#define ACCEPTS_PER_TURN 64

/*
 * Deadlines are checked at an interval of an eighth of the shortest time limit,
 * but within these bounds.
 */
#define TICK_MIN_MS 10
#define TICK_MAX_MS 250

static void on_listener(uv_poll_t *poll, int status, int events);

/* Listening. */

/* Connections inherit the options of the listener that accepts them. */
static int
set_options(const struct http_settings *settings, int family, int fd)
{
	int on = 1, off = 0, bytes = settings->send_buffer_bytes;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (settings->shares_port &&
	     setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
	    (bytes > 0 &&
	     setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) < 0) ||
	    (family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0))
		return -errno;
	return 0;
}

static int
listen_at(const struct http_settings *settings, const struct addrinfo *ai,
          int *fd)
{
	int s, rc;

	s = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	           0);
	if (s < 0)
		return -errno;
	rc = set_options(settings, ai->ai_family, s);
	if (rc == 0 && (bind(s, ai->ai_addr, ai->ai_addrlen) < 0 ||
	                listen(s, BACKLOG) < 0))
		rc = -errno;
	if (rc < 0)
		(void)close(s);
	else
		*fd = s;
	return rc;
}

/* Find out what the socket is bound to. */
static int
http_server_find_address(struct http_server *s)
{
	struct sockaddr_storage at;
	socklen_t n = sizeof at;
	char service[16];

	if (getsockname(s->listen_fd, (struct sockaddr *)&at, &n) < 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&at, n, s->address,
	                sizeof s->address, service, sizeof service,
	                NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	s->port = (unsigned)strtoul(service, NULL, 10);
	return 0;
}

static int
bind_listener(struct http_server *s)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	                         .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
	const char *listen = s->settings.listen;
	struct addrinfo *ai;
	char service[16];
	int rc;

	(void)snprintf(service, sizeof service, "%u", s->settings.port);
	rc = getaddrinfo(listen, service, &hints, &ai);
	if (rc != 0) {
		log_error("invalid listen address listen=%s err=%s",
		          log_quote(listen), log_quote(gai_strerror(rc)));
		return -EINVAL;
	}
	rc = listen_at(&s->settings, ai, &s->listen_fd);
	if (rc == 0)
		rc = http_server_find_address(s);
	freeaddrinfo(ai);
	if (rc < 0)
		log_error("cannot listen address=%s port=%s err=%s",
		          log_quote(listen), service, log_quote(strerror(-rc)));
	return rc;
}

/* Accepting. */

static void
watch_listener(struct http_server *s, bool on)
{
	if (s->accepting == on || s->listen_fd < 0)
		return;
	s->accepting = on;
	/* Neither can fail for a handle that is not closing. */
	if (on)
		(void)uv_poll_start(&s->listener, UV_READABLE, on_listener);
	else
		(void)uv_poll_stop(&s->listener);
}

void
http_server_on_room(struct http_server *s)
{
	if (s->closing || s->stopping || s->accepting)
		return;
	if (!conn_limits_full(&s->limits) || conn_limits_victim(&s->limits))
		watch_listener(s, true);
}

static void on_deadlines(uv_timer_t *timer);

static void
start_ticking(struct http_server *s)
{
	if (!uv_is_active((uv_handle_t *)&s->deadlines))
		(void)uv_timer_start(&s->deadlines, on_deadlines, s->tick_ms,
		                     s->tick_ms);
}

static int
open_connection(struct http_server *s, int fd, const struct sockaddr *from)
{
	struct conn_slot *victim = conn_limits_victim(&s->limits);
	unsigned suppressed;
	int rc;

	if (victim)
		conn_evict(CONTAINER_OF(victim, struct conn, slot));
	rc = conn_open(s, fd, from);
	if (rc == 0)
		start_ticking(s);
	else if (log_allow(&s->log, &suppressed))
		log_error("cannot serve a connection err=%s suppressed=%u",
		          log_quote(strerror(-rc)), suppressed);
	return rc;
}

/* If accept(2) cannot work, stop it until a connection ends or for one tick. */
static void
on_accept_error(struct http_server *s, int err)
{
	unsigned suppressed;

	if (!fd_limit_stops_accept(err))
		return;
	if (log_allow(&s->log, &suppressed))
		log_warn("accept failed err=%s suppressed=%u; raise the limit "
		         "of open files if it is reached",
		         log_quote(strerror(err)), suppressed);
	watch_listener(s, false);
	start_ticking(s);
}

static void
on_listener(uv_poll_t *poll, int status, int events)
{
	struct http_server *s = poll->data;

	(void)status; /* accept4 returns the error */
	(void)events;
	s->limits.now_ms = uv_now(s->loop);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage from;
		socklen_t n = sizeof from;
		int fd;

		if (conn_limits_full(&s->limits) &&
		    !conn_limits_victim(&s->limits)) {
			/*
			 * The requests of all connections are being
			 * processed.  The kernel queues the new ones.
			 */
			watch_listener(s, false);
			return;
		}
		fd = accept4(s->listen_fd, (struct sockaddr *)&from, &n,
		             SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			on_accept_error(s, errno);
			return;
		}
		(void)open_connection(s, fd, (struct sockaddr *)&from);
	}
}

int
http_server_adopt(struct http_server *s, int fd)
{
	struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
	socklen_t n = sizeof from;

	/* Sockets without a peer address count as of one address. */
	(void)getpeername(fd, (struct sockaddr *)&from, &n);
	s->limits.now_ms = uv_now(s->loop);
	return open_connection(s, fd, (struct sockaddr *)&from);
}

/* Time. */

static void
on_deadlines(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	struct conn_slot *slot;

	s->limits.now_ms = uv_now(s->loop);
	while ((slot = conn_limits_overdue(&s->limits)))
		conn_expire(CONTAINER_OF(slot, struct conn, slot));
	http_server_on_room(s); /* accept may succeed now */
	if (s->limits.count == 0 && (s->accepting || s->listen_fd < 0))
		(void)uv_timer_stop(timer);
}

static void
on_again(uv_idle_t *idle)
{
	(void)idle; /* while it is active, the loop does not wait */
}

void
http_server_on_ready(struct http_server *s)
{
	(void)uv_idle_start(&s->again, on_again); /* cannot fail */
}

/*
 * All events of this turn of the loop are handled: resume the connections that
 * are ready, and let the program send what it has gathered.
 */
static void
http_server_on_turn(uv_check_t *check)
{
	struct http_server *s = check->data;
	struct list_link now = {&now, &now};

	s->limits.now_ms = uv_now(s->loop);
	/* What becomes ready meanwhile is for the next turn. */
	while (!list_is_empty(&s->ready)) {
		struct list_link *l = s->ready.next;

		list_remove(l);
		list_append(&now, l);
	}
	while (!list_is_empty(&now)) {
		struct list_link *l = now.next;

		list_remove(l);
		conn_resume(CONTAINER_OF(l, struct conn, ready));
	}
	s->turn_requests = 0;
	if (s->handler.on_turn)
		s->handler.on_turn(s->handler.arg);
	if (list_is_empty(&s->ready))
		(void)uv_idle_stop(&s->again);
}

/* Opening and closing. */

static void
set_timeouts(struct http_server *s)
{
	const struct http_settings *c = &s->settings;
	uint64_t *t = s->limits.timeout_ms, shortest = CONN_LINGER_MS;

	t[CONN_HANDSHAKE] = t[CONN_HEAD] = c->header_timeout_ms;
	t[CONN_IDLE] = c->idle_timeout_ms;
	t[CONN_BODY] = t[CONN_DISCARD] = c->request_timeout_ms;
	t[CONN_SENDING] = t[CONN_STREAM_BLOCKED] = c->request_timeout_ms;
	t[CONN_LINGER] = CONN_LINGER_MS;
	for (size_t i = 0; i < CONN_STATES_MAX; i++) {
		if (t[i] > 0 && t[i] < shortest)
			shortest = t[i];
	}
	s->tick_ms = shortest / 8;
	if (s->tick_ms > TICK_MAX_MS)
		s->tick_ms = TICK_MAX_MS;
	if (s->tick_ms < TICK_MIN_MS)
		s->tick_ms = TICK_MIN_MS;
}

static int
http_server_open_handles(struct http_server *s)
{
	int rc = 0;

	/* Only uv_poll_init can fail. */
	if (s->listen_fd >= 0)
		rc = uv_poll_init(s->loop, &s->listener, s->listen_fd);
	if (rc < 0)
		return rc;
	(void)uv_timer_init(s->loop, &s->deadlines);
	(void)uv_check_init(s->loop, &s->turn);
	(void)uv_idle_init(s->loop, &s->again);
	s->handles = 3;
	s->deadlines.data = s->turn.data = s->again.data = s;
	(void)uv_check_start(&s->turn, http_server_on_turn);
	if (s->listen_fd >= 0) {
		s->handles++;
		s->listener.data = s;
		watch_listener(s, true);
	}
	return 0;
}

static void
free_server(struct http_server *s)
{
	conn_limits_fini(&s->limits);
	buf_fini(&s->scratch);
	free(s->recv);
	free(s);
}

int
http_server_open(struct http_server **server, struct uv_loop_s *loop,
                 const struct http_settings *settings,
                 const struct http_handler *handler)
{
	struct http_server *s = calloc(1, sizeof *s);
	int rc;

	*server = NULL;
	if (!s)
		return -ENOMEM;
	s->settings = *settings;
	s->handler = *handler;
	s->loop = loop;
	s->listen_fd = -1;
	s->log = (struct log_limit){.interval_ms = 60000, .burst = 10};
	list_init(&s->ready);
	buf_init(&s->scratch, MIB);
	rc = conn_limits_init(&s->limits, settings->max_connections,
	                      settings->address_share_percent);
	set_timeouts(s);
	s->recv = malloc(CONN_RECV_BYTES + HTTP_BODY_PADDING);
	if (rc == 0 && !s->recv)
		rc = -ENOMEM;
	if (rc == 0 && settings->listen)
		rc = bind_listener(s);
	if (rc == 0)
		rc = http_server_open_handles(s);
	if (rc < 0) {
		if (s->listen_fd >= 0)
			(void)close(s->listen_fd);
		free_server(s);
		return rc;
	}
	*server = s;
	return 0;
}

void
http_server_on_handle_closed(struct http_server *s)
{
	assert(s->handles > 0);
	if (--s->handles == 0)
		free_server(s);
}

static void
on_closed(uv_handle_t *handle)
{
	http_server_on_handle_closed(handle->data);
}

static void
stop_listening(struct http_server *s)
{
	if (s->listen_fd < 0)
		return;
	uv_close((uv_handle_t *)&s->listener, on_closed);
	(void)close(s->listen_fd); /* a socket: nothing to lose */
	s->listen_fd = -1;
}

void
http_server_quiesce(struct http_server *s)
{
	struct conn_slot *slot;

	s->stopping = true;
	stop_listening(s);
	while ((slot = conn_limits_oldest(&s->limits, CONN_IDLE)))
		conn_close(CONTAINER_OF(slot, struct conn, slot));
}

void
http_server_close(struct http_server *s)
{
	struct conn_slot *slot;

	s->closing = true;
	for (unsigned state = 0; state < CONN_CLOSED; state++) {
		while ((slot = conn_limits_oldest(&s->limits, state)))
			conn_close(CONTAINER_OF(slot, struct conn, slot));
	}
	stop_listening(s);
	uv_close((uv_handle_t *)&s->deadlines, on_closed);
	uv_close((uv_handle_t *)&s->turn, on_closed);
	uv_close((uv_handle_t *)&s->again, on_closed);
}

const struct http_stats *
http_server_stats(const struct http_server *s)
{
	return &s->stats;
}

const char *
http_server_address(const struct http_server *s)
{
	return s->address;
}

unsigned
http_server_port(const struct http_server *s)
{
	return s->port;
}
