/* status - see status.h. */
#include "batchd/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <msgpack.h>

#include "batchd/peer.h"
#include "libbase/clock.h"

/*
 * Room for what follows the list of daemons.  The size of what comes before it
 * is bounded by SINKS_MAX and by the figures of a report; the list gets the
 * rest.
 */
#define AFTER_DAEMONS_BYTES 64

/*
 * msgpack calls status_on_write for each piece.  The results of the msgpack_*
 * functions are ignored, since the buffer keeps the first failure.
 */
static int
status_on_write(void *data, const char *bytes, size_t len)
{
	struct buf *out = data;

	return out->error == 0 ? buf_add(out, bytes, len) : out->error;
}

static void
put_key(msgpack_packer *pk, const char *key)
{
	(void)msgpack_pack_str_with_body(pk, key, strlen(key));
}

static void
put_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
	put_key(pk, key);
	(void)msgpack_pack_uint64(pk, value);
}

static void
status_put_text(msgpack_packer *pk, const char *key, const char *value)
{
	put_key(pk, key);
	put_key(pk, value);
}

static void
put_bool(msgpack_packer *pk, const char *key, bool value)
{
	put_key(pk, key);
	(void)(value ? msgpack_pack_true(pk) : msgpack_pack_false(pk));
}

static void
put_histogram(msgpack_packer *pk, const char *key, const struct histogram *h)
{
	put_key(pk, key);
	(void)msgpack_pack_array(pk, HISTOGRAM_BUCKETS + 1);
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		(void)msgpack_pack_uint64(pk, h->counts[i]);
	(void)msgpack_pack_uint64(pk, h->sum_us);
}

/* The figures of a report, of the kinds in the set. */
static void
put_report(msgpack_packer *pk, enum frame_role role, const struct report *r,
           unsigned kinds)
{
	put_key(pk, "stats");
	report_put(pk, role, r, kinds);
}

static void
put_batchd(msgpack_packer *pk, const struct broker *b, uint64_t now_ms)
{
	put_key(pk, "batchd");
	(void)msgpack_pack_map(pk, 4);
	put_uint(pk, "pid", (uint64_t)getpid());
	put_uint(pk, "uptime_ms", now_ms - b->started_ms);
	put_uint(pk, "connections", b->peer_count);
	status_put_text(pk, "state", b->stopping ? "stopping" : "running");
}

static void
put_log(msgpack_packer *pk, const struct broker *b)
{
	static const char *const fsync_names[] = {"always", "interval",
	                                          "never"};
	const struct store *store = &b->store;

	put_key(pk, "log");
	(void)msgpack_pack_map(pk, 17);
	status_put_text(pk, "stream", store->stream_text);
	put_uint(pk, "first_offset", store_first_offset(store));
	put_uint(pk, "oldest_us", (uint64_t)store_oldest_us(store));
	put_uint(pk, "durable_offset", store->durable_offset);
	put_uint(pk, "next_offset", store->next_offset);
	put_uint(pk, "bytes", store->bytes);
	put_uint(pk, "max_bytes", store->conf.max_bytes);
	put_uint(pk, "segments", store->segment_count);
	put_bool(pk, "open", b->intake_open);
	status_put_text(pk, "reason", broker_closed_reason(b));
	put_uint(pk, "lost_events", store->lost_events);
	status_put_text(pk, "fsync", fsync_names[store->conf.fsync]);
	put_uint(pk, "appended_events", store->appended_events);
	put_uint(pk, "appended_bytes", store->appended_bytes);
	put_uint(pk, "bytes_per_s", rate_per_s(&b->append_rate));
	put_uint(pk, "syncs", store->syncs);
	put_histogram(pk, "sync_times", &store->sync_times);
}

/* --- ingestd --- */

static uint64_t
sum_of_gauge(const struct broker *b, size_t figure)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < b->peer_count; i++) {
		const struct peer *p = b->peers[i];

		if (p->state == PEER_INGEST &&
		    p->report.values[figure] <= (uint64_t)INT64_MAX - sum)
			sum += p->report.values[figure];
	}
	return sum;
}

