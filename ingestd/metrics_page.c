/* metrics_page - see metrics_page.h. */
#include "ingestd/metrics_page.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <msgpack.h>

#include "ingestd/metrics_table.h"
#include "libproto/status_map.h"

/* batchd sends its status once a second; an older one is not shown. */
#define STALE_MS 3000

/* Values in batchd's status; docs/protocol.md lists the keys. */

/* Get an integer of at least 0, or a boolean; false for anything else. */
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
status_number(const msgpack_object *map, const char *key, uint64_t *value)
{
	return number_of(status_map_get(map, key), value);
}

/* Return the number of items in an array, or 0 for anything else. */
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
add_metric_value(struct buf *out, uint64_t value, bool ms)
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
	size_t label_bytes = strlen(label);
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
	if (label_bytes > 0)
		label_bytes--; /* without the comma */
	for (int i = 0; rc == 0 && i < 2; i++) {
		rc = buf_addf(
		    out, label_bytes > 0 ? "%s_%s{%.*s}" : "%s_%s%.*s", name,
		    i == 0 ? "sum" : "count", (int)label_bytes, label);
		if (rc == 0 && i == 0)
			rc = buf_addf(out, " %" PRIu64 ".%06u\n",
			              h->sum_us / 1000000,
			              (unsigned)(h->sum_us % 1000000));
		else if (rc == 0)
			rc = add_metric_value(out, sum, false);
	}
	return rc;
}

/* batchd sends a histogram as an array: the counts, then the sum. */
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

	for (size_t i = 0; rc == 0 && i < METRICS_LOG; i++) {
		const struct metric *m = &log_metrics[i];

		if (!status_number(log, m->key, &value))
			continue;
		rc = add_head(out, "", m->name, m->type, m->help);
		if (rc == 0)
			rc = buf_addf(out, "%s", m->name);
		if (rc == 0)
			rc = add_metric_value(out, value, m->ms);
	}
	if (rc < 0 || !histogram_of(status_map_get(log, "sync_times"), &h))
		return rc;
	rc = add_head(out, "", sync, "histogram",
	              "Time that a sync of the log took.");
	return rc < 0 ? rc : add_histogram(out, sync, "", &h);
}

/*
 * Write the label sink="name" and a comma.  Names consist of a-z, 0-9 and -,
 * but this one comes from another process, so anything else is refused.
 */
static int
sink_label(const msgpack_object *sink, char out[FRAME_NAME_MAX + 16])
{
	const msgpack_object *name = status_map_get(sink, "name");

	if (!name || name->type != MSGPACK_OBJECT_STR ||
	    name->via.str.size > FRAME_NAME_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < name->via.str.size; i++) {
		if (strchr("\"\\\n", name->via.str.ptr[i]))
			return -EBADMSG; /* strchr finds NUL, too */
	}
	(void)snprintf(out, FRAME_NAME_MAX + 16, "sink=\"%.*s\",",
	               (int)name->via.str.size, name->via.str.ptr);
	return 0;
}

/* A sink that has never reported the value gets no line. */
static int
add_sink(struct buf *out, const struct metric *m, const msgpack_object *sink)
{
	char label[FRAME_NAME_MAX + 16];
	uint64_t value;
	int rc;

	if (sink_label(sink, label) < 0 ||
	    !status_number(m->map ? status_map_get(sink, m->map) : sink, m->key,
	                   &value))
		return 0;
	rc = buf_addf(out, "%s{%.*s}", m->name, (int)strlen(label) - 1, label);
	return rc < 0 ? rc : add_metric_value(out, value, m->ms);
}

static int
add_sink_metrics(struct buf *out, const msgpack_object *sinks)
{
	static const char commit[] = "leat_sink_commit_seconds";
	const msgpack_object *list = NULL;
	uint32_t n = items(sinks, &list);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < METRICS_SINK; i++) {
		const struct metric *m = &sink_metrics[i];

		rc = add_head(out, "", m->name, m->type, m->help);
		for (uint32_t s = 0; rc == 0 && s < n; s++)
			rc = add_sink(out, m, &list[s]);
	}
	if (rc == 0)
		rc = add_head(out, "", commit, "histogram",
		              "Time from durable to committed, per event.");
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
figure_key(enum ingest_figure figure)
{
	size_t count;

	return report_figures(ROLE_INGEST, &count)[figure].key;
}

/* Write "name{one,two}"; either label may be NULL. */
static int
add_name(struct buf *out, const char *prefix, const char *name, const char *one,
         const char *two)
{
	return buf_addf(out, "%s%s%s%s%s%s%s", prefix, name,
	                one || two ? "{" : "", one ? one : "",
	                one && two ? "," : "", two ? two : "",
	                one || two ? "}" : "");
}

