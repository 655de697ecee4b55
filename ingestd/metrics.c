/* metrics - see metrics.h. */
#include "ingestd/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <msgpack.h>

#include "libproto/status_map.h"

/* batchd pushes once a second; without a push for so long it has stopped. */
#define STALE_MS 3000

/* One series of the log or of a sink, by the keys of batchd's status map. */
struct metric {
	const char *name, *type, *help;
	const char *map; /* within the log's or sink's map; NULL: that itself */
	const char *key;
	bool ms; /* a duration in ms; shown in seconds */
};

static const struct metric log_metrics[] = {
    {"leat_log_first_offset", "gauge", "Oldest event kept.", NULL,
     "first_offset", false},
    {"leat_log_durable_offset", "gauge", "Everything below is on disk.", NULL,
     "durable_offset", false},
    {"leat_log_next_offset", "gauge", "Offset of the next event.", NULL,
     "next_offset", false},
    {"leat_log_bytes", "gauge", "Size of the log on disk.", NULL, "bytes",
     false},
    {"leat_log_max_bytes", "gauge", "Its budget.", NULL, "max_bytes", false},
    {"leat_log_segments", "gauge", "Segment files.", NULL, "segments", false},
    {"leat_log_open", "gauge", "1 while events are taken.", NULL, "open",
     false},
    {"leat_log_lost_events_total", "counter", "Events lost to damage.", NULL,
     "lost_events", false},
    {"leat_log_appended_events_total", "counter", "Events appended.", NULL,
     "appended_events", false},
    {"leat_log_appended_bytes_total", "counter", "Bytes appended.", NULL,
     "appended_bytes", false},
    {"leat_log_syncs_total", "counter", "Times the log was synced.", NULL,
     "syncs", false},
};

static const struct metric sink_metrics[] = {
    {"leat_sink_connected", "gauge", "1 while the sink is connected.", NULL,
     "connected", false},
    {"leat_sink_committed_offset", "gauge", "The next offset it wants.", NULL,
     "committed", false},
    {"leat_sink_in_flight_events", "gauge", "Events it is writing.", NULL,
     "in_flight_events", false},
    {"leat_sink_stored_events", "gauge", "Events of this log in its store.",
     NULL, "stored_events", false},
    {"leat_sink_pending_dead_letters", "gauge",
     "Events of this log in its dead letters, which can be retried.", NULL,
     "pending_dead_letters", false},
    {"leat_sink_dropped_events", "gauge",
     "Refused events that were only counted, for want of room.", NULL,
     "dropped_events", false},
    {"leat_sink_skipped_events", "gauge",
     "Events it will never get: from before its start, or lost.", NULL,
     "skipped_events", false},
    {"leat_sink_lag_events", "gauge", "Durable events it has not stored.", NULL,
     "lag_events", false},
    {"leat_sink_lag_bytes", "gauge", "Their bytes in the log, estimated.", NULL,
     "lag_bytes", false},
    {"leat_sink_lag_seconds", "gauge", "Age of the oldest of these.", NULL,
     "lag_ms", true},
    {"leat_sink_dead_letters", "gauge", "Dead letters that it has now.",
     "stats", "dead_letters", false},
    {"leat_sink_dead_letter_bytes", "gauge", "Bytes of its dead letters.",
     "stats", "dead_bytes", false},
    {"leat_sink_dead_letter_max_bytes", "gauge",
     "What they may use before refused events are only counted.", "stats",
     "dead_max_bytes", false},
    {"leat_sink_dead_letters_without_payload", "gauge",
     "Dead letters that were beyond their share.", "stats",
     "dead_without_payload", false},
    {"leat_sink_dead_lettered_events_total", "counter",
     "Events moved to the dead letters.", "totals", "dead_lettered_events",
     false},
    {"leat_sink_events_total", "counter", "Events stored.", "totals", "events",
     false},
    {"leat_sink_duplicates_total", "counter",
     "Events not stored again, because the store has their id.", "totals",
     "duplicates", false},
    {"leat_sink_batches_total", "counter", "Batches stored.", "totals",
     "batches", false},
    {"leat_sink_bytes_total", "counter", "Bytes of events stored.", "totals",
     "bytes", false},
    {"leat_sink_retries_total", "counter", "Writes tried again.", "totals",
     "retries", false},
};

/* One series of the sum over all ingestd processes, and of each of them. */
struct ingest_metric {
	const char *name, *type, *help; /* name: after the prefix */
	enum ingest_figure figure;
	const char *label; /* or NULL; those of one name follow each other */
};

