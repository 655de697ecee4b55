/*
 * sinkd-dashboard - serves the live page: the events and the pipeline as they
 * are now.
 *
 * This file has the parts on one event loop, the clock of the ticks, and the
 * signals.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <uv.h>

#include "libbase/budget.h"
#include "libbase/clock.h"
#include "libbase/core_dump.h"
#include "libbase/error.h"
#include "libbase/fd_limit.h"
#include "libbase/log.h"
#include "libbase/restart_pause.h"
#include "libhttp/http.h"
#include "sinkd-dashboard/access.h"
#include "sinkd-dashboard/batchd_link.h"
#include "sinkd-dashboard/event_fetch.h"
#include "sinkd-dashboard/model.h"
#include "sinkd-dashboard/request.h"
#include "sinkd-dashboard/settings.h"
#include "sinkd-dashboard/viewers.h"

/*
 * A lower priority than that of the other daemons, so that what many viewers
 * cost delays no event on a busy machine.
 */
#define NICE 10

/* Time for the end of the streams to reach the viewers when stopping. */
#define DRAIN_MS 300

/* Connections besides those of viewers: other files, and scripts. */
#define OTHER_CONNECTIONS 128
#define OTHER_FDS 64

/* Two seconds of messages; the kernel doubles it. */
#define SEND_BUFFER_BYTES (64 * 1024)
#define MAX_HEADER_BYTES (8 * KIB)
#define MAX_BODY_BYTES (4 * KIB)
#define MAX_RECEIVED_BYTES (8 * MIB)
#define ADDRESS_SHARE_PERCENT 75 /* many viewers may come through a proxy */
#define IDLE_TIMEOUT_MS 75000
#define HEADER_TIMEOUT_MS 10000
#define REQUEST_TIMEOUT_MS 30000 /* also for a viewer that takes nothing */

struct daemon {
	uv_loop_t loop;
	const struct dashboard_settings *settings;
	struct budget budget;
	struct model model;
	struct access access;
	struct viewers viewers;
	struct event_fetches fetches;
	struct requests requests;
	struct batchd_link link;
	struct http_server *http;
	struct http_tls *tls; /* NULL: plain HTTP */
	uv_timer_t second, drain;
	uv_signal_t term, interrupt, hangup;
	bool asked; /* a status, for the second that has just ended */
};

/* --- ticks --- */

/*
 * A second ends at a whole second of the monotonic clock.  Then the status is
 * asked for, and when it comes, or if it has not come within the next second,
 * there is a tick for the second that ended.
 */
static void
daemon_tick(struct daemon *d)
{
	const struct verdict_batchd batchd = batchd_link_state(&d->link);

	d->asked = false;
	model_tick(&d->model, clock_mono_ms() / 1000 - 1, clock_wall_us(),
	           &batchd);
	viewers_on_tick(&d->viewers);
}

static void on_second(uv_timer_t *timer);

static void
start_second(struct daemon *d)
{
	(void)uv_timer_start(&d->second, on_second,
	                     1000 - clock_mono_ms() % 1000 + 1, 0);
}

static void
on_second(uv_timer_t *timer)
{
	struct daemon *d = timer->data;

	if (d->asked)
		daemon_tick(d);
	start_second(d);
	d->asked = true;
	if (d->link.tail.state == TAIL_OPEN)
		batchd_link_ask(&d->link);
	else
		daemon_tick(d);
}

/* A status came, or the connection to batchd was lost. */
static void
on_change(void *arg)
{
	struct daemon *d = arg;

	if (d->asked || d->model.ticks == 0)
		daemon_tick(d);
}

/* --- signals --- */

static void
on_drained(uv_timer_t *timer)
{
	struct daemon *d = timer->data;

	uv_stop(&d->loop);
}

static void
on_stop(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	if (d->viewers.stopping)
		return;
	log_info("stopping signal=%d viewers=%zu", signum, d->viewers.count);
	d->viewers.stopping = true;
	http_server_quiesce(d->http);
	viewers_wake(&d->viewers);
	(void)uv_timer_start(&d->drain, on_drained, DRAIN_MS, 0);
}

static void
on_hangup(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	(void)signum;
	if (access_load(&d->access, d->tls) < 0)
		log_warn("reload failed; the previous tokens or certificate "
		         "stay in use");
	else
		log_info("reloaded tokens=%zu tls=%s; all sessions ended",
		         d->access.tokens.count, d->tls ? "yes" : "no");
	viewers_wake(&d->viewers); /* the streams of sessions end */
}

/* --- the parts --- */

static void
open_handles(struct daemon *d)
{
	/* None of these can fail. */
	(void)uv_timer_init(&d->loop, &d->second);
	(void)uv_timer_init(&d->loop, &d->drain);
	(void)uv_signal_init(&d->loop, &d->term);
	(void)uv_signal_init(&d->loop, &d->interrupt);
	(void)uv_signal_init(&d->loop, &d->hangup);
	d->second.data = d->drain.data = d;
	d->term.data = d->interrupt.data = d->hangup.data = d;
}