/* Return true if the row before has the same name, and wrote the head. */
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
	const char *key = figure_key(INGEST_DURABLE_SUM_US);
	struct histogram h;
	uint64_t value;
	bool has = status_number(ingest, key, &h.sum_us);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < METRICS_INGEST; i++) {
		const struct ingest_metric *m = &ingest_metrics[i];

		if (!status_number(ingest, figure_key(m->figure), &value))
			continue;
		if (!is_next_of(m))
			rc = add_head(out, prefix, m->name, m->type, m->help);
		if (rc == 0)
			rc = add_name(out, prefix, m->name, m->label, NULL);
		if (rc == 0)
			rc = add_metric_value(out, value, false);
	}
	for (int i = 0; has && i < HISTOGRAM_BUCKETS; i++)
		has = status_number(
		    ingest,
		    figure_key((enum ingest_figure)(INGEST_DURABLE + i)),
		    &h.counts[i]);
	if (rc < 0 || !has)
		return rc;
	rc = add_head(out, "", durable, "histogram",
	              "Time from a complete request body to its response 202.");
	return rc < 0 ? rc : add_histogram(out, durable, "", &h);
}

/*
 * Return true if this daemon is an ingestd, with its pid.  Two processes in
 * different containers may have the same pid.  The second of them is shown in
 * the sums only, because Prometheus refuses a page with a duplicate series.
 */
static bool
is_process(const msgpack_object *daemons, uint32_t at, uint64_t *pid)
{
	uint64_t other;

	if (!status_map_text_is(status_map_get(&daemons[at], "role"),
	                        frame_role_name(ROLE_INGEST)) ||
	    !status_number(&daemons[at], "pid", pid))
		return false;
	for (uint32_t i = 0; i < at; i++) {
		if (status_map_text_is(status_map_get(&daemons[i], "role"),
		                       frame_role_name(ROLE_INGEST)) &&
		    status_number(&daemons[i], "pid", &other) && other == *pid)
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
	return rc < 0 ? rc : add_metric_value(out, value, false);
}

/* Show the daemons of the status or, if it is not NULL, only `own`. */
static int
add_processes(struct buf *out, const msgpack_object *daemons,
              const struct report *own)
{
	static const char prefix[] = "leat_ingestd_process_";
	const msgpack_object *list = NULL;
	uint32_t n = items(daemons, &list);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < METRICS_INGEST; i++) {
		const struct ingest_metric *m = &ingest_metrics[i];
		uint64_t pid, value;

		if (!is_next_of(m))
			rc = add_head(out, prefix, m->name, m->type, m->help);
		if (rc == 0 && own)
			rc = add_process(out, m, (uint64_t)getpid(),
			                 own->values[m->figure]);
		for (uint32_t d = 0; rc == 0 && d < n; d++) {
			if (is_process(list, d, &pid) &&
			    status_number(status_map_get(&list[d], "stats"),
			                  figure_key(m->figure), &value))
				rc = add_process(out, m, pid, value);
		}
	}
	return rc;
}

/* Show all that is in batchd's status. */
static int
add_status(struct buf *out, const msgpack_object *status)
{
	const msgpack_object *list = NULL;
	uint64_t processes;
	int rc = add_head(out, "", "leat_problems", "gauge",
	                  "Number of problems that leat status lists.");

	if (rc == 0)
		rc = buf_addf(out, "leat_problems %u\n",
		              items(status_map_get(status, "problems"), &list));
	if (rc == 0 && status_number(status_map_get(status, "ingest"),
	                             "processes", &processes)) {
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
		rc = add_sink_metrics(out, status_map_get(status, "sinks"));
	if (rc == 0)
		rc = add_sums(out, status_map_get(status, "ingest"));
	return rc < 0 ? rc
	              : add_processes(out, status_map_get(status, "daemons"),
	                              NULL);
}

/* The names of tokens contain nothing to escape, see TOKEN_NAME_MAX. */
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

/* These are of the process that answers: batchd does not know tokens. */
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

/*
 * Show batchd's status or, without one, this process's own figures.  Sums are
 * left out in that case, because those of this process alone would look like
 * counters that were reset.
 */
static int
add_batchd_status(const struct metrics *m, struct buf *out)
{
	const struct batchd_client *client = m->batchd_client;
	const struct report own = metrics_figures(m);
	bool up = client->status.len > 0 &&
	          uv_now(client->loop) - client->status_ms < STALE_MS;
	msgpack_unpacked status;
	int rc;

	msgpack_unpacked_init(&status);
	up = up && msgpack_unpack_next(
		       &status, (const char *)client->status.data,
		       client->status.len, NULL) == MSGPACK_UNPACK_SUCCESS;
	rc = add_head(out, "", "leat_up", "gauge",
	              "1 while the daemon is reachable.");
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
metrics_page(const struct metrics *m, struct buf *out)
{
	int rc = add_batchd_status(m, out);

	return rc < 0 ? rc : add_tokens(out, m->tokens);
}