static size_t
ingest_count(const struct broker *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->peer_count; i++)
		n += b->peers[i]->state == PEER_INGEST;
	return n;
}

/* Counters since batchd's start; sums of the gauges of connected ingestd. */
static void
put_ingest(msgpack_packer *pk, const struct broker *b)
{
	size_t count;
	const struct figure *figures = report_figures(ROLE_INGEST, &count);

	put_key(pk, "ingest");
	(void)msgpack_pack_map(pk, count + 1);
	put_uint(pk, "processes", ingest_count(b));
	for (size_t i = 0; i < count; i++)
		put_uint(pk, figures[i].key,
		         figures[i].kind == FIGURE_GAUGE ? sum_of_gauge(b, i)
		                                         : b->ingest.values[i]);
}

/* --- sinks --- */

/* Return true if the sink is connected, and paused with its store closed. */
static bool
is_paused(const struct broker_sink *sink)
{
	return sink->consumer.position.cursor.now.pause.since_us != 0 &&
	       sink->peer && sink->peer->state == PEER_SINK;
}

static void
put_order(msgpack_packer *pk, const struct broker_sink *sink)
{
	const struct cursor_slot *now = &sink->consumer.position.cursor.now;
	const char *order = order_name(&sink->order);

	if (order[0] == '\0')
		order = dead_order_name(&sink->dead_order);
	put_bool(pk, "paused", now->pause.since_us != 0);
	put_uint(pk, "paused_since_us", (uint64_t)now->pause.since_us);
	put_uint(pk, "paused_until_us", (uint64_t)now->pause.until_us);
	status_put_text(pk, "paused_why", now->pause.why);
	put_uint(pk, "paused_uid", now->pause.uid);
	status_put_text(pk, "order", order);
	if (now->seek_to != CURSOR_NO_SEEK) {
		put_uint(pk, "seek_to", now->seek_to);
	} else {
		put_key(pk, "seek_to");
		(void)msgpack_pack_nil(pk);
	}
	put_uint(pk, "generation", now->generation);
	put_uint(pk, "replayed_events", now->replayed_events);
}

/* The state that keeps a connected sink from storing events; NULL: none. */
static const char *
hindrance(const struct broker_sink *sink)
{
	const struct consumer *c = &sink->consumer;
	const struct peer *p = sink->peer;
	const char *state = p->report.texts[SINK_STATE];

	if (is_paused(sink))
		return NULL; /* that is a problem of its own */
	if (!p->has_report || !report_has(&p->report, SINK_STATE))
		return c->state == CONSUMER_DISCONNECTED ? "starting" : NULL;
	return strcmp(state, "idle") == 0 || strcmp(state, "writing") == 0
	           ? NULL
	           : state;
}

/*
 * The latest report.  Its state, its error and its next retry are those of a
 * process, so they are left out when the sink is disconnected.
 */
static void
put_sink_report(msgpack_packer *pk, const struct broker_sink *sink)
{
	const struct peer *p = sink->peer;
	struct report r = sink->report;
	unsigned kinds = REPORT_NO_BUCKETS;

	if (!p)
		r.known &= ~(UINT64_C(1) << SINK_ERROR_SINCE_US |
		             UINT64_C(1) << SINK_NEXT_RETRY_US);
	if (!p || !(report_has(&p->report, SINK_STATE) ||
	            report_has(&p->report, SINK_ERROR)))
		kinds &= ~(1U << FIGURE_TEXT);
	put_report(pk, ROLE_SINK, &r, kinds);
}

static void
put_totals(msgpack_packer *pk, const struct report_sums *sums)
{
	size_t count, n = 0;
	const struct figure *figures = report_figures(ROLE_SINK, &count);

	for (size_t i = 0; i < count; i++)
		n += figures[i].kind == FIGURE_COUNTER;
	put_key(pk, "totals");
	(void)msgpack_pack_map(pk, n);
	for (size_t i = 0; i < count; i++) {
		if (figures[i].kind == FIGURE_COUNTER)
			put_uint(pk, figures[i].key, sums->values[i]);
	}
}