static int
open_http(struct daemon *d)
{
	const struct dashboard_settings *s = d->settings;
	const struct http_handler handler = requests_handler(&d->requests);
	unsigned connections = 2 * (unsigned)s->max_viewers + OTHER_CONNECTIONS;
	const struct http_settings http = {
	    .listen = s->listen,
	    .port = (unsigned)s->port,
	    .send_buffer_bytes = SEND_BUFFER_BYTES,
	    .tls = d->tls,
	    .max_header_bytes = MAX_HEADER_BYTES,
	    .max_body_bytes = MAX_BODY_BYTES,
	    .budget = &d->budget,
	    .max_received_bytes = MAX_RECEIVED_BYTES,
	    .max_connections = connections,
	    .address_share_percent = ADDRESS_SHARE_PERCENT,
	    .idle_timeout_ms = IDLE_TIMEOUT_MS,
	    .header_timeout_ms = HEADER_TIMEOUT_MS,
	    .request_timeout_ms = REQUEST_TIMEOUT_MS,
	};

	if (fd_limit_raise((uint64_t)connections + OTHER_FDS) <
	    (uint64_t)connections + OTHER_FDS)
		return -EMFILE;
	d->budget.max_bytes = MAX_RECEIVED_BYTES;
	return http_server_open(&d->http, &d->loop, &http, &handler);
}

static int
open_model(struct daemon *d)
{
	const struct dashboard_settings *s = d->settings;
	int rc = model_init(&d->model, s->mask_users, clock_mono_ms() / 1000);
	int viewers_rc, requests_rc;

	d->access.settings = s;
	access_init(&d->access);
	d->viewers = (struct viewers){
	    .model = &d->model, .access = &d->access, .settings = s};
	d->requests = (struct requests){.settings = s,
	                                .access = &d->access,
	                                .model = &d->model,
	                                .viewers = &d->viewers,
	                                .fetches = &d->fetches};
	viewers_rc = viewers_init(&d->viewers, &d->loop);
	requests_rc = requests_open(&d->requests);
	event_fetches_open(&d->fetches, &d->loop, s->socket,
	                   request_on_fetched);
	d->link = (struct batchd_link){
	    .model = &d->model, .on_change = on_change, .arg = d};
	batchd_link_open(&d->link, &d->loop, s->socket);
	if (rc == 0)
		rc = viewers_rc;
	return rc < 0 ? rc : requests_rc;
}

static int
start_parts(struct daemon *d)
{
	int rc = 0;

	if (d->settings->tls_certificate[0] && !(d->tls = http_tls_new()))
		return -ENOMEM;
	rc = access_load(&d->access, d->tls);
	if (rc == 0)
		rc = open_http(d);
	if (rc == 0)
		rc = uv_signal_start(&d->term, on_stop, SIGTERM);
	if (rc == 0)
		rc = uv_signal_start(&d->interrupt, on_stop, SIGINT);
	if (rc == 0)
		rc = uv_signal_start(&d->hangup, on_hangup, SIGHUP);
	start_second(d);
	return rc;
}

static void
close_parts(struct daemon *d)
{
	event_fetches_close(&d->fetches);
	batchd_link_close(&d->link);
	if (d->http)
		http_server_close(d->http);
	uv_close((uv_handle_t *)&d->second, NULL);
	viewers_close(&d->viewers);
	uv_close((uv_handle_t *)&d->drain, NULL);
	uv_close((uv_handle_t *)&d->term, NULL);
	uv_close((uv_handle_t *)&d->interrupt, NULL);
	uv_close((uv_handle_t *)&d->hangup, NULL);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT); /* until all are closed */
	viewers_fini(&d->viewers);
	requests_close(&d->requests);
	model_fini(&d->model);
	access_fini(&d->access);
	http_tls_free(d->tls);
}

/*
 * Serve until SIGTERM or SIGINT.  Returns 0, or a negative error if the daemon
 * could not start, after logging the reason.
 */
static int
daemon_run(const struct dashboard_settings *settings)
{
	static struct daemon d; /* too large for the stack */
	int closed, rc = uv_loop_init(&d.loop);

	if (rc < 0)
		return rc;
	(void)signal(SIGPIPE, SIG_IGN);
	d.settings = settings;
	open_handles(&d);
	rc = open_model(&d);
	if (rc == 0)
		rc = start_parts(&d);
	if (rc == 0) {
		log_info("ready address=%s port=%u tls=%s tokens=%zu",
		         http_server_address(d.http), http_server_port(d.http),
		         d.tls ? "yes" : "no", d.access.tokens.count);
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
	struct dashboard_settings settings;
	struct conf_table tables[DASHBOARD_SETTINGS_TABLES];
	struct conf_program program;
	int rc;

	log_init("sinkd-dashboard");
	core_dump_disable();
	dashboard_settings_init(&settings, tables, &program);
	rc = conf_start(&program, argc, argv);
	if (rc != CONF_RUN) {
		conf_free(tables, DASHBOARD_SETTINGS_TABLES);
		return rc;
	}
	(void)setpriority(PRIO_PROCESS, 0, NICE); /* raising it is allowed */
	rc = daemon_run(&settings);
	conf_free(tables, DASHBOARD_SETTINGS_TABLES);
	if (rc < 0)
		log_error("stopped err=%s", log_quote(error_text(rc)));
	else
		log_info("stopped");
	return restart_pause(rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
