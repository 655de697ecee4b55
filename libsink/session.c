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
#include "libsink/stop.h"

#define STATS_MS 1000
#define WELCOME_MS 10000
/* A session that lasts this long was no failure. */
#define LASTING_MS 5000
/* batchd is on this machine: asking for it often costs nothing. */
#define BATCHD_RETRY_MS 1000

/* Somebody may have taken letters away, or settled those taken. */
static void
refresh_dead_letters(struct session *s)
{
	const char *stream = s->subscription.stream;
	int rc;

	dlq_file_follow(&s->dlq, stream);
	rc = dlq_file_refresh(&s->dlq);
	if (rc == 0)
		rc = dlq_retry_files_refresh(&s->retry_files,
		                             s->settings->common.dead_dir,
		                             s->settings->sink->name, stream);
	s->retry_files_known = rc == 0;
	if (rc < 0 && log_allow(&s->dlq_limit, NULL))
		log_warn("cannot count the dead letters dir=%s err=%s",
		         log_quote(s->settings->common.dead_dir),
		         log_quote(file_error(rc)));
}

/* The figures of the dead letters, as far as they were last seen. */
static void
count_dead_letters(struct session *s)
{
	struct stats *stats = &s->stats;

	stats->dead_letters_known = s->dlq.counted && s->retry_files_known;
	stats->dead_letters = s->dlq.records + s->retry_files.records;
	stats->dead_dropped = s->dlq.dropped;
	stats->pending_dead_letters = s->dlq.own + s->retry_files.own;
	stats->dead_without_payload = s->dlq.without_payload;
	stats->dead_bytes = s->dlq.bytes;
	stats->dead_max_bytes = s->dlq.max_bytes;
}

/* Report to batchd, unless the socket is full: then a later one will do. */
static int
report(struct session *s)
{
	const struct report now = stats_report(&s->stats);
	const struct report base = report_base(ROLE_SINK, &now, &s->sent);
	uint8_t map[REPORT_PACKED_MAX];
	int rc = 1;

	if (!s->based)
		rc = subscription_stats(&s->subscription, map,
		                        report_pack(ROLE_SINK, &base, map));
	if (rc <= 0)
		return rc;
	s->based = true;
	rc = subscription_stats(&s->subscription, map,
	                        report_pack(ROLE_SINK, &now, map));
	if (rc > 0)
		s->sent = now;
	return rc < 0 ? rc : 0;
}

/* Tell batchd how things are: when that changes, and once a second. */
static int
tell(struct session *s)
{
	uint64_t now = clock_mono_ms();
	bool due = !s->based || now - s->told_ms >= STATS_MS;
	uint64_t dlq;

	/* It may be meant for an ingestd beside this sink. */
	if (stop_hangup())
		log_warn("SIGHUP has no effect here: to read leat.conf and the "
		         "password file again, restart this sink; it goes on "
		         "where it is");
	if (!s->subscription.welcomed)
		return 0;
	if (due)
		refresh_dead_letters(s);
	count_dead_letters(s);
	dlq = s->stats.dead_letters + s->stats.dead_dropped;
	if (!due && s->told == s->stats.state && s->told_dead == dlq)
		return 0;
	s->told = s->stats.state;
	s->told_dead = dlq;
	s->told_ms = now;
	return report(s);
}

/*
 * Wait until the link has something to read, no longer than `until_ms`, and
 * tell batchd meanwhile.  Returns 0, -ETIMEDOUT, ERR_STOPPED or -EPIPE.
 */
static int
wait_link(struct session *s, uint64_t until_ms)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		int ms, rc = tell(s);

		if (rc < 0)
			return rc;
		if (now >= until_ms)
			return -ETIMEDOUT;
		ms = until_ms - now < STATS_MS ? (int)(until_ms - now)
		                               : STATS_MS;
		if (s->drain_until_ms == 0)
			rc = stop_wait(s->subscription.chan.fd, POLLIN, ms);
		else
			rc = chan_wait(&s->subscription.chan, POLLIN, ms);
		if (rc != -ETIMEDOUT && rc != -EINTR)
			return rc;
	}
}

