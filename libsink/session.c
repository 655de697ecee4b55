/* session - see session.h. */
#include "libsink/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"
#include "libsink/back_off.h"
#include "libsink/dead_lettering.h"
#include "libsink/stop.h"

/* Longest time without a look at what is due. */
#define LOOK_MS 1000
#define WELCOME_MS 10000
/* A connection that was ready for this long counts as a success. */
#define LASTING_MS 5000
/* batchd is on this machine, so trying to connect often costs nothing. */
#define BATCHD_RETRY_MS 1000
/* How often a retry of dead letters that must wait is tried again. */
#define RETRY_WAIT_MS 100

/* Read the dead letters again, and go on with a retry that was interrupted. */
static void
session_refresh_dead_letters(struct session *s)
{
	if (!reporting_refresh(&s->reporting) || s->retry_resumed)
		return;
	s->retry_resumed = true;
	dlq_retry_resume(&s->retry, s->subscription.stream);
}

/* What an operator can do about batchd's refusal; frame_read checks the code.
 */
static const char *
refusal_advice(enum frame_error code)
{
	static const char *const advice[] = {
	    [ERROR_NONE] = "",
	    [ERROR_VERSION] = "run batchd and the sinks from one version",
	    [ERROR_PROTOCOL] = "report this as a fault of leat",
	    [ERROR_UNKNOWN] = "", /* session_run ends then */
	    [ERROR_BUSY] = "stop the other process of this sink",
	    [ERROR_TOO_OLD] =
		("the store's position is before the oldest event of the log: "
	         "restore the store from a newer copy, or move its position "
	         "forward"),
	    [ERROR_AHEAD] =
		("the log is older than the store: batchd's directory was "
	         "restored or belongs to another installation"),
	    [ERROR_FULL] = "raise [batchd] max_connections",
	    [ERROR_STOPPING] = "none: the sink waits for batchd",
	};

	return advice[code];
}

static void
session_log_failure(struct session *s)
{
	const int why = s->why;
	const uint64_t ms = s->delay_ms;

	if (why == ERR_BATCHD_REFUSED)
		log_warn("batchd refuses code=%s text=%s advice=%s "
		         "retry_in_ms=%" PRIu64,
		         frame_error_name(s->subscription.error_code),
		         log_quote(s->subscription.error_text),
		         log_quote(refusal_advice(s->subscription.error_code)),
		         ms);
	else if (why == ERR_POSITION_MOVED)
		log_warn("starting again from the store's position "
		         "retry_in_ms=%" PRIu64,
		         ms);
	else if (why == -EPROTO || why == -EMSGSIZE || why == -EBADMSG)
		log_error("invalid frame from batchd; run both from one "
		          "version and restart them, and if it happens "
		          "again, report it as a fault of leat socket=%s "
		          "err=%s retry_in_ms=%" PRIu64,
		          s->settings->common.socket,
		          log_quote(error_text(why)), ms);
	else if (log_allow(&s->unreachable_limit, NULL))
		log_warn(
		    "batchd unreachable socket=%s err=%s",
		    s->settings->common.socket,
		    log_quote(chan_error(s->settings->common.socket, why)));
}

static const char *
session_state_name(enum session_state state)
{
	static const char *const names[] = {
	    [SESSION_CONNECTING] = "connecting",
	    [SESSION_HALTED] = "halted",
	    [SESSION_SEEKING] = "seeking",
	    [SESSION_OPENING_STORE] = "opening-store",
	    [SESSION_RECEIVING] = "receiving",
	    [SESSION_DELIVERING] = "delivering",
	    [SESSION_DRAINING] = "draining",
	    [SESSION_BACKING_OFF] = "backing-off",
	    [SESSION_FENCED] = "fenced",
	    [SESSION_SWITCHED_OFF] = "switched-off",
	    [SESSION_STOPPED] = "stopped",
	};

	return names[state];
}

/* The store is closed until batchd's start. */
static void
session_enter_halted(struct session *s)
{
	deliver_close(&s->deliver);
	/* What was recorded of an order goes on; batchd has ended it. */
	s->subscription.order.pending = s->subscription.order.is_new = false;
	stats_well(&s->stats, STATS_STARTING);
}

