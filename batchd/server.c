/* server - see server.h.  startup.c opens and closes what it serves. */
#include "batchd/server.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batchd/order_steps.h"
#include "batchd/status.h"
#include "libbase/clock.h"

#define TICK_MS 1000

static void
on_idle(uv_idle_t *handle)
{
	(void)handle; /* while it is active, the loop does not sleep */
}

static void
on_wake(uv_timer_t *timer)
{
	(void)timer; /* it causes a turn, which steps the sinks */
}

static void
on_tick(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct broker *b = &s->broker;
	uint64_t now_ms = clock_mono_ms();

	s->jobs.retention_wanted = true;
	s->jobs.cursors_wanted = true;
	b->status_is_recent = false;
	rate_sample(&b->append_rate, now_ms, b->store.appended_bytes);
	for (size_t i = 0; i < b->sink_count; i++)
		rate_sample(&b->sinks[i].rate, now_ms,
		            b->sinks[i].consumer.position.committed_events);
	connections_tick(&s->connections);
}

/* Take up what operators have ordered of the sinks. */
static void
step_orders(struct broker *b)
{
	int64_t now_us = clock_wall_us();

	for (size_t i = 0; i < b->sink_count; i++)
		order_step(&b->sinks[i], now_us);
}

/* Do one piece of work for each sink.  Returns true if there is more. */
static bool
step_sinks(struct broker *b, uint64_t *wake_ms)
{
	uint64_t now_ms = clock_mono_ms(), one_ms;
	bool more = false;

	*wake_ms = UINT64_MAX;
	for (size_t i = 0; i < b->sink_count; i++) {
		struct consumer *c = &b->sinks[i].consumer;
		struct peer *p = b->sinks[i].peer;
		int rc;

		if (!p || p->state != PEER_SUBSCRIBED || p->blocked)
			continue;
		/* Begin no batch that the stop would have to wait for. */
		if (b->stopping && c->state == CONSUMER_WAITING)
			continue;
		rc = consumer_step(c, now_ms, &one_ms);
		if (rc == -EAGAIN)
			p->blocked = true;
		else if (rc < 0)
			connections_close(p, rc);
		else if (rc > 0)
			more = true;
		else if (one_ms < *wake_ms)
			*wake_ms = one_ms;
	}
	return more;
}

/*
 * Do one piece of work for one tail: see tail.h.  Returns true if there may be
 * more.
 */
static bool
step_tails(struct broker *b, bool sinks_idle, uint64_t *wake_ms)
{
	uint64_t now_ms = b->tail_count > 0 ? clock_mono_ms() : 0, one_ms;
	size_t count = b->tail_count;
	bool more = false;

	for (size_t i = 0; i < count && !more; i++) {
		struct peer *p = b->tails[b->next_tail++ % count];
		int rc;

		/* Events must not fill the socket before the reply. */
		if (p->blocked || p->reply != PEER_REPLY_NONE)
			continue;
		rc = tail_step(p->tail, count, now_ms, sinks_idle, &one_ms);
		if (rc == -EAGAIN)
			p->blocked = true;
		else if (rc < 0)
			connections_close(p, rc);
		else if (rc == 0 && one_ms < *wake_ms)
			*wake_ms = one_ms;
		/* After a close the list is another one. */
		more = rc > 0 || (rc < 0 && rc != -EAGAIN);
	}
	for (size_t i = 0; i < b->tail_count; i++)
		tail_release(b->tails[i]->tail);
	return more;
}

static int
flush_peer(struct peer *p)
{
	if (p->reply == PEER_REPLY_STATUS)
		status_update(p->broker);
	else if (p->status_due)
		status_update_recent(p->broker);
	return peer_flush(p);
}

static void
flush_peers(struct broker *b)
{
	b->status_is_new = false;
	for (size_t i = b->peer_count; i-- > 0;) {
		struct peer *p = b->peers[i];
		int rc = p->blocked ? 0 : flush_peer(p);

		p->done_this_turn = false;
		if (rc == -EAGAIN)
			p->blocked = true;
		else if (rc < 0)
			connections_close(p, rc);
	}
}

/*
 * Return true if nothing would be left half done by a stop.  What an ingestd
 * sent before it learnt of the stop is still accepted, unless the log is full:
 * then batchd could wait for sinks for ever.  Nothing of it was acknowledged.
 */
static bool
is_drained(const struct server *s)
{
	const struct broker *b = &s->broker;
	bool full = store_is_full(&b->store);

	if (s->jobs.append.busy || b->store.filling->records > 0)
		return false;
	for (size_t i = 0; i < b->sink_count; i++) {
		enum consumer_state state = b->sinks[i].consumer.state;

		if (state != CONSUMER_DISCONNECTED && state != CONSUMER_WAITING)
			return false;
	}
	for (size_t i = 0; i < b->peer_count; i++) {
		const struct peer *p = b->peers[i];

		if (p->state == PEER_INGEST &&
		    (p->acks.durable > 0 || (!full && peer_has_sent(p))))
			return false;
	}
	return true;
}

/*
 * Decide whether ingestd may begin more requests.  Appends, deletions and the
 * disk's free space change that, so it is decided once in each turn.
 */
static void
update_intake(struct server *s)
{
	struct broker *b = &s->broker;
	bool accepts = store_accepts_requests(&b->store);

	if (s->log_is_full && accepts)
		log_info("log has room again");
	else if (!s->log_is_full && !accepts)
		log_warn("log is full, senders get 503 until sinks catch up "
		         "why=%s",
		         log_quote(b->store.full_reason));
	s->log_is_full = !accepts;
	b->intake_open = !b->stopping && accepts;
}

