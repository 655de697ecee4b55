/* service - see service.h. */
#include "ingestd/service.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#include <uv.h>

#include "ingestd/accept.h"
#include "ingestd/budget.h"
#include "ingestd/http.h"
#include "ingestd/metrics.h"
#include "ingestd/request.h"
#include "ingestd/upstream.h"
#include "libbase/fds.h"
#include "libbase/log.h"

#define STATS_MS 1000

/* Large, short-lived blocks go back to the system at once. */
#define MMAP_THRESHOLD (1 << 20)

/* Descriptors beside connections: log, loop, sockets, signals. */
#define OTHER_FDS 64

struct service {
	uv_loop_t loop;
	struct budget budget;
	struct counters counters;
	struct upstream upstream;
	struct accept accept;
	struct metrics metrics;
	struct http http;
	struct requests requests;
	struct tokens tokens;
	struct tls tls;
	const struct settings *settings;
	uv_signal_t term, interrupt, hangup;
	uv_timer_t stats;
	uv_timer_t drain;
	uint64_t drain_ms;
};

static void
on_ran(void *arg)
{
	struct service *s = arg;

	upstream_flush(&s->upstream);
	if (s->requests.stopping && s->requests.suspended == 0)
		uv_stop(&s->loop);
}

static void
on_stats(uv_timer_t *timer)
{
	struct service *s = timer->data;

	s->counters.connections = http_connections(&s->http);
	s->counters.connections_overdue = s->http.places.overdue;
	s->counters.connections_evicted = s->http.places.evicted;
	metrics_send_stats(&s->metrics);
}

static void
on_drained(uv_timer_t *timer)
{
	struct service *s = timer->data;

	log_warn(
	    "stopping with requests unanswered requests=%u drain_ms=%" PRIu64,
	    s->requests.suspended, s->drain_ms);
	uv_stop(&s->loop);
}

/* Take nothing new; answer what is under way; then stop. */
static void
on_signal(uv_signal_t *handle, int signum)
{
	struct service *s = handle->data;

	if (s->requests.stopping)
		return;
	log_info("stopping signal=%d pending_requests=%u", signum,
	         s->requests.suspended);
	s->requests.stopping = true;
	http_quiesce(&s->http);
	if (s->requests.suspended == 0)
		uv_stop(&s->loop);
	else
		(void)uv_timer_start(&s->drain, on_drained, s->drain_ms, 0);
}

/* A file that is bad leaves what was read before in force. */
static int
load_files(struct service *s)
{
	char tokens_error[TOKENS_ERROR_TEXT], tls_error[TLS_ERROR_TEXT];
	const struct settings *c = s->settings;
	int rc = 0, tls_rc = 0;

	if (c->tokens_file[0])
		rc = tokens_load(&s->tokens, c->tokens_file, tokens_error);
	if (rc < 0)
		log_error("cannot load the tokens err=%s",
		          log_quote(tokens_error));
	if (c->tls_certificate[0])
		tls_rc = tls_load(&s->tls, c->tls_certificate, c->tls_key,
		                  tls_error);
	if (tls_rc < 0)
		log_error("cannot load the certificate err=%s",
		          log_quote(tls_error));
	return rc < 0 ? rc : tls_rc;
}

static void
on_hangup(uv_signal_t *handle, int signum)
{
	struct service *s = handle->data;

	(void)signum;
	if (load_files(s) < 0)
		log_warn("reload incomplete: what was refused stays as it was");
	else
		log_info("reloaded tokens=%zu tls=%s", s->tokens.count,
		         s->tls.newest ? "yes" : "no");
}

/*
 * The most connections that there are descriptors for: room is made before
 * that limit is met, not after.  0 when there are too few for any.
 */
static unsigned
connections_of(const struct settings *settings)
{
	uint64_t want = (uint64_t)settings->max_connections + OTHER_FDS;
	uint64_t got = fds_want(want);

	if (got < want)
		log_warn("too few descriptors for max_connections: raise the "
		         "limit (ulimit -n, LimitNOFILE=) "
		         "limit=%" PRIu64 " need=%" PRIu64,
		         got, want);
	return got > OTHER_FDS ? (unsigned)(got - OTHER_FDS) : 0;
}

static void
open_handles(struct service *s)
{
	/* None of these can fail. */
	(void)uv_signal_init(&s->loop, &s->term);
	(void)uv_signal_init(&s->loop, &s->interrupt);
	(void)uv_signal_init(&s->loop, &s->hangup);
	(void)uv_timer_init(&s->loop, &s->stats);
	(void)uv_timer_init(&s->loop, &s->drain);
	s->term.data = s->interrupt.data = s->hangup.data = s;
	s->stats.data = s->drain.data = s;
}