static void
session_enter_stopped(struct session *s)
{
	/* What was counted since the last report. */
	if (s->subscription.has_stream && reporting_send(&s->reporting) < 0)
		log_debug("no last report");
	log_info("stopped");
}

/*
 * Change the state: the only place where that happens.  Does what belongs to
 * the new state, sets what the status shows, and logs the change.
 */
static void
session_change_state(struct session *s, enum session_state to)
{
	const enum session_state from = s->state;

	s->state = to;
	switch (to) {
	case SESSION_CONNECTING:
		s->ready_ms = 0;
		s->retry_resumed = false;
		reporting_begin(&s->reporting);
		s->stats.state = STATS_STARTING;
		break;
	case SESSION_HALTED:
		session_enter_halted(s);
		break;
	case SESSION_SEEKING:
	case SESSION_OPENING_STORE:
		break;
	case SESSION_RECEIVING:
		if (from == SESSION_OPENING_STORE) {
			s->ready_ms = clock_mono_ms();
			stats_well(&s->stats, STATS_IDLE);
		}
		s->stats.state = STATS_IDLE;
		break;
	case SESSION_DRAINING:
		s->stats.state = STATS_IDLE;
		break;
	case SESSION_DELIVERING:
		/* deliver.c sets the state of the statistics meanwhile. */
		s->parted = s->subscription.offset;
		break;
	case SESSION_BACKING_OFF:
		/* batchd may admit another process of this sink. */
		dlq_file_unlock(&s->dlq);
		session_log_failure(s);
		subscription_close(&s->subscription);
		break;
	case SESSION_FENCED:
		session_log_failure(s);
		deliver_close(&s->deliver);
		stats_error(&s->stats, STATS_FENCED,
		            "another writer has moved the position",
		            s->delay_ms);
		break;
	case SESSION_SWITCHED_OFF:
		log_info("nothing to do: [batchd] sinks does not name %s; to "
		         "store events here, add it there, restart batchd, "
		         "and start this sink again",
		         s->settings->sink->name);
		break;
	case SESSION_STOPPED:
		session_enter_stopped(s);
		break;
	}
	log_debug("session state=%s was=%s", session_state_name(to),
	          session_state_name(from));
}

/* The state between two batches. */
static enum session_state
session_receiving(const struct session *s)
{
	return s->drain_until_ms != 0 ? SESSION_DRAINING : SESSION_RECEIVING;
}

/* Report the status to batchd when it changes, and once a second. */
static int
session_report_if_due(struct session *s)
{
	const bool due = reporting_is_due(&s->reporting);

	/* The operator may have meant an ingestd on the same machine. */
	if (stop_hangup())
		log_warn(
		    "SIGHUP has no effect on a sink; to read leat.conf and "
		    "the password file again, restart this sink, which "
		    "resumes at its position");
	if (!s->subscription.has_stream)
		return 0;
	if (due)
		session_refresh_dead_letters(s);
	return reporting_send_changes(&s->reporting, due);
}

/*
 * Wait until batchd has sent something, but not longer than until_ms, and send
 * reports meanwhile.  Returns 0, -ETIMEDOUT, ERR_STOPPED or -EPIPE.
 */
static int
session_wait(struct session *s, uint64_t until_ms)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		int ms, rc = session_report_if_due(s);

		if (rc < 0)
			return rc;
		if (now >= until_ms)
			return -ETIMEDOUT;
		ms = until_ms - now < LOOK_MS ? (int)(until_ms - now) : LOOK_MS;
		if (s->drain_until_ms == 0)
			rc = stop_wait(s->subscription.chan.fd, POLLIN, ms);
		else
			rc = chan_wait(&s->subscription.chan, POLLIN, ms);
		if (rc != -ETIMEDOUT && rc != -EINTR)
			return rc;
	}
}

/*
 * The same, and receive a frame.  Returns what subscription_step has received,
 * or 0 if there was nothing.
 */