static const struct ingest_metric ingest_metrics[] = {
    {"requests_total", "counter", "HTTP requests.", INGEST_REQUESTS, NULL},
    {"body_bytes_total", "counter", "Bytes of request bodies, as sent.",
     INGEST_BODY_BYTES, NULL},
    {"accepted_events_total", "counter", "Events answered with 202.",
     INGEST_ACCEPTED_EVENTS, NULL},
    {"rejected_events_total", "counter", "Events refused for what they hold.",
     INGEST_REJECTED_EVENTS, NULL},
    {"pending_bytes", "gauge", "Bytes held for requests under way.",
     INGEST_PENDING_BYTES, NULL},
    {"pending_requests", "gauge", "Requests that wait for durability.",
     INGEST_PENDING_REQUESTS, NULL},
    {"connections", "gauge", "HTTP connections.", INGEST_CONNECTIONS, NULL},
    {"connections_overdue_total", "counter",
     "Connections closed for a request that did not come to its end.",
     INGEST_CONNECTIONS_OVERDUE, NULL},
    {"connections_evicted_total", "counter",
     "Connections closed to make room for others.", INGEST_CONNECTIONS_EVICTED,
     NULL},
    {"malformed_requests_total", "counter",
     "Requests that are not well-formed HTTP.", INGEST_MALFORMED, NULL},
    {"unknown_events_total", "counter",
     "Events answered with 504: whether they are kept is unknown.",
     INGEST_UNKNOWN_EVENTS, NULL},
    {"ignored_fields_total", "counter",
     "Unknown fields that were ignored (unknown_fields = ignore).",
     INGEST_IGNORED_FIELDS, NULL},
    {"unauthorized_total", "counter", "Requests without a good token.",
     INGEST_UNAUTHORIZED, NULL},
    {"responses_total", "counter", "HTTP responses.", INGEST_RESPONSES_2XX,
     "code=\"2xx\""},
    {"responses_total", "counter", "HTTP responses.", INGEST_RESPONSES_4XX,
     "code=\"4xx\""},
    {"responses_total", "counter", "HTTP responses.", INGEST_RESPONSES_503,
     "code=\"503\""},
    {"responses_total", "counter", "HTTP responses.", INGEST_RESPONSES_504,
     "code=\"504\""},
};

/* batchd's status, by the names of docs/protocol.md. */

/* A whole number of at least 0, or a boolean.  Returns whether it is one. */
static bool
number_of(const msgpack_object *o, uint64_t *value)
{
	if (o && o->type == MSGPACK_OBJECT_BOOLEAN)
		*value = o->via.boolean;
	else if (o && o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		*value = o->via.u64;
	else
		return false;
	return true;
}

static bool
number(const msgpack_object *map, const char *key, uint64_t *value)
{
	return number_of(status_map_get(map, key), value);
}

/* The items of an array; 0 for anything else. */
static uint32_t
items(const msgpack_object *o, const msgpack_object **first)
{
	if (!o || o->type != MSGPACK_OBJECT_ARRAY)
		return 0;
	*first = o->via.array.ptr;
	return o->via.array.size;
}

static int
add_head(struct buf *out, const char *prefix, const char *name,
         const char *type, const char *help)
{
	return buf_addf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name,
	                help, prefix, name, type);
}

static int
add_value(struct buf *out, uint64_t value, bool ms)
{
	if (ms)
		return buf_addf(out, " %" PRIu64 ".%03u\n", value / 1000,
		                (unsigned)(value % 1000));
	return buf_addf(out, " %" PRIu64 "\n", value);
}

/* `label` is empty, or ends with a comma. */
static int
add_histogram(struct buf *out, const char *name, const char *label,
              const struct histogram *h)
{
	uint64_t sum = 0;
	size_t cut = strlen(label);
	int rc = 0;

	for (int i = 0; rc == 0 && i < HISTOGRAM_BUCKETS; i++) {
		sum += h->counts[i];
		if (i < HISTOGRAM_BOUNDS)
			rc = buf_addf(
			    out, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name,
			    label, (double)histogram_bounds_us[i] / 1e6, sum);
		else
			rc = buf_addf(out,
			              "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n",
			              name, label, sum);
	}
	if (cut > 0)
		cut--; /* the comma */
	for (int i = 0; rc == 0 && i < 2; i++) {
		rc = buf_addf(out, cut > 0 ? "%s_%s{%.*s}" : "%s_%s%.*s", name,
		              i == 0 ? "sum" : "count", (int)cut, label);
		if (rc == 0 && i == 0)
			rc = buf_addf(out, " %" PRIu64 ".%06u\n",
			              h->sum_us / 1000000,
			              (unsigned)(h->sum_us % 1000000));
		else if (rc == 0)
			rc = add_value(out, sum, false);
	}
	return rc;
}