static int
open_parts(struct service *s, const struct settings *settings,
           unsigned max_connections)
{
	const struct upstream_conf upstream_conf = {
	    .socket = settings->socket,
	    .max_event_bytes = (size_t)settings->max_event_bytes,
	    .append_timeout_ms = (uint64_t)settings->append_timeout_ms,
	    .on_done = request_on_done};
	const struct http_hooks http_hooks = {.on_request = requests_on_request,
	                                      .on_completed =
	                                          requests_on_completed,
	                                      .arg = &s->requests,
	                                      .on_ran = on_ran,
	                                      .ran_arg = s};
	int rc;

	s->requests.settings = settings;
	s->requests.http = &s->http;
	s->requests.upstream = &s->upstream;
	s->requests.accept = &s->accept;
	s->requests.metrics = &s->metrics;
	s->requests.budget = &s->budget;
	s->requests.counters = &s->counters;
	s->requests.admission =
	    (struct admission){.settings = settings,
	                       .tokens = &s->tokens,
	                       .unauthorized = &s->counters.unauthorized,
	                       .log = {.interval_ms = 60000, .burst = 10}};
	metrics_open(&s->metrics, &s->loop, settings->socket, &s->counters,
	             &s->budget, &s->upstream, &s->tokens);
	rc = load_files(s);
	if (rc == 0)
		rc = requests_open(&s->requests);
	if (rc == 0)
		rc = accept_open(&s->accept, settings, &s->upstream);
	if (rc == 0)
		rc = http_open(&s->http, &s->loop, settings, max_connections,
		               s->tls.newest ? &s->tls : NULL, &http_hooks);
	if (rc == 0)
		rc = upstream_open(&s->upstream, &s->loop, &upstream_conf,
		                   &s->budget);
	if (rc == 0)
		rc = uv_timer_start(&s->stats, on_stats, STATS_MS, STATS_MS);
	if (rc == 0)
		rc = uv_signal_start(&s->term, on_signal, SIGTERM);
	if (rc == 0)
		rc = uv_signal_start(&s->interrupt, on_signal, SIGINT);
	if (rc == 0)
		rc = uv_signal_start(&s->hangup, on_hangup, SIGHUP);
	return rc;
}

/*
 * In the order that leaves no request suspended when the HTTP server stops:
 * the upstream answers those that wait for durability, metrics the rest.
 */
static void
close_parts(struct service *s)
{
	upstream_close(&s->upstream);
	metrics_close(&s->metrics);
	http_close(&s->http);
	uv_close((uv_handle_t *)&s->term, NULL);
	uv_close((uv_handle_t *)&s->interrupt, NULL);
	uv_close((uv_handle_t *)&s->hangup, NULL);
	uv_close((uv_handle_t *)&s->stats, NULL);
	uv_close((uv_handle_t *)&s->drain, NULL);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT); /* until all are closed */
	upstream_fini(&s->upstream);
	metrics_fini(&s->metrics);
	accept_close(&s->accept);
	requests_close(&s->requests);
	tokens_free(&s->tokens);
	tls_free(&s->tls);
}

int
service_run(const struct settings *settings)
{
	static struct service s; /* large, and one of its kind */
	unsigned max_connections = connections_of(settings);
	int closed, rc;

	if (max_connections == 0)
		return -EMFILE;
	rc = uv_loop_init(&s.loop);
	if (rc < 0)
		return rc;
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	(void)signal(SIGPIPE, SIG_IGN);
	s.settings = settings;
	s.budget.max_bytes = (size_t)settings->max_pending_bytes;
	s.drain_ms = (uint64_t)settings->drain_ms;
	s.http.listen_fd = s.http.halfclose.epoll_fd = -1;
	open_handles(&s);
	rc = open_parts(&s, settings, max_connections);
	if (rc == 0) {
		log_info("ready address=%s port=%u tls=%s tokens=%zu",
		         s.http.address, s.http.port,
		         s.tls.newest ? "yes" : "no", s.tokens.count);
		(void)uv_run(&s.loop, UV_RUN_DEFAULT);
	}
	close_parts(&s);
	/* Every handle is closed by now; anything else is our bug. */
	closed = uv_loop_close(&s.loop);
	assert(closed == 0);
	return rc;
}