static int
session_receive(struct session *s, uint64_t until_ms)
{
	int rc = session_wait(s, until_ms);

	if (rc == 0)
		rc = subscription_step(&s->subscription);
	return rc == -EAGAIN ? 0 : rc;
}

/*
 * The wait of deliver.c.  A lost connection ends it, since batchd sends the
 * batch again from the store's position.  So does a stop, since nothing is
 * lost.
 */
static int
session_on_wait(void *arg, uint64_t ms)
{
	struct session *s = arg;
	uint64_t until = clock_mono_ms() + ms;

	if (stop_asked())
		return ERR_STOPPED;
	for (;;) {
		int rc = session_receive(s, until);

		if (rc == -ETIMEDOUT)
			return 0;
		if (rc == SUBSCRIPTION_HALT)
			return ERR_HALTED;
		if (rc < 0)
			return rc;
	}
}

/* Ask for the rest of the log, until drain_ms after the signal. */
static int
session_start_drain(struct session *s)
{
	int64_t ms = s->settings->common.drain_ms;

	log_info("stopping: draining drain_ms=%" PRId64, ms);
	s->drain_until_ms = stop_asked_ms() + (uint64_t)ms;
	if (s->state == SESSION_RECEIVING)
		session_change_state(s, SESSION_DRAINING);
	return subscription_flush(&s->subscription);
}

static bool
session_drain_is_over(const struct session *s)
{
	return s->drain_until_ms != 0 && clock_mono_ms() >= s->drain_until_ms;
}

/*
 * The step of deliver.c, after each piece.  A batch with many bad events takes
 * long, so reports, a halt and a stop are not left to its end.
 *
 * A stable sink starts at batchd's cursor, since its store has no position. The
 * cursor follows piece by piece.  Otherwise batchd would send stored events
 * again after a crash, in a batch that is split elsewhere.
 */
static int
session_on_step(void *arg, uint64_t next, uint64_t position)
{
	struct session *s = arg;
	int rc = session_report_if_due(s);

	s->has_position = !s->subscription.limits.stable;
	s->position = position;
	/* The end of the batch is reported once, when all of it is done. */
	if (rc == 0 && s->subscription.limits.stable && next > s->parted &&
	    next < s->subscription.offset + s->subscription.count) {
		dlq_file_advance(&s->dlq, next);
		rc = subscription_report(&s->subscription, next,
		                         reporting_refused(&s->reporting));
		s->parted = next;
	}
	if (rc == 0)
		rc = subscription_step(&s->subscription);
	if (rc == SUBSCRIPTION_HALT)
		return ERR_HALTED;
	if (rc > 0 || rc == -EAGAIN)
		rc = 0;
	if (rc == 0 && stop_asked() && s->drain_until_ms == 0)
		rc = session_start_drain(s);
	if (rc == 0 && session_drain_is_over(s))
		rc = ERR_STOPPED;
	return rc;
}

/* Called after each write of a retry of dead letters. */
static int
session_on_retry_write(void *arg)
{
	struct session *s = arg;
	int rc = session_report_if_due(s);

	return rc == 0 && stop_asked() ? ERR_RETRY_SUSPENDED : rc;
}

/*
 * Report what has become of an operator's order.  Who reads the status after
 * the reply must see what it has changed.
 */
static int
session_send_retried(struct session *s)
{
	const struct dlq_retry_result *r = &s->retry.result;
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
	    {"selected", r->selected}, {"stored", r->stored},
	    {"kept", r->kept},         {"dropped", r->dropped},
	    {"waiting", r->waiting},   {"without_payload", r->without_payload},
	    {"more", r->more},         {"damaged", r->damaged},
	};
	struct control_args args;
	int rc;

	s->retry.has_result = false;
	session_refresh_dead_letters(s);
	rc = reporting_send_refused(&s->reporting);
	/* Without one, the order came on an earlier connection. */
	if (rc < 0 || !s->subscription.order.pending)
		return rc;
	control_args_init(&args);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		control_args_add_uint(&args, counts[i].key, counts[i].value);
	rc = args.map.error;
	if (rc == 0)
		rc = subscription_retried(&s->subscription, r->text,
		                          args.map.data, args.map.len);
	control_args_fini(&args);
	return rc;
}

