/*
 * ingestd - receives events over HTTP; answers 202 once they are durable.
 *
 * This file has the parts on one event loop, the signals, and draining when
 * ingestd stops.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include <uv.h>

#include "ingestd/batchd_client.h"
#include "ingestd/ingest_body.h"
#include "ingestd/metrics.h"
#include "ingestd/request.h"
#include "ingestd/settings.h"
#include "libbase/budget.h"
#include "libbase/core_dump.h"
#include "libbase/error.h"
#include "libbase/fd_limit.h"
#include "libbase/log.h"
#include "libbase/restart_pause.h"
#include "libhttp/http.h"
#include "libhttp/http_conf.h"

#define STATS_MS 1000

/* free() returns larger blocks to the system at once. */
#define MMAP_THRESHOLD (1 << 20)

/* Descriptors besides connections: log, loop, sockets, signals. */
#define OTHER_FDS 64

struct daemon {
	uv_loop_t loop;
	struct budget budget;
	struct counters counters;
	struct batchd_client batchd_client;
	struct ingest_body ingest_body;
	struct metrics metrics;
	struct http_server *http;
	struct requests requests;
	struct tokens tokens;
	struct http_tls *tls; /* NULL: plain HTTP */
	const struct ingestd_settings *settings;
	uv_signal_t term, interrupt, hangup;
	uv_timer_t stats;
	uv_timer_t drain; /* this and `drained` run while stopping */
	uv_check_t drained;
	uint64_t drain_ms;
};

static void
on_stats(uv_timer_t *timer)
{
	struct daemon *d = timer->data;
	const struct http_stats *http = http_server_stats(d->http);

	d->counters.connections = http->connections;
	d->counters.connections_overdue = http->overdue;
	d->counters.connections_evicted = http->evicted;
	d->counters.malformed = http->malformed;
	metrics_report(&d->metrics);
}

static void
on_drain_timeout(uv_timer_t *timer)
{
	struct daemon *d = timer->data;

	log_warn(
	    "drain timed out; closing unanswered requests requests=%" PRIu64
	    " drain_ms=%" PRIu64,
	    http_server_stats(d->http)->pending, d->drain_ms);
	uv_stop(&d->loop);
}

/* Called in each turn of the loop while stopping. */
static void
on_drained(uv_check_t *check)
{
	struct daemon *d = check->data;

	if (http_server_stats(d->http)->pending == 0)
		uv_stop(&d->loop);
}

/*
 * Refuse new requests, answer those that are pending, then stop.  A second
 * signal changes nothing.
 */
static void
daemon_on_signal(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	if (d->requests.stopping)
		return;
	log_info("stopping signal=%d pending_requests=%" PRIu64, signum,
	         http_server_stats(d->http)->pending);
	d->requests.stopping = true;
	http_server_quiesce(d->http);
	(void)uv_timer_start(&d->drain, on_drain_timeout, d->drain_ms, 0);
	(void)uv_check_start(&d->drained, on_drained);
}

static int
load_files(struct daemon *d)
{
	const struct ingestd_settings *s = d->settings;

	return http_conf_load(d->tls, s->tls_certificate, s->tls_key,
	                      &d->tokens, s->tokens_file);
}

static void
on_hangup(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	(void)signum;
	if (load_files(d) < 0)
		log_warn(
		    "reload failed; the previous tokens or certificate stay "
		    "in use");
	else
		log_info("reloaded the tokens and the certificate, but not "
		         "leat.conf tokens=%zu tls=%s",
		         d->tokens.count, d->tls ? "yes" : "no");
}

/*
 * Return the number of connections for which there are descriptors, at most
 * max_connections; 0 if there are too few for any.  With this limit the server
 * closes old connections before accept would fail for lack of a descriptor.
 */
static unsigned
connections_of(const struct ingestd_settings *settings)
{
	uint64_t want = (uint64_t)settings->max_connections + OTHER_FDS;
	uint64_t got = fd_limit_raise(want);

	if (got < want)
		log_warn("too few descriptors for max_connections: raise the "
		         "limit (ulimit -n, LimitNOFILE=) "
		         "limit=%" PRIu64 " need=%" PRIu64,
		         got, want);
	return got > OTHER_FDS ? (unsigned)(got - OTHER_FDS) : 0;
}

static void
daemon_open_handles(struct daemon *d)
{
	/* None of these can fail. */
	(void)uv_signal_init(&d->loop, &d->term);
	(void)uv_signal_init(&d->loop, &d->interrupt);
	(void)uv_signal_init(&d->loop, &d->hangup);
	(void)uv_timer_init(&d->loop, &d->stats);
	(void)uv_timer_init(&d->loop, &d->drain);
	(void)uv_check_init(&d->loop, &d->drained);
	d->term.data = d->interrupt.data = d->hangup.data = d;
	d->stats.data = d->drain.data = d->drained.data = d;
}

