/* http - see http.h. */
#include "ingestd/http.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

/* Memory of a connection beyond the headers: a body is read through it. */
#define READ_BYTES (16 * KIB)

/*
 * Timeouts of connections are looked at this often at least.  Setting the
 * timer to the very next one would mean touching it on every request.
 */
#define TIMER_MAX_MS 1000

/* One connection, from accept to close. */
struct http_peer {
	struct place place;
	struct halfclose_peer *end; /* NULL when it is not watched */
	struct tls_generation *tls; /* NULL: plain */
};

static int
listen_at(const struct addrinfo *ai, int *fd)
{
	int on = 1, off = 0, s, rc = 0;

	s = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	           0);
	if (s < 0)
		return -errno;
	/* Several ingestd share a port; the kernel deals connections out. */
	if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ||
	    (ai->ai_family == AF_INET6 &&
	     setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) ||
	    bind(s, ai->ai_addr, ai->ai_addrlen) < 0 || listen(s, BACKLOG) < 0)
		rc = -errno;
	if (rc < 0)
		(void)close(s);
	else
		*fd = s;
	return rc;
}

/* What the socket is bound to, for the log. */
static int
name_of(int fd, char *address, size_t size, unsigned *port)
{
	struct sockaddr_storage at;
	socklen_t n = sizeof at;
	char service[16];

	if (getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&at, n, address, (socklen_t)size,
	                service, sizeof service,
	                NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	*port = (unsigned)strtoul(service, NULL, 10);
	return 0;
}

static int
bind_listener(struct http *h, const struct settings *s)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	                         .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
	struct addrinfo *ai;
	char service[16];
	int rc;

	(void)snprintf(service, sizeof service, "%d", (int)s->port);
	rc = getaddrinfo(s->listen, service, &hints, &ai);
	if (rc != 0) {
		log_error("listen is no address listen=%s err=%s",
		          log_quote(s->listen), log_quote(gai_strerror(rc)));
		return -EINVAL;
	}
	rc = listen_at(ai, &h->listen_fd);
	if (rc == 0)
		rc = name_of(h->listen_fd, h->address, sizeof h->address,
		             &h->port);
	freeaddrinfo(ai);
	if (rc < 0)
		log_error("cannot listen address=%s port=%s err=%s",
		          log_quote(s->listen), service,
		          log_quote(strerror(-rc)));
	return rc;
}

static void __attribute__((format(printf, 2, 0)))
on_mhd_log(void *arg, const char *fmt, va_list ap)
{
	struct http *h = arg;
	char text[300];
	unsigned held;

	/* Mostly what clients do: cut connections, malformed requests. */
	if (!log_allow(&h->log, &held))
		return;
	(void)vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_warn("http what=%s held=%u", log_quote(text), held);
}

static void
on_completed(void *arg, struct MHD_Connection *c, void **request,
             enum MHD_RequestTerminationCode why)
{
	struct http *h = arg;

	(void)why;
	http_phase(h, c, PLACE_IDLE);
	if (*request)
		h->hooks.on_completed(h->hooks.arg, *request);
	*request = NULL;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url,
           const char *method, const char *version, const char *upload,
           size_t *upload_bytes, void **request)
{
	struct http *h = arg;

	return h->hooks.on_request(h->hooks.arg, c, url, method, version,
	                           upload, upload_bytes, request);
}

static void
peer_begin(struct http *h, struct MHD_Connection *c, int fd, void **context)
{
	struct http_peer *p = calloc(1, sizeof *p);
	const union MHD_ConnectionInfo *info;

	*context = p;
	if (!p) {
		/* Nobody would see to its end: it ends here. */
		(void)shutdown(fd, SHUT_RDWR);
		return;
	}
	places_add(&h->places, &p->place, fd);
	p->end = halfclose_add(&h->halfclose, fd);
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (h->tls && info && info->tls_session)
		p->tls = tls_begin(h->tls, info->tls_session);
}

static void
peer_end(struct http *h, struct http_peer *p)
{
	if (!p)
		return;
	halfclose_remove(&h->halfclose, p->end);
	/* At its limit libmicrohttpd stops to listen until it runs again. */
	if (h->places.count >= h->places.max)
		h->due = true;
	places_remove(&h->places, &p->place);
	if (p->tls)
		tls_end(h->tls, p->tls);
	free(p);
}

static void
on_connection(void *arg, struct MHD_Connection *c, void **context,
              enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		peer_end(h, *context);
		*context = NULL;
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		peer_begin(h, c, info->connect_fd, context);
}