/*
 * deliver's wait: a link that breaks ends it, since the batch comes again
 * from the store's position; so does a stop, since nothing is lost.
 */
static int
on_wait(void *arg, uint64_t ms)
{
	struct session *s = arg;
	uint64_t until = clock_mono_ms() + ms;

	if (stop_asked())
		return ERR_STOPPED;
	for (;;) {
		int rc = wait_link(s, until);

		if (rc == -ETIMEDOUT)
			return 0;
		if (rc == 0)
			rc = subscription_step(&s->subscription);
		if (rc < 0 && rc != -EAGAIN)
			return rc;
	}
}

/* Ask for the rest of the log, and no more than drain_ms of it. */
static int
start_drain(struct session *s)
{
	int64_t ms = s->settings->common.drain_ms;

	log_info("stopping: draining drain_ms=%" PRId64, ms);
	s->drain_until_ms = clock_mono_ms() + (uint64_t)ms;
	return subscription_flush(&s->subscription);
}

/*
 * deliver's step: a batch of many bad events takes long, so a stop counts
 * here, too, and batchd hears how things are.  A stable sink goes by batchd's
 * cursor: that follows piece by piece, or a crash would send again what is
 * stored, to be cut otherwise.
 */
static int
on_step(void *arg, uint64_t next, uint64_t position)
{
	struct session *s = arg;
	int rc = tell(s);

	(void)position;
	if (rc == 0 && s->subscription.limits.stable && next > s->parted) {
		rc = subscription_committed_part(&s->subscription, next);
		s->parted = next;
	}
	if (rc == 0 && stop_asked() && s->drain_until_ms == 0)
		rc = start_drain(s);
	if (rc == 0 && s->drain_until_ms != 0 &&
	    clock_mono_ms() >= s->drain_until_ms)
		rc = ERR_STOPPED;
	return rc;
}

/* Returns SUBSCRIPTION_BATCH, SUBSCRIPTION_EMPTY, ERR_STOPPED (drained long
 * enough) or -errno. */
static int
next_batch(struct session *s)
{
	for (;;) {
		int rc = subscription_step(&s->subscription);

		if (rc == SUBSCRIPTION_BATCH || rc == SUBSCRIPTION_EMPTY)
			return rc;
		if (rc == -EAGAIN) {
			uint64_t until = s->drain_until_ms;

			rc = wait_link(s, until ? until : UINT64_MAX);
		}
		if (rc == -ETIMEDOUT)
			return ERR_STOPPED;
		if (rc == ERR_STOPPED && s->drain_until_ms == 0)
			rc = start_drain(s);
		if (rc < 0 && rc != ERR_STOPPED)
			return rc;
	}
}

static int
store(struct session *s, const char *stream, bool *known, uint64_t *position)
{
	const struct subscription *sub = &s->subscription;
	struct batch batch = {.stream = stream,
	                      .position = *known ? *position : sub->offset,
	                      .offset = sub->offset,
	                      .next_offset = sub->offset + sub->count,
	                      .events = sub->events,
	                      .count = sub->count,
	                      .again = sub->again};
	int rc;

	s->parted = sub->offset;
	rc = deliver_batch(&s->deliver, &batch);
	if (rc < 0)
		return rc;
	s->stats.state = STATS_IDLE;
	s->stats.bytes += sub->body_bytes;
	*known = true;
	*position = batch.next_offset;
	s->failures = 0;
	/* Before committed: who sees the events there sees the letters, too. */
	rc = tell(s);
	if (rc < 0)
		return rc;
	return subscription_committed(&s->subscription, batch.next_offset);
}

static int
work(struct session *s, bool known, uint64_t position)
{
	char stream[FRAME_STREAM_MAX + 1];

	memcpy(stream, s->subscription.stream, sizeof stream);
	for (;;) {
		int rc;

		s->stats.state = STATS_IDLE;
		if (stop_asked() && s->drain_until_ms == 0)
			rc = start_drain(s);
		else
			rc = tell(s);
		if (rc == 0)
			rc = next_batch(s);
		if (rc < 0)
			return rc;
		if (rc == SUBSCRIPTION_EMPTY && s->drain_until_ms != 0)
			return ERR_STOPPED; /* all there was is stored */
		if (rc == SUBSCRIPTION_EMPTY)
			continue;
		rc = store(s, stream, &known, &position);
		if (rc == 0 && s->drain_until_ms != 0)
			rc = subscription_flush(&s->subscription);
		if (rc < 0)
			return rc;
	}
}