static void
put_sinks(msgpack_packer *pk, const struct broker *b, uint64_t now_ms,
          int64_t now_us)
{
	put_key(pk, "sinks");
	(void)msgpack_pack_array(pk, b->sink_count);
	for (size_t i = 0; i < b->sink_count; i++) {
		const struct broker_sink *sink = &b->sinks[i];
		const struct consumer *c = &sink->consumer;
		const struct peer *p = sink->peer;
		bool in_flight = c->state == CONSUMER_IN_FLIGHT;

		(void)msgpack_pack_map(pk, 26);
		status_put_text(pk, "name", c->position.cursor.name);
		put_bool(pk, "connected", p != NULL);
		put_uint(pk, "pid", p ? p->pid : 0);
		status_put_text(
		    pk, "state",
		    is_paused(sink) ? "paused" : consumer_state_name(c->state));
		put_order(pk, sink);
		put_uint(pk, "committed", c->position.cursor.now.committed);
		put_uint(pk, "in_flight_events",
		         in_flight ? c->batch_end - c->batch_begin : 0);
		put_uint(pk, "stored_events",
		         position_stored_events(&c->position));
		put_uint(pk, "pending_dead_letters",
		         c->position.cursor.now.pending_dead_letters);
		put_uint(pk, "dropped_events", c->position.cursor.now.dropped);
		put_uint(pk, "skipped_events",
		         cursor_skipped(&c->position.cursor));
		put_uint(pk, "lag_events", position_lag_events(&c->position));
		put_uint(pk, "lag_bytes",
		         store_bytes_from(&b->store,
		                          c->position.cursor.now.committed));
		put_uint(pk, "lag_ms", consumer_lag_ms(c, now_ms, now_us));
		put_uint(pk, "events_per_s", rate_per_s(&sink->rate));
		put_histogram(pk, "commit_times", &c->position.commit_times);
		put_totals(pk, &sink->totals);
		put_sink_report(pk, sink);
	}
}

/* --- problems --- */

static void
put_problem(msgpack_packer *pk, uint32_t *count, const char *before,
            const char *subject, const char *after)
{
	char text[FRAME_NAME_MAX + REPORT_TEXT_MAX + 128];

	(*count)++;
	if (!pk)
		return;
	(void)snprintf(text, sizeof text, "%s%s%s", before, subject, after);
	put_key(pk, text);
}

/* "sink S is paused since 2026-01-31T10:00:00Z by uid N: WHY" */
static void
put_pause_problem(msgpack_packer *pk, uint32_t *count,
                  const struct cursor *cursor)
{
	const struct cursor_pause *pause = &cursor->now.pause;
	const time_t since = (time_t)(pause->since_us / 1000000);
	char when[32] = "?", subject[FRAME_NAME_MAX + 96];
	struct tm tm;

	if (pause->since_us == 0)
		return;
	if (gmtime_r(&since, &tm))
		(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)snprintf(subject, sizeof subject,
	               "%s is paused since %s by uid %u%s", cursor->name, when,
	               (unsigned)pause->uid, pause->why[0] ? ": " : "");
	put_problem(pk, count, "sink ", subject, pause->why);
}

/* List the problems.  Returns their number; pk may be NULL. */
static uint32_t
list_problems(msgpack_packer *pk, const struct broker *b)
{
	uint32_t n = 0;
	char lost[32];

	if (!b->intake_open)
		put_problem(pk, &n, "the log takes no events: ",
		            broker_closed_reason(b), "");
	if (ingest_count(b) == 0)
		put_problem(pk, &n, "no ingestd is connected", "", "");
	for (size_t i = 0; i < b->sink_count; i++) {
		const struct consumer *c = &b->sinks[i].consumer;
		const struct peer *p = b->sinks[i].peer;
		const char *state =
		    p ? hindrance(&b->sinks[i]) : "not connected";
		char subject[FRAME_NAME_MAX + 16];

		put_pause_problem(pk, &n, &c->position.cursor);
		(void)snprintf(subject, sizeof subject, "%s is ",
		               c->position.cursor.name);
		if (state)
			put_problem(pk, &n, "sink ", subject, state);
		else if (p->report.texts[SINK_ERROR][0] != '\0')
			put_problem(pk, &n, c->position.cursor.name, ": ",
			            p->report.texts[SINK_ERROR]);
	}
	(void)snprintf(lost, sizeof lost, "%" PRIu64, b->store.lost_events);
	if (b->store.lost_events > 0)
		put_problem(pk, &n, "events lost to damage: ", lost, "");
	return n;
}