/* As batchd sends one of its own: the counts, then the sum. */
static bool
histogram_of(const msgpack_object *o, struct histogram *h)
{
	const msgpack_object *list = NULL;

	if (items(o, &list) != HISTOGRAM_BUCKETS + 1)
		return false;
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!number_of(&list[i], &h->counts[i]))
			return false;
	}
	return number_of(&list[HISTOGRAM_BUCKETS], &h->sum_us);
}

static int
add_log(struct buf *out, const msgpack_object *log)
{
	static const char sync[] = "leat_log_sync_seconds";
	struct histogram h;
	uint64_t value;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(log_metrics); i++) {
		const struct metric *m = &log_metrics[i];

		if (!number(log, m->key, &value))
			continue;
		rc = add_head(out, "", m->name, m->type, m->help);
		if (rc == 0)
			rc = buf_addf(out, "%s", m->name);
		if (rc == 0)
			rc = add_value(out, value, m->ms);
	}
	if (rc < 0 || !histogram_of(status_map_get(log, "sync_times"), &h))
		return rc;
	rc = add_head(out, "", sync, "histogram",
	              "Time that a sync of the log took.");
	return rc < 0 ? rc : add_histogram(out, sync, "", &h);
}

/* sink="name",  Names are [a-z0-9-], but they come from outside. */
static int
sink_label(const msgpack_object *sink, char out[FRAME_NAME_MAX + 16])
{
	const msgpack_object *name = status_map_get(sink, "name");

	if (!name || name->type != MSGPACK_OBJECT_STR ||
	    name->via.str.size > FRAME_NAME_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < name->via.str.size; i++) {
		if (strchr("\"\\\n", name->via.str.ptr[i]))
			return -EBADMSG; /* NUL, too */
	}
	(void)snprintf(out, FRAME_NAME_MAX + 16, "sink=\"%.*s\",",
	               (int)name->via.str.size, name->via.str.ptr);
	return 0;
}

/* What a sink has never reported is left out. */
static int
add_sink(struct buf *out, const struct metric *m, const msgpack_object *sink)
{
	char label[FRAME_NAME_MAX + 16];
	uint64_t value;
	int rc;

	if (sink_label(sink, label) < 0 ||
	    !number(m->map ? status_map_get(sink, m->map) : sink, m->key,
	            &value))
		return 0;
	rc = buf_addf(out, "%s{%.*s}", m->name, (int)strlen(label) - 1, label);
	return rc < 0 ? rc : add_value(out, value, m->ms);
}

static int
add_sinks(struct buf *out, const msgpack_object *sinks)
{
	static const char commit[] = "leat_sink_commit_seconds";
	const msgpack_object *list = NULL;
	uint32_t n = items(sinks, &list);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sink_metrics); i++) {
		const struct metric *m = &sink_metrics[i];

		rc = add_head(out, "", m->name, m->type, m->help);
		for (uint32_t s = 0; rc == 0 && s < n; s++)
			rc = add_sink(out, m, &list[s]);
	}
	if (rc == 0)
		rc = add_head(out, "", commit, "histogram",
		              "Time from durable to committed, of events.");
	for (uint32_t s = 0; rc == 0 && s < n; s++) {
		char label[FRAME_NAME_MAX + 16];
		struct histogram h;

		if (sink_label(&list[s], label) == 0 &&
		    histogram_of(status_map_get(&list[s], "commit_times"), &h))
			rc = add_histogram(out, commit, label, &h);
	}
	return rc;
}

/* The sums over all ingestd processes, and each of these. */

static const char *
key_of(enum ingest_figure figure)
{
	size_t count;

	return report_figures(ROLE_INGEST, &count)[figure].key;
}

/* "name{labels}"; any of the two may be NULL. */
static int
add_name(struct buf *out, const char *prefix, const char *name, const char *one,
         const char *two)
{
	return buf_addf(out, "%s%s%s%s%s%s%s", prefix, name,
	                one || two ? "{" : "", one ? one : "",
	                one && two ? "," : "", two ? two : "",
	                one || two ? "}" : "");
}

/* Whether the name is the one of the line before: it has had its head. */
static bool
is_next_of(const struct ingest_metric *m)
{
	return m > ingest_metrics && strcmp(m->name, m[-1].name) == 0;
}