/* Read the order that batchd has sent.  Returns 0 or -EBADMSG. */
static int
session_read_order(const struct session *s, struct dlq_retry_order *order,
                   struct event *event)
{
	const uint8_t *map = s->subscription.order.map;
	const size_t bytes = s->subscription.order.map_bytes;
	struct wire_reader reader;
	struct slice packed;
	int rc = dlq_filter_read(&order->filter, map, bytes);

	order->action =
	    s->subscription.order.action == RETRY_DROP ? DLQ_DROP : DLQ_RETRY;
	order->below = s->subscription.order.committed;
	if (rc < 0)
		return rc;
	rc = control_args_find_text(map, bytes, "event", &packed);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	reader =
	    (struct wire_reader){(const uint8_t *)packed.data,
	                         (const uint8_t *)packed.data + packed.bytes};
	order->event = event;
	rc = event_read(&reader, event);
	return rc == 0 && reader.at != reader.end ? -EBADMSG : rc;
}

static int
session_on_order(struct session *s)
{
	struct dlq_retry_order order = {0};
	struct event event;

	s->subscription.order.is_new = false;
	if (session_read_order(s, &order, &event) < 0)
		return subscription_retried(&s->subscription,
		                            "malformed arguments", NULL, 0);
	if (dlq_retry_accept(&s->retry, &order))
		return 0;
	return subscription_retried(&s->subscription, s->retry.result.text,
	                            NULL, 0);
}

/* Retry dead letters for a while, if there are some to be retried. */
static int
session_retry(struct session *s)
{
	int rc = s->subscription.order.is_new ? session_on_order(s) : 0;

	if (rc == 0 && s->drain_until_ms == 0 &&
	    dlq_retry_is_due(&s->retry, s->dlq.position))
		rc = dlq_retry_step(&s->retry);
	return rc == 0 && s->retry.has_result ? session_send_retried(s) : rc;
}

/* Wait for a frame, or until a retry of dead letters can go on. */
static int
session_wait_for_work(struct session *s)
{
	uint64_t until = s->drain_until_ms;
	int rc;

	if (until != 0)
		return session_wait(s, until);
	if (!dlq_retry_is_active(&s->retry) && !s->subscription.order.is_new)
		return session_wait(s, UINT64_MAX);
	rc = session_retry(s);
	until = clock_mono_ms();
	if (rc == 0 && !dlq_retry_is_due(&s->retry, s->dlq.position))
		until += RETRY_WAIT_MS;
	if (rc == 0)
		rc = session_wait(s, until);
	return rc == -ETIMEDOUT ? 0 : rc;
}

/*
 * Returns SUBSCRIPTION_BATCH, SUBSCRIPTION_EMPTY, ERR_STOPPED when drain_ms
 * have passed, or a negative error.
 */
static int
session_next_batch(struct session *s)
{
	for (;;) {
		int rc;

		/* It may have come while a retry waited for the store. */
		if (s->subscription.whole)
			return SUBSCRIPTION_BATCH;
		rc = subscription_step(&s->subscription);
		if (rc == SUBSCRIPTION_BATCH || rc == SUBSCRIPTION_EMPTY)
			return rc;
		if (rc == SUBSCRIPTION_HALT)
			return ERR_HALTED;
		if (rc == -EAGAIN)
			rc = session_wait_for_work(s);
		if (rc == -ETIMEDOUT)
			return ERR_STOPPED;
		if (rc == ERR_STOPPED && s->drain_until_ms == 0)
			rc = session_start_drain(s);
		if (rc < 0 && rc != ERR_STOPPED)
			return rc;
	}
}