static int
start_daemon(struct http *h, const struct settings *s, unsigned max_connections)
{
	unsigned seconds = (unsigned)((s->idle_timeout_ms + 999) / 1000);
	unsigned flags =
	    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	static char priorities[] = TLS_PRIORITIES; /* not written to */
	struct MHD_OptionItem tls[] = {
	    {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)tls_retrieve},
	    {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
	    {MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};

	h->daemon = MHD_start_daemon(
	    h->tls ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_request, h,
	    MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, h,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
	    MHD_OPTION_LISTEN_SOCKET, h->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
	    max_connections, MHD_OPTION_CONNECTION_TIMEOUT, seconds,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)s->max_header_bytes + READ_BYTES, MHD_OPTION_ARRAY,
	    h->tls ? tls : plain, MHD_OPTION_END);
	if (h->daemon)
		return 0;
	log_error("cannot start the HTTP server");
	return -EIO;
}

static void
on_timer(uv_timer_t *timer)
{
	struct http *h = timer->data;

	h->due = true;
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct http *h = poll->data;

	(void)status; /* the set itself has no errors */
	(void)events;
	h->due = true;
}

/* Last in each turn, before the loop waits. */
static void
on_prepare(uv_prepare_t *prepare)
{
	struct http *h = prepare->data;
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (!h->due)
		return;
	h->due = false;
	places_sweep(&h->places);
	(void)MHD_run(h->daemon);
	h->hooks.on_ran(h->hooks.ran_arg);
	if (halfclose_wake(&h->halfclose))
		h->due = true;

	if (MHD_get_timeout(h->daemon, &wait_ms) != MHD_YES)
		wait_ms = TIMER_MAX_MS;
	/* Due again: somebody was answered while it ran. */
	if (wait_ms == 0 || h->due)
		(void)uv_timer_start(&h->timer, on_timer, 0, 0);
	else if (!uv_is_active((uv_handle_t *)&h->timer))
		(void)uv_timer_start(
		    &h->timer, on_timer,
		    wait_ms < TIMER_MAX_MS ? wait_ms : TIMER_MAX_MS, 0);
}

int
http_open(struct http *h, uv_loop_t *loop, const struct settings *settings,
          unsigned max_connections, struct tls *tls,
          const struct http_hooks *hooks)
{
	const union MHD_DaemonInfo *info;
	int rc;

	*h = (struct http){.hooks = *hooks,
	                   .halfclose = {.epoll_fd = -1},
	                   .loop = loop,
	                   .listen_fd = -1,
	                   .tls = tls,
	                   .log = {.interval_ms = 60000, .burst = 10}};
	places_init(&h->places, loop, max_connections,
	            (uint64_t)settings->idle_timeout_ms,
	            (uint64_t)settings->request_timeout_ms);
	rc = bind_listener(h, settings);
	if (rc == 0)
		rc = halfclose_open(&h->halfclose, loop, &h->due);
	if (rc == 0)
		rc = start_daemon(h, settings, max_connections);
	if (rc < 0)
		return rc;
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EIO;
	rc = uv_poll_init(loop, &h->poll, info->epoll_fd);
	if (rc < 0)
		return rc;
	(void)uv_timer_init(loop, &h->timer); /* cannot fail, as the next */
	(void)uv_prepare_init(loop, &h->prepare);
	h->poll.data = h->timer.data = h->prepare.data = h;
	h->opened = true;
	h->due = true; /* the first run puts the listener into the set */
	rc = uv_poll_start(&h->poll, UV_READABLE, on_poll);
	if (rc == 0)
		rc = uv_prepare_start(&h->prepare, on_prepare);
	return rc;
}

void
http_resume(struct http *h, struct MHD_Connection *c)
{
	MHD_resume_connection(c);
	h->due = true;
}

void
http_phase(struct http *h, struct MHD_Connection *c, enum place_phase phase)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_peer *p = info ? info->socket_context : NULL;

	if (p)
		places_move(&h->places, &p->place, phase);
}

uint64_t
http_connections(const struct http *h)
{
	const union MHD_DaemonInfo *info;

	if (!h->daemon)
		return 0;
	info =
	    MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	return info ? info->num_connections : 0;
}

void
http_quiesce(struct http *h)
{
	if (h->listen_fd < 0)
		return;
	if (h->daemon)
		(void)MHD_quiesce_daemon(h->daemon); /* gives it back */
	(void)close(h->listen_fd);
	h->listen_fd = -1;
}

void
http_close(struct http *h)
{
	if (h->opened) {
		h->opened = false;
		uv_close((uv_handle_t *)&h->poll, NULL);
		uv_close((uv_handle_t *)&h->timer, NULL);
		uv_close((uv_handle_t *)&h->prepare, NULL);
	}
	http_quiesce(h);
	if (h->daemon) {
		(void)MHD_run(h->daemon);
		MHD_stop_daemon(h->daemon);
		h->daemon = NULL;
	}
	halfclose_close(&h->halfclose);
}