static int
add_sums(struct buf *out, const msgpack_object *ingest)
{
	static const char prefix[] = "leat_ingestd_";
	static const char durable[] = "leat_ingestd_durable_seconds";
	const char *key = key_of(INGEST_DURABLE_SUM_US);
	struct histogram h;
	uint64_t value;
	bool has = number(ingest, key, &h.sum_us);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(ingest_metrics); i++) {
		const struct ingest_metric *m = &ingest_metrics[i];

		if (!number(ingest, key_of(m->figure), &value))
			continue;
		if (!is_next_of(m))
			rc = add_head(out, prefix, m->name, m->type, m->help);
		if (rc == 0)
			rc = add_name(out, prefix, m->name, m->label, NULL);
		if (rc == 0)
			rc = add_value(out, value, false);
	}
	for (int i = 0; has && i < HISTOGRAM_BUCKETS; i++)
		has = number(ingest,
		             key_of((enum ingest_figure)(INGEST_DURABLE + i)),
		             &h.counts[i]);
	if (rc < 0 || !has)
		return rc;
	rc = add_head(out, "", durable, "histogram",
	              "Time from a request's body to its answer 202.");
	return rc < 0 ? rc : add_histogram(out, durable, "", &h);
}

/*
 * An ingestd among the daemons, and its pid.  Two may have the same one, in
 * two containers: the second is in the sums only, since a page with a series
 * twice is refused whole.
 */
static bool
is_process(const msgpack_object *daemons, uint32_t at, uint64_t *pid)
{
	uint64_t other;

	if (!status_map_text_is(status_map_get(&daemons[at], "role"),
	                        frame_role_name(ROLE_INGEST)) ||
	    !number(&daemons[at], "pid", pid))
		return false;
	for (uint32_t i = 0; i < at; i++) {
		if (status_map_text_is(status_map_get(&daemons[i], "role"),
		                       frame_role_name(ROLE_INGEST)) &&
		    number(&daemons[i], "pid", &other) && other == *pid)
			return false;
	}
	return true;
}

static int
add_process(struct buf *out, const struct ingest_metric *m, uint64_t pid,
            uint64_t value)
{
	char label[48];
	int rc;

	(void)snprintf(label, sizeof label, "process=\"%" PRIu64 "\"", pid);
	rc = add_name(out, "leat_ingestd_process_", m->name, label, m->label);
	return rc < 0 ? rc : add_value(out, value, false);
}

/* The `daemons` of batchd's status; if `own` is not NULL, these figures. */
static int
add_processes(struct buf *out, const msgpack_object *daemons,
              const struct report *own)
{
	static const char prefix[] = "leat_ingestd_process_";
	const msgpack_object *list = NULL;
	uint32_t n = items(daemons, &list);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(ingest_metrics); i++) {
		const struct ingest_metric *m = &ingest_metrics[i];
		uint64_t pid, value;

		if (!is_next_of(m))
			rc = add_head(out, prefix, m->name, m->type, m->help);
		if (rc == 0 && own)
			rc = add_process(out, m, (uint64_t)getpid(),
			                 own->values[m->figure]);
		for (uint32_t d = 0; rc == 0 && d < n; d++) {
			if (is_process(list, d, &pid) &&
			    number(status_map_get(&list[d], "stats"),
			           key_of(m->figure), &value))
				rc = add_process(out, m, pid, value);
		}
	}
	return rc;
}

/* Everything that batchd knows. */
static int
add_status(struct buf *out, const msgpack_object *status)
{
	const msgpack_object *list = NULL;
	uint64_t processes;
	int rc = add_head(out, "", "leat_problems", "gauge",
	                  "What is not well, counted: see leat status.");

	if (rc == 0)
		rc = buf_addf(out, "leat_problems %u\n",
		              items(status_map_get(status, "problems"), &list));
	if (rc == 0 &&
	    number(status_map_get(status, "ingest"), "processes", &processes)) {
		rc = add_head(out, "", "leat_ingestd_processes", "gauge",
		              "ingestd processes connected to batchd.");
		if (rc == 0)
			rc = buf_addf(out,
			              "leat_ingestd_processes %" PRIu64 "\n",
			              processes);
	}
	if (rc == 0)
		rc = add_log(out, status_map_get(status, "log"));
	if (rc == 0)
		rc = add_sinks(out, status_map_get(status, "sinks"));
	if (rc == 0)
		rc = add_sums(out, status_map_get(status, "ingest"));
	return rc < 0 ? rc
	              : add_processes(out, status_map_get(status, "daemons"),
	                              NULL);
}