static int
session_deliver(struct session *s, const char *stream, bool *known,
                uint64_t *position)
{
	const struct subscription *sub = &s->subscription;
	struct batch batch = {.stream = stream,
	                      .position = *known ? *position : sub->offset,
	                      .offset = sub->offset,
	                      .next_offset = sub->offset + sub->count,
	                      .events = sub->events,
	                      .count = sub->count,
	                      .again = sub->again,
	                      .generation = sub->generation};
	int rc = 0;

	session_change_state(s, SESSION_DELIVERING);
	s->has_position = false; /* until a piece is known to be stored */
	/* A dead letter of an event that batchd has skipped is no skipped one.
	 */
	if (batch.offset > s->dlq.position) {
		dlq_file_advance(&s->dlq, batch.offset);
		rc = subscription_report(&s->subscription, batch.offset,
		                         reporting_refused(&s->reporting));
	}
	if (rc == 0)
		rc = deliver_batch(&s->deliver, &batch, NULL);
	if (rc < 0)
		return rc;
	s->has_position = !sub->limits.stable;
	s->position = batch.next_offset;
	s->stats.bytes += sub->body_bytes;
	*known = true;
	*position = batch.next_offset;
	s->failures = 0;
	session_change_state(s, session_receiving(s));
	/*
	 * The report goes before the commit, so that a reader of the status who
	 * sees the events as committed sees their dead letters, too.
	 */
	rc = session_report_if_due(s);
	if (rc < 0)
		return rc;
	dlq_file_advance(&s->dlq, batch.next_offset);
	return subscription_committed(&s->subscription, batch.next_offset,
	                              reporting_refused(&s->reporting));
}

static int
session_work(struct session *s, bool known, uint64_t position)
{
	char stream[FRAME_STREAM_MAX + 1];

	memcpy(stream, s->subscription.stream, sizeof stream);
	for (;;) {
		int rc;

		if (stop_asked() && s->drain_until_ms == 0)
			rc = session_start_drain(s);
		else
			rc = session_report_if_due(s);
		if (rc == 0 && session_drain_is_over(s))
			return ERR_STOPPED;
		if (rc == 0)
			rc = session_next_batch(s);
		if (rc < 0)
			return rc;
		if (rc == SUBSCRIPTION_EMPTY && s->drain_until_ms != 0)
			return ERR_STOPPED; /* the whole log is stored */
		if (rc == SUBSCRIPTION_EMPTY)
			continue;
		rc = session_deliver(s, stream, &known, &position);
		/* Under load, batches and steps of a retry come in turn. */
		if (rc == 0)
			rc = session_retry(s);
		if (rc == 0 && s->drain_until_ms != 0)
			rc = subscription_flush(&s->subscription);
		if (rc < 0)
			return rc;
	}
}

static int
session_await_welcome(struct session *s)
{
	const uint64_t until_ms = clock_mono_ms() + WELCOME_MS;

	for (;;) {
		int rc = session_receive(s, until_ms);

		if (rc == SUBSCRIPTION_WELCOME)
			return 0;
		if (rc < 0)
			return rc;
	}
}

/*
 * Count what the store has refused of the events below the position.  Returns
 * 0, or what the wait for the file gave up with.
 */
static int
session_count_refused(struct session *s, uint64_t position)
{
	const char *stream = s->subscription.stream;
	int rc;

	while ((rc = dlq_file_start(&s->dlq, stream, position)) < 0) {
		rc = dead_lettering_await_file(&s->deliver, rc);
		if (rc < 0)
			return rc;
	}
	session_refresh_dead_letters(s);
	(void)reporting_refused(&s->reporting);
	return 0;
}

/* From batchd's start until its halt, or until the connection ends. */
static int
session_serve(struct session *s)
{
	uint64_t position = 0;
	bool found = false;
	int rc;

	session_change_state(s, SESSION_OPENING_STORE);
	rc = deliver_start(&s->deliver, s->subscription.stream, &found,
	                   &position);
	if (rc == 0)
		rc = session_count_refused(s, found ? position
		                                    : s->subscription.cursor);
	if (rc < 0)
		return rc;
	s->has_position = found;
	s->position = position;
	rc = subscription_start(&s->subscription, found, position,
	                        &s->reporting.refused);
	if (rc < 0)
		return rc;
	if (found)
		log_info("ready stream=%s position=%" PRIu64,
		         s->subscription.stream, position);
	else
		log_info("ready stream=%s position=batchd's",
		         s->subscription.stream);
	session_change_state(s, session_receiving(s));
	return session_work(s, found, position);
}