static int
await_welcome(struct session *s)
{
	uint64_t until = clock_mono_ms() + WELCOME_MS;

	for (;;) {
		int rc = wait_link(s, until);

		if (rc == 0)
			rc = subscription_step(&s->subscription);
		if (rc == SUBSCRIPTION_WELCOME)
			return 0;
		if (rc < 0 && rc != -EAGAIN)
			return rc;
	}
}

/* From connecting to whatever ends it, which is returned. */
static int
run_once(struct session *s)
{
	uint64_t position = 0;
	bool found = false;
	int rc;

	s->ready_ms = 0;
	s->based = false;
	s->stats.state = STATS_STARTING;
	rc = subscription_connect(&s->subscription, s->settings->common.socket);
	if (rc == 0)
		rc = await_welcome(s);
	if (rc == 0)
		rc = deliver_start(&s->deliver, s->subscription.stream, &found,
		                   &position);
	if (rc == 0)
		rc = subscription_start(&s->subscription, found, position);
	if (rc < 0)
		return rc;
	s->ready_ms = clock_mono_ms();
	stats_well(&s->stats, STATS_IDLE);
	if (found)
		log_info("ready stream=%s position=%" PRIu64,
		         s->subscription.stream, position);
	else
		log_info("ready stream=%s position=batchd's",
		         s->subscription.stream);
	return work(s, found, position);
}

/* What an operator can do about batchd's refusal. */
static const char *
advice(enum frame_error code)
{
	switch (code) {
	case ERROR_NONE:
		break;
	case ERROR_VERSION:
		return "run batchd and the sinks from one version";
	case ERROR_UNKNOWN:
		return ""; /* session_run ends then */
	case ERROR_BUSY:
		return "stop the other process of this sink";
	case ERROR_TOO_OLD:
		return "the store has gone back behind the log: restore it "
		       "from a newer copy, or move its position forward";
	case ERROR_AHEAD:
		return "the log is older than the store: batchd's folder was "
		       "restored or belongs to another installation";
	case ERROR_FULL:
		return "raise [batchd] max_connections";
	case ERROR_PROTOCOL:
		return "report this: it is a fault of leat";
	case ERROR_STOPPING:
		return "wait for batchd";
	}
	return "";
}

static void
say_why(struct session *s, int why, uint64_t ms)
{
	if (why == ERR_BATCHD_REFUSED)
		log_warn("batchd refuses code=%s text=%s advice=%s "
		         "retry_in_ms=%" PRIu64,
		         frame_error_name(s->subscription.error_code),
		         log_quote(s->subscription.error_text),
		         log_quote(advice(s->subscription.error_code)), ms);
	else if (why == ERR_POSITION_MOVED)
		log_warn("starting again from the store's position "
		         "retry_in_ms=%" PRIu64,
		         ms);
	else if (why == -EPROTO || why == -EMSGSIZE || why == -EBADMSG)
		log_error("batchd sent what this sink does not expect: run "
		          "both from one version and restart them; if it "
		          "stays, report it as a fault of leat socket=%s "
		          "err=%s retry_in_ms=%" PRIu64,
		          s->settings->common.socket,
		          log_quote(error_text(why)), ms);
	else if (log_allow(&s->away_limit, NULL))
		log_warn(
		    "batchd unreachable socket=%s err=%s",
		    s->settings->common.socket,
		    log_quote(chan_error(s->settings->common.socket, why)));
}

/* How long to stay away from batchd after `why`. */
static uint64_t
delay_ms(struct session *s, int why)
{
	const struct sink_common *common = &s->settings->common;
	uint64_t ms;

	if (why == ERR_POSITION_MOVED)
		return (uint64_t)common->retry_max_ms;
	if (s->ready_ms != 0 && clock_mono_ms() - s->ready_ms >= LASTING_MS)
		s->failures = 0;
	ms = deliver_delay_ms(common, ++s->failures);
	if (why == ERR_BATCHD_REFUSED &&
	    s->subscription.error_code != ERROR_STOPPING)
		return ms;
	return ms < BATCHD_RETRY_MS ? ms : BATCHD_RETRY_MS;
}