/* The names of tokens need no escapes: TOKEN_NAME_MAX. */
static int
add_token_metric(struct buf *out, const struct tokens *tokens, const char *name,
                 const char *help, size_t offset)
{
	int rc = add_head(out, "", name, "counter", help);

	for (size_t i = 0; rc == 0 && i < tokens->count; i++) {
		const struct token *t = tokens->list[i];
		const char *value = (const char *)t + offset;

		rc = buf_addf(out,
		              "%s{process=\"%" PRIu64
		              "\",token=\"%s\"} %" PRIu64 "\n",
		              name, (uint64_t)getpid(), t->name,
		              *(const uint64_t *)(const void *)value);
	}
	return rc;
}

/* batchd does not have these: those of the process that answers. */
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

/* This process's figures now. */
static struct report
report_now(const struct metrics *m)
{
	const struct counters *c = m->counters;
	const struct {
		enum ingest_figure figure;
		uint64_t value;
	} own[] = {
	    {INGEST_REQUESTS, c->requests},
	    {INGEST_BODY_BYTES, c->body_bytes},
	    {INGEST_ACCEPTED_EVENTS, c->accepted_events},
	    {INGEST_REJECTED_EVENTS, c->rejected_events},
	    {INGEST_PENDING_BYTES, m->budget->used_bytes},
	    {INGEST_PENDING_REQUESTS, m->batchd_client->queue.pending_count},
	    {INGEST_CONNECTIONS, c->connections},
	    {INGEST_CONNECTIONS_OVERDUE, c->connections_overdue},
	    {INGEST_CONNECTIONS_EVICTED, c->connections_evicted},
	    {INGEST_MALFORMED, c->malformed},
	    {INGEST_UNKNOWN_EVENTS, c->unknown_events},
	    {INGEST_IGNORED_FIELDS, c->ignored_fields},
	    {INGEST_UNAUTHORIZED, c->unauthorized},
	    {INGEST_RESPONSES_2XX, c->responses_2xx},
	    {INGEST_RESPONSES_4XX, c->responses_4xx},
	    {INGEST_RESPONSES_503, c->responses_503},
	    {INGEST_RESPONSES_504, c->responses_504},
	    {INGEST_DURABLE_SUM_US, c->durable.sum_us},
	};
	struct report r = {0};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		report_set(&r, own[i].figure, own[i].value);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		report_set(&r, INGEST_DURABLE + i, c->durable.counts[i]);
	return r;
}

/*
 * batchd's part of the page, or what there is without batchd.  Sums are left
 * out then: those of this process alone would look like counters that were
 * reset.
 */
static int
add_pushed(const struct metrics *m, struct buf *out)
{
	const struct batchd_client *client = m->batchd_client;
	const struct report own = report_now(m);
	bool up = client->status.len > 0 &&
	          uv_now(client->loop) - client->status_ms < STALE_MS;
	msgpack_unpacked status;
	int rc;

	msgpack_unpacked_init(&status);
	up = up && msgpack_unpack_next(
		       &status, (const char *)client->status.data,
		       client->status.len, NULL) == MSGPACK_UNPACK_SUCCESS;
	rc = add_head(out, "", "leat_up", "gauge",
	              "1 while the daemon can be reached.");
	if (rc == 0)
		rc = buf_addf(out,
		              "leat_up{daemon=\"ingestd\"} 1\n"
		              "leat_up{daemon=\"batchd\"} %d\n",
		              up);
	if (rc == 0)
		rc = up ? add_status(out, &status.data)
		        : add_processes(out, NULL, &own);
	msgpack_unpacked_destroy(&status);
	return rc;
}

int
metrics_render(const struct metrics *m, struct buf *out)
{
	int rc = add_pushed(m, out);

	return rc < 0 ? rc : add_tokens(out, m->tokens);
}

void
metrics_report(struct metrics *m)
{
	const struct report now = report_now(m);
	const struct report base = report_base(ROLE_INGEST, &now, &m->sent);
	uint8_t map[REPORT_PACKED_MAX];
	struct batchd_client *client = m->batchd_client;

	if (m->connect != client->connects &&
	    batchd_client_send_stats(client, map,
	                             report_pack(ROLE_INGEST, &base, map)))
		m->connect = client->connects;
	if (m->connect == client->connects &&
	    batchd_client_send_stats(client, map,
	                             report_pack(ROLE_INGEST, &now, map)))
		m->sent = now;
}

void
metrics_init(struct metrics *m, const struct counters *counters,
             const struct budget *budget, struct batchd_client *batchd_client,
             const struct tokens *tokens)
{
	*m = (struct metrics){.counters = counters,
	                      .budget = budget,
	                      .batchd_client = batchd_client,
	                      .tokens = tokens};
}