static int
open_http(struct daemon *d, const struct ingestd_settings *settings,
          unsigned max_connections)
{
	const struct http_handler handler = requests_handler(&d->requests);
	const struct http_settings http = {
	    .listen = settings->listen,
	    .port = (unsigned)settings->port,
	    .shares_port = true,
	    .tls = d->tls,
	    .max_header_bytes = (size_t)settings->max_header_bytes,
	    .max_body_bytes = (size_t)settings->max_body_bytes,
	    .budget = &d->budget,
	    .max_received_bytes = ingestd_settings_max_received_bytes(settings),
	    .max_connections = max_connections,
	    .address_share_percent = (unsigned)settings->address_share_percent,
	    .idle_timeout_ms = (uint64_t)settings->idle_timeout_ms,
	    .header_timeout_ms = (uint64_t)settings->header_timeout_ms,
	    .request_timeout_ms = (uint64_t)settings->request_timeout_ms,
	};

	return http_server_open(&d->http, &d->loop, &http, &handler);
}

static int
open_parts(struct daemon *d, const struct ingestd_settings *settings,
           unsigned max_connections)
{
	const struct batchd_client_conf batchd_client_conf = {
	    .socket = settings->socket,
	    .max_event_bytes = (size_t)settings->max_event_bytes,
	    .append_timeout_ms = (uint64_t)settings->append_timeout_ms,
	    .on_done = request_on_done};
	int rc;

	d->requests.settings = settings;
	d->requests.batchd_client = &d->batchd_client;
	d->requests.ingest_body = &d->ingest_body;
	d->requests.metrics = &d->metrics;
	d->requests.counters = &d->counters;
	d->requests.tokens = &d->tokens;
	requests_open(&d->requests);
	d->metrics = (struct metrics){.counters = &d->counters,
	                              .budget = &d->budget,
	                              .tokens = &d->tokens,
	                              .batchd_client = &d->batchd_client};
	if (settings->tls_certificate[0] && !(d->tls = http_tls_new()))
		return -ENOMEM;
	rc = load_files(d);
	if (rc == 0)
		rc = ingest_body_open(&d->ingest_body, settings,
		                      &d->batchd_client);
	if (rc == 0)
		rc = open_http(d, settings, max_connections);
	if (rc == 0)
		rc = batchd_client_open(&d->batchd_client, &d->loop,
		                        &batchd_client_conf, &d->budget);
	if (rc == 0)
		rc = uv_timer_start(&d->stats, on_stats, STATS_MS, STATS_MS);
	if (rc == 0)
		rc = uv_signal_start(&d->term, daemon_on_signal, SIGTERM);
	if (rc == 0)
		rc = uv_signal_start(&d->interrupt, daemon_on_signal, SIGINT);
	if (rc == 0)
		rc = uv_signal_start(&d->hangup, on_hangup, SIGHUP);
	return rc;
}

/*
 * Close the parts.  batchd_client comes before the HTTP server because it
 * answers the requests that are still pending.
 */
static void
close_parts(struct daemon *d)
{
	if (d->http)
		on_stats(&d->stats); /* the last second */
	batchd_client_close(&d->batchd_client);
	if (d->http)
		http_server_close(d->http);
	uv_close((uv_handle_t *)&d->term, NULL);
	uv_close((uv_handle_t *)&d->interrupt, NULL);
	uv_close((uv_handle_t *)&d->hangup, NULL);
	uv_close((uv_handle_t *)&d->stats, NULL);
	uv_close((uv_handle_t *)&d->drain, NULL);
	uv_close((uv_handle_t *)&d->drained, NULL);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT); /* until all are closed */
	batchd_client_fini(&d->batchd_client);
	ingest_body_close(&d->ingest_body);
	requests_close(&d->requests);
	tokens_free(&d->tokens);
	http_tls_free(d->tls);
}

/*
 * Serve until SIGTERM or SIGINT, then drain.  Returns 0, or a negative error
 * if ingestd could not start, after logging the reason.
 */
static int
daemon_run(const struct ingestd_settings *settings)
{
	static struct daemon d; /* too large for the stack */
	unsigned max_connections = connections_of(settings);
	int closed, rc;

	if (max_connections == 0)
		return -EMFILE;
	rc = uv_loop_init(&d.loop);
	if (rc < 0)
		return rc;
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	(void)signal(SIGPIPE, SIG_IGN);
	d.settings = settings;
	d.budget.max_bytes = (size_t)settings->max_pending_bytes;
	d.drain_ms = (uint64_t)settings->drain_ms;
	daemon_open_handles(&d);
	rc = open_parts(&d, settings, max_connections);
	if (rc == 0) {
		log_info("ready address=%s port=%u tls=%s tokens=%zu",
		         http_server_address(d.http), http_server_port(d.http),
		         d.tls ? "yes" : "no", d.tokens.count);
		(void)uv_run(&d.loop, UV_RUN_DEFAULT);
	}
	close_parts(&d);
	/* Fails only if a handle was not closed, which would be our bug. */
	closed = uv_loop_close(&d.loop);
	assert(closed == 0);
	return rc;
}

int
main(int argc, char **argv)
{
	struct ingestd_settings settings;
	struct conf_table tables[INGESTD_SETTINGS_TABLES];
	struct conf_program program;
	int rc;

	log_init("ingestd");
	core_dump_disable();
	ingestd_settings_init(&settings, tables, &program);
	rc = conf_start(&program, argc, argv);
	if (rc != CONF_RUN) {
		conf_free(tables, INGESTD_SETTINGS_TABLES);
		return rc;
	}
	rc = daemon_run(&settings);
	conf_free(tables, INGESTD_SETTINGS_TABLES);
	if (rc < 0)
		log_error("stopped err=%s", log_quote(error_text(rc)));
	else
		log_info("stopped");
	return restart_pause(rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
