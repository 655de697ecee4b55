/* metrics - see metrics.h. */
#include "ingestd/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <msgpack.h>

#define FRESH_MS 1000   /* how long batchd's answer is good for */
#define TIMEOUT_MS 1000 /* how long it is waited for */
#define PAGE_MAX_BYTES (256 * KIB)

/* batchd's status, by the names of docs/protocol.md. */

static const msgpack_object *
find(const msgpack_object *map, const char *key)
{
	size_t n = strlen(key);

	if (!map || map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR &&
		    kv->key.via.str.size == n &&
		    memcmp(kv->key.via.str.ptr, key, n) == 0)
			return &kv->val;
	}
	return NULL;
}

/* Whole numbers and booleans; anything else, or nothing, is 0. */
static int64_t
number(const msgpack_object *map, const char *key)
{
	const msgpack_object *o = find(map, key);

	if (!o)
		return 0;
	if (o->type == MSGPACK_OBJECT_BOOLEAN)
		return o->via.boolean;
	if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		return (int64_t)(o->via.u64 & INT64_MAX);
	return o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER ? o->via.i64 : 0;
}

/* One metric of the log, or of each sink. */
struct metric {
	const char *name, *type, *help;
	const char *key;
	bool in_stats; /* of the sink's own statistics, not of batchd's */
	bool ms;       /* a duration in ms; shown in seconds */
};

static const struct metric log_metrics[] = {
    {"leat_log_first_offset", "gauge", "Oldest event kept.", "first_offset",
     false, false},
    {"leat_log_durable_offset", "gauge", "Everything below is on disk.",
     "durable_offset", false, false},
    {"leat_log_next_offset", "gauge", "Offset of the next event.",
     "next_offset", false, false},
    {"leat_log_bytes", "gauge", "Size of the log on disk.", "bytes", false,
     false},
    {"leat_log_max_bytes", "gauge", "Its budget.", "max_bytes", false, false},
    {"leat_log_segments", "gauge", "Segment files.", "segments", false, false},
    {"leat_log_open", "gauge", "1 while events are taken.", "open", false,
     false},
    {"leat_log_lost_events", "counter", "Events lost to damage.", "lost_events",
     false, false},
    {"leat_log_appended_events_total", "counter", "Events appended.",
     "appended_events", false, false},
    {"leat_log_appended_bytes_total", "counter", "Bytes appended.",
     "appended_bytes", false, false},
    {"leat_log_syncs_total", "counter", "Times the log was synced.", "syncs",
     false, false},
};

static const struct metric sink_metrics[] = {
    {"leat_sink_connected", "gauge", "1 while the sink is connected.",
     "connected", false, false},
    {"leat_sink_committed_offset", "gauge", "The next offset it wants.",
     "committed", false, false},
    {"leat_sink_in_flight_events", "gauge", "Events it is writing.",
     "in_flight_events", false, false},
    {"leat_sink_stored_events", "gauge", "Events of this log in its store.",
     "stored_events", false, false},
    {"leat_sink_set_aside_events", "gauge", "And in its dead letters.",
     "set_aside_events", false, false},
    {"leat_sink_skipped_events", "gauge",
     "Events it will never get: from before its start, or lost.",
     "skipped_events", false, false},
    {"leat_sink_lag_events", "gauge", "Durable events it has not stored.",
     "lag_events", false, false},
    {"leat_sink_lag_seconds", "gauge", "Age of the oldest of these.", "lag_ms",
     false, true},
    {"leat_sink_events_total", "counter", "Events stored by this process.",
     "events", true, false},
    {"leat_sink_batches_total", "counter", "Batches stored.", "batches", true,
     false},
    {"leat_sink_bytes_total", "counter", "Bytes of events stored.", "bytes",
     true, false},
    {"leat_sink_retries_total", "counter", "Writes tried again.", "retries",
     true, false},
    {"leat_sink_dead_letters_total", "counter", "Events set aside.",
     "dead_letters", true, false},
};

static int
add_head(struct buf *out, const char *name, const char *type, const char *help)
{
	return buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
	                type);
}

static int
add_value(struct buf *out, int64_t value, bool ms)
{
	if (ms)
		return buf_addf(out, " %" PRId64 ".%03d\n", value / 1000,
		                (int)(value % 1000));
	return buf_addf(out, " %" PRId64 "\n", value);
}

static int
add_log(struct buf *out, const msgpack_object *log)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(log_metrics); i++) {
		const struct metric *m = &log_metrics[i];

		rc = add_head(out, m->name, m->type, m->help);
		if (rc == 0)
			rc = buf_addf(out, "%s", m->name);
		if (rc == 0)
			rc = add_value(out, number(log, m->key), m->ms);
	}
	return rc;
}