/* Let ms pass; a link that is still open tells batchd why. */
static int
pause_ms(struct session *s, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms;

	for (;;) {
		int rc = wait_link(s, until);

		if (rc == ERR_STOPPED)
			return rc;
		if (rc == -ETIMEDOUT)
			return 0;
		if (rc == 0)
			rc = subscription_step(&s->subscription);
		if (rc < 0 && rc != -EAGAIN)
			subscription_close(&s->subscription);
	}
}

/*
 * batchd keeps no events for a sink that [batchd] sinks does not name, so the
 * sink has nothing to do.  It ends then, with success: a supervisor may start
 * the sinks of all stores, whichever of them are in use.
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
	for (;;) {
		int why = run_once(s);
		uint64_t ms;

		if (why == -EPIPE)
			why = subscription_final_error(&s->subscription);
		ms = delay_ms(s, why);
		if (why == ERR_STOPPED || stop_asked()) {
			/* What was counted since the last one. */
			if (s->subscription.welcomed && report(s) < 0)
				log_debug("no last report");
			break;
		}
		if (is_switched_off(s, why)) {
			log_info("nothing to do: [batchd] sinks does not name "
			         "%s; to store events here, add it there, "
			         "restart batchd, and start this sink again",
			         s->settings->sink->name);
			return;
		}
		say_why(s, why, ms);
		if (why == ERR_POSITION_MOVED) {
			deliver_close(&s->deliver);
			stats_error(&s->stats, STATS_FENCED,
			            "another writer has moved the position",
			            ms);
		} else {
			subscription_close(&s->subscription);
		}
		if (pause_ms(s, ms) < 0)
			break;
	}
	log_info("stopped");
}

void
session_report_dead_letters(struct session *s)
{
	uint8_t map[REPORT_PACKED_MAX];
	struct report records;
	int rc =
	    subscription_connect(&s->subscription, s->settings->common.socket);

	if (rc == 0)
		rc = await_welcome(s);
	if (rc == 0) {
		refresh_dead_letters(s);
		count_dead_letters(s);
		records = stats_dead_letters(&s->stats);
		rc = subscription_stats(&s->subscription, map,
		                        report_pack(ROLE_SINK, &records, map));
	}
	if (rc < 0 && !(rc == ERR_BATCHD_REFUSED &&
	                s->subscription.error_code == ERROR_BUSY))
		log_info("batchd is not told how many dead letters are left: "
		         "it shows what it knew until the sink runs socket=%s "
		         "err=%s",
		         log_quote(s->settings->common.socket),
		         log_quote(
			     rc == ERR_BATCHD_REFUSED
				 ? s->subscription.error_text
				 : chan_error(s->settings->common.socket, rc)));
	subscription_close(&s->subscription);
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
	    .dlq = {.fd = -1},
	    .away_limit = {.interval_ms = 60000, .burst = 3},
	    .dlq_limit = {.interval_ms = 60000, .burst = 3},
	    .deliver = {.sink = settings->sink,
	                .common = c,
	                .conf = settings->conf,
	                .dlq = &s->dlq,
	                .stats = &s->stats,
	                .wait = on_wait,
	                .step = on_step,
	                .arg = s},
	};
	s->deliver.state = calloc(1, settings->sink->state_bytes + 1);
	if (!s->deliver.state)
		return -ENOMEM;
	rc = dlq_file_init(&s->dlq, c->dead_dir, settings->sink->name,
	                   (uint64_t)c->dead_max_bytes);
	if (rc == 0)
		rc = subscription_init(&s->subscription, settings->sink->name,
		                       &limits);
	return rc;
}

void
session_fini(struct session *s)
{
	deliver_fini(&s->deliver);
	free(s->deliver.state);
	s->deliver.state = NULL;
	dlq_file_fini(&s->dlq);
	subscription_fini(&s->subscription);
}