/*
 * Move the store's position, as a batch without events does.  The store may
 * have the new one already, if the sink was killed after it had moved it.
 * Nothing of what the sink has read of the stream may be used after that:
 * deliver_start reads it again.
 */
static int
session_seek(struct session *s)
{
	const struct subscription *sub = &s->subscription;
	const uint64_t from = sub->seek_from, to = sub->seek_to;
	const struct batch move = {.stream = sub->stream,
	                           .position = from,
	                           .offset = to,
	                           .next_offset = to};
	int rc;

	session_change_state(s, SESSION_SEEKING);
	log_info("moving the position stream=%s from=%" PRIu64 " to=%" PRIu64,
	         sub->stream, from, to);
	/* Batches come again with other tokens, and may be split elsewhere. */
	rc = split_journal_remove(s->dlq.dir, s->settings->sink->name,
	                          sub->stream);
	if (rc < 0)
		log_warn("cannot remove the split journal; batches that come "
		         "again are split as before dir=%s err=%s",
		         log_quote(s->dlq.dir), log_quote(file_error(rc)));
	rc = deliver_start(&s->deliver, sub->stream, &s->has_position,
	                   &s->position);
	if (rc == 0 && s->has_position && s->position == from && from != to) {
		rc = deliver_batch(&s->deliver, &move, NULL);
		if (rc == 0)
			s->position = to;
	}
	if (rc == 0)
		rc = session_count_refused(s,
		                           s->has_position ? s->position : to);
	if (rc == 0)
		log_info("position moved stream=%s from=%" PRIu64 " to=%" PRIu64
		         " has_position=%s position=%" PRIu64,
		         sub->stream, from, to, s->has_position ? "yes" : "no",
		         s->position);
	return rc;
}

/*
 * Wait with the store closed until batchd sends start or seek.  Returns
 * SUBSCRIPTION_START, SUBSCRIPTION_SEEK, or a negative error.  A stop ends the
 * wait at once, since there is nothing to drain.
 */
static int
session_await_task(struct session *s)
{
	for (;;) {
		int rc =
		    stop_asked() ? ERR_STOPPED : session_receive(s, UINT64_MAX);

		if (rc == SUBSCRIPTION_START || rc == SUBSCRIPTION_SEEK ||
		    rc < 0)
			return rc;
	}
}

/* One connection to batchd.  Returns what has ended it. */
static int
session_run_once(struct session *s)
{
	int rc;

	session_change_state(s, SESSION_CONNECTING);
	s->has_position = false;
	rc = subscription_connect(&s->subscription, s->settings->common.socket);
	if (rc == 0)
		rc = session_await_welcome(s);
	if (rc < 0)
		return rc;
	for (;;) {
		session_change_state(s, SESSION_HALTED);
		if (s->subscription.halting) {
			log_info("halted stream=%s", s->subscription.stream);
			if (s->has_position)
				dlq_file_advance(&s->dlq, s->position);
			rc = subscription_halted(
			    &s->subscription, s->has_position, s->position,
			    reporting_refused(&s->reporting));
		}
		if (rc == 0)
			rc = session_await_task(s);
		if (rc == SUBSCRIPTION_SEEK)
			rc = session_seek(s);
		else if (rc == SUBSCRIPTION_START)
			rc = session_serve(s);
		if (rc == ERR_HALTED)
			rc = 0;
		if (rc < 0)
			return rc;
	}
}

/* The delay before the next connection, after one that `why` has ended. */
static uint64_t
session_delay_ms(struct session *s, int why)
{
	const struct sink_common *common = &s->settings->common;
	uint64_t ms;

	if (why == ERR_POSITION_MOVED)
		return (uint64_t)common->retry_max_ms;
	if (s->ready_ms != 0 && clock_mono_ms() - s->ready_ms >= LASTING_MS)
		s->failures = 0;
	ms = back_off_delay_ms(common, ++s->failures);
	if (why == ERR_BATCHD_REFUSED &&
	    s->subscription.error_code != ERROR_STOPPING)
		return ms;
	return ms < BATCHD_RETRY_MS ? ms : BATCHD_RETRY_MS;
}