static void
stop_handle(uv_handle_t *handle, void *arg)
{
	struct server *s = arg;

	/* The connections close their own handles. */
	if (!uv_is_closing(handle) && handle->data == s)
		uv_close(handle, NULL);
}

/* Close everything.  uv_run returns when the running disk jobs have ended. */
static void
server_stop(struct server *s)
{
	if (s->stopped)
		return;
	s->broker.stopping = s->stopped = true;
	connections_stop_accepting(&s->connections);
	connections_close_all(&s->connections, -ESHUTDOWN);
	uv_walk(&s->loop, stop_handle, s);
}

/* Sleep until an event, but not after wake_ms. */
static void
set_wake(struct server *s, bool more, uint64_t wake_ms)
{
	const struct store *store = &s->broker.store;
	uint64_t interval_ms = (uint64_t)s->broker.settings->fsync_interval_ms;
	uint64_t now_ms = clock_mono_ms();

	/* disk_jobs_start_append looks in each turn whether a sync is due. */
	if (store->unsynced && store->conf.fsync == FSYNC_INTERVAL &&
	    wake_ms > now_ms + interval_ms)
		wake_ms = now_ms + interval_ms;
	if (more)
		(void)uv_idle_start(&s->idle, on_idle);
	else
		(void)uv_idle_stop(&s->idle);
	if (wake_ms == UINT64_MAX)
		return;
	uv_update_time(&s->loop);
	(void)uv_timer_start(&s->wake, on_wake,
	                     wake_ms > now_ms ? wake_ms - now_ms : 0, 0);
}

static void
server_on_turn(uv_prepare_t *handle)
{
	struct server *s = handle->data;
	uint64_t wake_ms;
	bool more;

	/* Nothing may be acknowledged after a failure (I2). */
	if (s->jobs.failed) {
		server_stop(s);
		return;
	}
	disk_jobs_start_append(&s->jobs);
	more = step_sinks(&s->broker, &wake_ms);
	more |= step_tails(&s->broker, !more, &wake_ms);
	step_orders(&s->broker);
	disk_jobs_start_cursors(&s->jobs);
	disk_jobs_start_retention(&s->jobs);
	update_intake(s);
	flush_peers(&s->broker);
	connections_update_polls(&s->connections);
	if (s->broker.stopping && is_drained(s)) {
		server_stop(s);
		return; /* a handle that is being closed cannot be started */
	}
	set_wake(s, more, wake_ms);
}

static void
on_drain(uv_timer_t *timer)
{
	struct server *s = timer->data;

	log_warn("stopping although batches in flight are not committed; they "
	         "will be sent again drain_ms=%" PRId64,
	         s->broker.settings->drain_ms);
	server_stop(s);
}

static void
server_on_signal(uv_signal_t *signal, int number)
{
	struct server *s = signal->data;

	if (s->broker.stopping) {
		server_stop(s);
		return;
	}
	log_info("stopping signal=%d", number);
	s->broker.stopping = true;
	connections_stop_accepting(&s->connections);
	(void)uv_timer_start(&s->drain, on_drain,
	                     (uint64_t)s->broker.settings->drain_ms, 0);
}

/* An operator may send it to ingestd and batchd alike. */
static void
server_on_hangup(uv_signal_t *signal, int number)
{
	(void)signal;
	(void)number;
	log_warn("SIGHUP has no effect here; restart batchd to read leat.conf "
	         "again, no event is lost");
}

static int
start_handles(struct server *s)
{
	static const struct {
		int number;
		uv_signal_cb on_signal;
	} signals[] = {{SIGTERM, server_on_signal},
	               {SIGINT, server_on_signal},
	               {SIGHUP, server_on_hangup}};
	uv_loop_t *loop = &s->loop;
	int rc;

	rc = uv_loop_init(loop);
	if (rc < 0)
		return rc;
	s->turn.data = s->idle.data = s->wake.data = s->tick.data = s;
	s->drain.data = s;
	/* These fail only if the handle or a callback is NULL. */
	rc = uv_prepare_init(loop, &s->turn);
	rc = rc < 0 ? rc : uv_idle_init(loop, &s->idle);
	rc = rc < 0 ? rc : uv_timer_init(loop, &s->wake);
	rc = rc < 0 ? rc : uv_timer_init(loop, &s->tick);
	rc = rc < 0 ? rc : uv_timer_init(loop, &s->drain);
	rc = rc < 0 ? rc : uv_prepare_start(&s->turn, server_on_turn);
	rc = rc < 0 ? rc : uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	rc = rc < 0 ? rc : connections_start(&s->connections, loop);
	_Static_assert(ARRAY_LEN(signals) == ARRAY_LEN(s->signals), "one each");
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		s->signals[i].data = s;
		rc = rc < 0 ? rc : uv_signal_init(loop, &s->signals[i]);
		rc = rc < 0
		         ? rc
		         : uv_signal_start(&s->signals[i], signals[i].on_signal,
		                           signals[i].number);
	}
	return rc;
}

int
server_run(struct server *s)
{
	int rc = start_handles(s);

	if (rc < 0) {
		log_error("cannot start the event loop err=%s",
		          log_quote(uv_strerror(rc)));
		return EXIT_FAILURE;
	}
	disk_jobs_init(&s->jobs, &s->broker, &s->loop);
	s->broker.intake_open = true;
	log_info("ready socket=%s", log_quote(s->broker.settings->socket));
	(void)uv_run(&s->loop, UV_RUN_DEFAULT); /* until all is closed */
	rc = uv_loop_close(&s->loop);
	assert(rc == 0);
	return s->jobs.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