/* Sink names are [a-z0-9-]: no escapes, but they come from outside. */
static int
add_sink(struct buf *out, const struct metric *m, const msgpack_object *sink)
{
	const msgpack_object *name = find(sink, "name");
	int rc;

	if (!name || name->type != MSGPACK_OBJECT_STR ||
	    name->via.str.size > FRAME_NAME_MAX)
		return 0;
	rc = buf_addf(out, "%s{sink=", m->name);
	if (rc == 0)
		rc = buf_add_json_string(out, name->via.str.ptr,
		                         name->via.str.size);
	if (rc == 0)
		rc = buf_add(out, "}", 1);
	if (m->in_stats)
		sink = find(sink, "stats");
	return rc < 0 ? rc : add_value(out, number(sink, m->key), m->ms);
}

static int
add_sinks(struct buf *out, const msgpack_object *sinks)
{
	int rc = 0;

	if (!sinks || sinks->type != MSGPACK_OBJECT_ARRAY)
		return 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sink_metrics); i++) {
		const struct metric *m = &sink_metrics[i];

		rc = add_head(out, m->name, m->type, m->help);
		for (uint32_t s = 0; rc == 0 && s < sinks->via.array.size; s++)
			rc = add_sink(out, m, &sinks->via.array.ptr[s]);
	}
	return rc;
}

static void
set_status(struct metrics *m, const uint8_t *map, size_t n)
{
	msgpack_unpacked u;
	int rc = 0;

	buf_clear(&m->status);
	if (!map)
		return;
	msgpack_unpacked_init(&u);
	if (msgpack_unpack_next(&u, (const char *)map, n, NULL) !=
	    MSGPACK_UNPACK_SUCCESS)
		rc = -EBADMSG;
	if (rc == 0)
		rc = add_log(&m->status, find(&u.data, "log"));
	if (rc == 0)
		rc = add_sinks(&m->status, find(&u.data, "sinks"));
	if (rc < 0)
		buf_clear(&m->status);
	msgpack_unpacked_destroy(&u);
}

/* Asking. */

static void
wake(struct metrics *m)
{
	struct metrics_waiter *w = m->waiters, *next;

	m->waiters = NULL;
	m->has_status = true;
	m->status_ms = uv_now(m->loop);
	for (; w; w = next) {
		next = w->next;
		w->on_ready(w);
	}
}

static void
on_timeout(uv_timer_t *timer)
{
	struct metrics *m = timer->data;

	question_drop(&m->question);
	set_status(m, NULL, 0);
	wake(m);
}

static void
on_answer(void *arg, const uint8_t *map, size_t n)
{
	struct metrics *m = arg;

	(void)uv_timer_stop(&m->timeout);
	set_status(m, map, n);
	wake(m);
}

bool
metrics_refresh(struct metrics *m, struct metrics_waiter *w)
{
	if (m->has_status && uv_now(m->loop) - m->status_ms < FRESH_MS)
		return true;
	if (!question_asked(&m->question)) {
		if (question_ask(&m->question, "status") < 0) {
			set_status(m, NULL, 0);
			return true;
		}
		(void)uv_timer_start(&m->timeout, on_timeout, TIMEOUT_MS, 0);
	}
	w->next = m->waiters;
	m->waiters = w;
	return false;
}

/* Their names need no escapes: TOKEN_NAME_MAX. */
static int
add_token_metric(struct buf *out, const struct tokens *tokens, const char *name,
                 const char *help, size_t offset)
{
	int rc = add_head(out, name, "counter", help);

	for (size_t i = 0; rc == 0 && i < tokens->count; i++) {
		const struct token *t = tokens->list[i];
		const char *value = (const char *)t + offset;

		rc = buf_addf(out, "%s{token=\"%s\"} %" PRIu64 "\n", name,
		              t->name, *(const uint64_t *)(const void *)value);
	}
	return rc;
}

static int
add_tokens(struct buf *out, const struct tokens *tokens)
{
	int rc = 0;

	if (tokens->count == 0)
		return 0;
	rc = add_token_metric(out, tokens, "leat_ingestd_token_requests_total",
	                      "Requests with the token.",
	                      offsetof(struct token, requests));
	if (rc == 0)
		rc = add_token_metric(out, tokens,
		                      "leat_ingestd_token_events_total",
		                      "Events of the token answered with 202.",
		                      offsetof(struct token, events));
	if (rc == 0)
		rc = add_token_metric(
		    out, tokens, "leat_ingestd_token_refused_total",
		    "Requests with the token answered with 4xx.",
		    offsetof(struct token, refused));
	return rc;
}