/* Wait.  If the connection is still open, batchd gets reports meanwhile. */
static int
session_pause(struct session *s, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms;

	for (;;) {
		int rc = session_receive(s, until);

		if (rc == ERR_STOPPED)
			return rc;
		if (rc == -ETIMEDOUT)
			return 0;
		/* After a halt batchd need not wait: the store is closed. */
		if (rc == SUBSCRIPTION_HALT || rc < 0)
			subscription_close(&s->subscription);
	}
}

/*
 * batchd keeps no events for a sink that [batchd] sinks does not name.  Such a
 * sink exits with success, so that a supervisor may start the sinks of all
 * stores, whether they are in use or not.
 */
static bool
is_switched_off(const struct session *s, int why)
{
	return why == ERR_BATCHD_REFUSED &&
	       s->subscription.error_code == ERROR_UNKNOWN;
}

void
session_run(struct session *s)
{
	stop_bound(s->settings->common.drain_ms);
	do {
		s->why = session_run_once(s);
		if (s->why == -EPIPE)
			s->why = subscription_final_error(&s->subscription);
		s->delay_ms = session_delay_ms(s, s->why);
		if (s->why == ERR_STOPPED || stop_asked())
			break;
		if (is_switched_off(s, s->why)) {
			session_change_state(s, SESSION_SWITCHED_OFF);
			return;
		}
		session_change_state(s, s->why == ERR_POSITION_MOVED
		                            ? SESSION_FENCED
		                            : SESSION_BACKING_OFF);
	} while (session_pause(s, s->delay_ms) == 0);
	session_change_state(s, SESSION_STOPPED);
}

int
session_init(struct session *s, struct sink_conf *settings)
{
	const struct sink_common *c = &settings->common;
	struct subscription_limits limits = {
	    .events = (uint64_t)c->batch_events,
	    .bytes = (uint64_t)c->batch_bytes,
	    .wait_ms = (uint64_t)c->batch_wait_ms,
	    .stable = settings->sink->stable};
	int rc;

	*s = (struct session){
	    .settings = settings,
	    .subscription = {.chan = {.fd = -1}},
	    .dlq = {.fd = -1, .lock_fd = -1},
	    .unreachable_limit = {.interval_ms = 60000, .burst = 3},
	    .reporting = {.subscription = &s->subscription,
	                  .dlq = &s->dlq,
	                  .stats = &s->stats,
	                  .dead_dir = c->dead_dir,
	                  .sink = settings->sink->name,
	                  .limit = {.interval_ms = 60000, .burst = 3}},
	    .deliver = {.sink = settings->sink,
	                .common = c,
	                .conf = settings->conf,
	                .dlq = &s->dlq,
	                .stats = &s->stats,
	                .calls = {session_on_wait, session_on_step, s},
	                .dead_letter_limit = {.interval_ms = 10000, .burst = 5},
	                .kept_limit = {.interval_ms = 10000, .burst = 5},
	                .unavailable_limit = {.interval_ms = 60000,
	                                      .burst = 10},
	                .available_limit = {.interval_ms = 60000, .burst = 10},
	                .fewer_limit = {.interval_ms = 60000, .burst = 10}},
	};
	s->deliver.state = calloc(1, settings->sink->state_bytes + 1);
	if (!s->deliver.state)
		return -ENOMEM;
	rc = dlq_file_init(&s->dlq, c->dead_dir, settings->sink->name,
	                   (uint64_t)c->dead_max_bytes);
	if (rc == 0)
		rc = dlq_retry_init(&s->retry, &s->deliver);
	s->retry.on_write = session_on_retry_write;
	s->retry.arg = s;
	if (rc == 0)
		rc = subscription_init(&s->subscription, settings->sink->name,
		                       &limits);
	return rc;
}

void
session_fini(struct session *s)
{
	dlq_retry_fini(&s->retry);
	deliver_fini(&s->deliver);
	free(s->deliver.state);
	s->deliver.state = NULL;
	dlq_file_fini(&s->dlq);
	subscription_fini(&s->subscription);
}