static void
put_problems(msgpack_packer *pk, const struct broker *b)
{
	put_key(pk, "problems");
	(void)msgpack_pack_array(pk, list_problems(NULL, b));
	(void)list_problems(pk, b);
}

/* --- daemons --- */

static void
put_daemon(msgpack_packer *pk, const struct peer *p, uint64_t now_ms)
{
	(void)msgpack_pack_map(pk, 5);
	status_put_text(pk, "role", frame_role_name(p->role));
	status_put_text(pk, "name", p->name);
	put_uint(pk, "pid", p->pid);
	put_uint(pk, "connected_ms", now_ms - p->connected_ms);
	put_report(pk, p->role, &p->report, REPORT_NO_BUCKETS);
}

/*
 * List as many peers as fit: daemons first, so that no number of commands can
 * push them off the list.  The length of the list is not known before, so it is
 * written at the end.
 */
static void
put_daemons(msgpack_packer *pk, const struct broker *b, struct buf *out,
            uint64_t now_ms)
{
	static const enum frame_role order[] = {ROLE_INGEST, ROLE_SINK,
	                                        ROLE_TAIL, ROLE_CONTROL};
	static const char header[5] = {(char)0xdd};
	uint32_t listed = 0, omitted = 0;
	size_t at;

	put_key(pk, "daemons");
	at = out->len;
	(void)status_on_write(out, header, sizeof header);
	for (size_t r = 0; r < ARRAY_LEN(order); r++) {
		for (size_t i = 0; i < b->peer_count; i++) {
			const struct peer *p = b->peers[i];
			size_t before = out->len;

			if (p->state == PEER_HELLO || p->role != order[r])
				continue;
			put_daemon(pk, p, now_ms);
			listed++;
			if (out->error != -EMSGSIZE &&
			    out->len + AFTER_DAEMONS_BYTES <= out->max_bytes)
				continue;
			out->len = before;
			out->error = 0;
			listed--;
			omitted++;
		}
	}
	if (out->error == 0) {
		out->data[at + 1] = (uint8_t)(listed >> 24);
		out->data[at + 2] = (uint8_t)(listed >> 16);
		out->data[at + 3] = (uint8_t)(listed >> 8);
		out->data[at + 4] = (uint8_t)listed;
	}
	put_uint(pk, "daemons_omitted", omitted);
}

static void
status_make(struct broker *b)
{
	struct buf *out = &b->status;
	uint64_t now_ms = clock_mono_ms();
	int64_t now_us = clock_wall_us();
	msgpack_packer pk;

	buf_clear(out);
	msgpack_packer_init(&pk, out, status_on_write);
	(void)msgpack_pack_map(&pk, 9);
	status_put_text(&pk, "version", LEAT_VERSION);
	put_uint(&pk, "now_us", (uint64_t)now_us);
	put_problems(&pk, b);
	put_batchd(&pk, b, now_ms);
	put_log(&pk, b);
	put_ingest(&pk, b);
	put_sinks(&pk, b, now_ms, now_us);
	put_daemons(&pk, b, out, now_ms);
	b->status_is_new = b->status_is_recent = out->error == 0;
	if (out->error)
		buf_clear(out);
}

void
status_update(struct broker *b)
{
	if (!b->status_is_new)
		status_make(b);
}

void
status_update_recent(struct broker *b)
{
	if (!b->status_is_recent)
		status_make(b);
}