int
metrics_render(const struct metrics *m, struct buf *out)
{
	const struct counters *c = m->counters;
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} own[] = {
	    {"leat_ingestd_requests_total", "counter", "HTTP requests.",
	     c->requests},
	    {"leat_ingestd_body_bytes_total", "counter",
	     "Bytes of request bodies, as sent.", c->body_bytes},
	    {"leat_ingestd_accepted_events_total", "counter",
	     "Events answered with 202.", c->accepted_events},
	    {"leat_ingestd_rejected_events_total", "counter",
	     "Events refused for what they hold.", c->rejected_events},
	    {"leat_ingestd_unknown_events_total", "counter",
	     "Events answered with 504: whether they are kept is unknown.",
	     c->unknown_events},
	    {"leat_ingestd_ignored_fields_total", "counter",
	     "Unknown fields that were ignored (unknown_fields = ignore).",
	     c->ignored_fields},
	    {"leat_ingestd_pending_bytes", "gauge",
	     "Bytes held for requests under way.", m->budget->used_bytes},
	    {"leat_ingestd_pending_requests", "gauge",
	     "Requests that wait for durability.", m->upstream->waiting},
	    {"leat_ingestd_connections", "gauge", "HTTP connections.",
	     c->connections},
	    {"leat_ingestd_connections_overdue_total", "counter",
	     "Connections closed for a request that did not come to its end.",
	     c->connections_overdue},
	    {"leat_ingestd_connections_evicted_total", "counter",
	     "Connections closed to make room for others.",
	     c->connections_evicted},
	    {"leat_ingestd_malformed_requests_total", "counter",
	     "Requests that are not well-formed HTTP.", c->malformed},
	    {"leat_ingestd_unauthorized_total", "counter",
	     "Requests without a good token.", c->unauthorized},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(own); i++) {
		rc = add_head(out, own[i].name, own[i].type, own[i].help);
		if (rc == 0)
			rc = buf_addf(out, "%s %" PRIu64 "\n", own[i].name,
			              own[i].value);
	}
	if (rc == 0)
		rc = add_head(out, "leat_ingestd_responses_total", "counter",
		              "HTTP responses.");
	if (rc == 0)
		rc = buf_addf(
		    out,
		    "leat_ingestd_responses_total{code=\"2xx\"} %" PRIu64 "\n"
		    "leat_ingestd_responses_total{code=\"4xx\"} %" PRIu64 "\n"
		    "leat_ingestd_responses_total{code=\"503\"} %" PRIu64 "\n"
		    "leat_ingestd_responses_total{code=\"504\"} %" PRIu64 "\n",
		    c->responses_2xx, c->responses_4xx, c->responses_503,
		    c->responses_504);
	if (rc == 0)
		rc = add_tokens(out, m->tokens);
	if (rc == 0)
		rc = add_head(out, "leat_up", "gauge",
		              "1 while the daemon can be reached.");
	if (rc == 0)
		rc = buf_addf(out,
		              "leat_up{daemon=\"ingestd\"} 1\n"
		              "leat_up{daemon=\"batchd\"} %d\n",
		              m->status.len > 0);
	if (rc == 0)
		rc = buf_add(out, m->status.data, m->status.len);
	return rc;
}

void
metrics_send_stats(struct metrics *m)
{
	const struct counters *c = m->counters;
	const struct {
		const char *key;
		uint64_t value;
	} stats[] = {
	    {"requests", c->requests},
	    {"accepted_events", c->accepted_events},
	    {"rejected_events", c->rejected_events},
	    {"pending_bytes", m->budget->used_bytes},
	    {"pending_requests", m->upstream->waiting},
	    {"connections", c->connections},
	    {"responses_2xx", c->responses_2xx},
	    {"responses_4xx", c->responses_4xx},
	    {"responses_503", c->responses_503},
	    {"responses_504", c->responses_504},
	};
	msgpack_sbuffer out;
	msgpack_packer pk;
	int rc;

	msgpack_sbuffer_init(&out);
	msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
	rc = msgpack_pack_map(&pk, ARRAY_LEN(stats));
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(stats); i++) {
		rc = msgpack_pack_str_with_body(&pk, stats[i].key,
		                                strlen(stats[i].key));
		if (rc == 0)
			rc = msgpack_pack_uint64(&pk, stats[i].value);
	}
	/* It fails when out of memory; the next second's will do. */
	if (rc == 0)
		upstream_send_stats(m->upstream, out.data, out.size);
	msgpack_sbuffer_destroy(&out);
}

void
metrics_open(struct metrics *m, uv_loop_t *loop, const char *socket,
             const struct counters *counters, const struct budget *budget,
             struct upstream *upstream, const struct tokens *tokens)
{
	*m = (struct metrics){.counters = counters,
	                      .tokens = tokens,
	                      .budget = budget,
	                      .upstream = upstream,
	                      .loop = loop,
	                      .question = {.loop = loop,
	                                   .socket = socket,
	                                   .on_answer = on_answer,
	                                   .arg = m,
	                                   .chan = {.fd = -1}}};
	buf_init(&m->status, PAGE_MAX_BYTES);
	(void)uv_timer_init(loop, &m->timeout); /* cannot fail */
	m->timeout.data = m;
}

void
metrics_close(struct metrics *m)
{
	if (!m->loop || uv_is_closing((uv_handle_t *)&m->timeout))
		return;
	uv_close((uv_handle_t *)&m->timeout, NULL);
	question_drop(&m->question);
	wake(m);
}

void
metrics_fini(struct metrics *m)
{
	buf_fini(&m->status);
}
