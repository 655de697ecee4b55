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

static void
add_head(struct buf *out, const char *prefix, const char *name,
         const char *type, const char *help)
{
	buf_addf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help,
	         prefix, name, type);
}

static void
add_metric_value(struct buf *out, uint64_t value, bool ms)
{
	if (ms)
		buf_addf(out, " %" PRIu64 ".%03u\n", value / 1000,
		         (unsigned)(value % 1000));
	else
		buf_addf(out, " %" PRIu64 "\n", value);
}

/* `label` is empty, or ends with a comma. */
static void
add_histogram(struct buf *out, const char *name, const char *label,
              const struct histogram *h)
{
	char labels[FRAME_NAME_MAX + 16] = ""; /* those of sum and count */
	uint64_t sum = 0;

	for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
		sum += h->counts[i];
		buf_addf(out, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name,
		         label, (double)histogram_bounds_us[i] / 1e6, sum);
	}
	sum += h->counts[HISTOGRAM_BOUNDS];
	if (label[0])
		(void)snprintf(labels, sizeof labels, "{%.*s}",
		               (int)strlen(label) - 1, label);
	buf_addf(out, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, label,
	         sum);
	buf_addf(out, "%s_sum%s %" PRIu64 ".%06u\n", name, labels,
	         h->sum_us / 1000000, (unsigned)(h->sum_us % 1000000));
	buf_addf(out, "%s_count%s %" PRIu64 "\n", name, labels, sum);
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

static void
add_log(struct buf *out, const msgpack_object *log)
{
	static const char sync[] = "leat_log_sync_seconds";
	struct histogram h;
	uint64_t value;

	for (size_t i = 0; i < METRICS_LOG; i++) {
		const struct metric *m = &log_metrics[i];

		if (!status_number(log, m->key, &value))
			continue;
		add_head(out, "", m->name, m->type, m->help);
		buf_addf(out, "%s", m->name);
		add_metric_value(out, value, m->ms);
	}
	if (!histogram_of(status_map_get(log, "sync_times"), &h))
		return;
	add_head(out, "", sync, "histogram",
	         "Time that a sync of the log took.");
	add_histogram(out, sync, "", &h);
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
static void
add_sink(struct buf *out, const struct metric *m, const msgpack_object *sink)
{
	char label[FRAME_NAME_MAX + 16];
	uint64_t value;

	if (sink_label(sink, label) < 0 ||
	    !status_number(m->map ? status_map_get(sink, m->map) : sink, m->key,
	                   &value))
		return;
	buf_addf(out, "%s{%.*s}", m->name, (int)strlen(label) - 1, label);
	add_metric_value(out, value, m->ms);
}

static void
add_sink_metrics(struct buf *out, const msgpack_object *sinks)
{
	static const char commit[] = "leat_sink_commit_seconds";
	const msgpack_object *list = NULL;
	uint32_t n = items(sinks, &list);

	for (size_t i = 0; i < METRICS_SINK; i++) {
		const struct metric *m = &sink_metrics[i];

		add_head(out, "", m->name, m->type, m->help);
		for (uint32_t s = 0; s < n; s++)
			add_sink(out, m, &list[s]);
	}
	add_head(out, "", commit, "histogram",
	         "Time from durable to committed, per event.");
	for (uint32_t s = 0; s < n; s++) {
		char label[FRAME_NAME_MAX + 16];
		struct histogram h;

		if (sink_label(&list[s], label) == 0 &&
		    histogram_of(status_map_get(&list[s], "commit_times"), &h))
			add_histogram(out, commit, label, &h);
	}
}

/* The sums over all ingestd processes, and each of these. */

static const char *
figure_key(enum ingest_figure figure)
{
	size_t count;

	return report_figures(ROLE_INGEST, &count)[figure].key;
}

/* Write "name{one,two}"; either label may be NULL. */
static void
add_name(struct buf *out, const char *prefix, const char *name, const char *one,
         const char *two)
{
	buf_addf(out, "%s%s%s%s%s%s%s", prefix, name, one || two ? "{" : "",
	         one ? one : "", one && two ? "," : "", two ? two : "",
	         one || two ? "}" : "");
}

/* Return true if the row before has the same name, and wrote the head. */
static bool
is_next_of(const struct ingest_metric *m)
{
	return m > ingest_metrics && strcmp(m->name, m[-1].name) == 0;
}

static void
add_sums(struct buf *out, const msgpack_object *ingest)
{
	static const char prefix[] = "leat_ingestd_";
	static const char durable[] = "leat_ingestd_durable_seconds";
	const char *key = figure_key(INGEST_DURABLE_SUM_US);
	struct histogram h;
	uint64_t value;
	bool has = status_number(ingest, key, &h.sum_us);

	for (size_t i = 0; i < METRICS_INGEST; i++) {
		const struct ingest_metric *m = &ingest_metrics[i];

		if (!status_number(ingest, figure_key(m->figure), &value))
			continue;
		if (!is_next_of(m))
			add_head(out, prefix, m->name, m->type, m->help);
		add_name(out, prefix, m->name, m->label, NULL);
		add_metric_value(out, value, false);
	}
	for (int i = 0; has && i < HISTOGRAM_BUCKETS; i++)
		has = status_number(
		    ingest,
		    figure_key((enum ingest_figure)(INGEST_DURABLE + i)),
		    &h.counts[i]);
	if (!has)
		return;
	add_head(out, "", durable, "histogram",
	         "Time from a complete request body to its response 202.");
	add_histogram(out, durable, "", &h);
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

static void
add_process(struct buf *out, const struct ingest_metric *m, uint64_t pid,
            uint64_t value)
{
	char label[48];

	(void)snprintf(label, sizeof label, "process=\"%" PRIu64 "\"", pid);
	add_name(out, "leat_ingestd_process_", m->name, label, m->label);
	add_metric_value(out, value, false);
}

/* Show the daemons of the status or, if it is not NULL, only `own`. */
static void
add_processes(struct buf *out, const msgpack_object *daemons,
              const struct report *own)
{
	static const char prefix[] = "leat_ingestd_process_";
	const msgpack_object *list = NULL;
	uint32_t n = items(daemons, &list);

	for (size_t i = 0; i < METRICS_INGEST; i++) {
		const struct ingest_metric *m = &ingest_metrics[i];
		uint64_t pid, value;

		if (!is_next_of(m))
			add_head(out, prefix, m->name, m->type, m->help);
		if (own)
			add_process(out, m, (uint64_t)getpid(),
			            own->values[m->figure]);
		for (uint32_t d = 0; d < n; d++) {
			if (is_process(list, d, &pid) &&
			    status_number(status_map_get(&list[d], "stats"),
			                  figure_key(m->figure), &value))
				add_process(out, m, pid, value);
		}
	}
}

/* Show all that is in batchd's status. */
static void
add_status(struct buf *out, const msgpack_object *status)
{
	const msgpack_object *list = NULL;
	uint64_t processes;

	add_head(out, "", "leat_problems", "gauge",
	         "Number of problems that leat status lists.");
	buf_addf(out, "leat_problems %u\n",
	         items(status_map_get(status, "problems"), &list));
	if (status_number(status_map_get(status, "ingest"), "processes",
	                  &processes)) {
		add_head(out, "", "leat_ingestd_processes", "gauge",
		         "ingestd processes connected to batchd.");
		buf_addf(out, "leat_ingestd_processes %" PRIu64 "\n",
		         processes);
	}
	add_log(out, status_map_get(status, "log"));
	add_sink_metrics(out, status_map_get(status, "sinks"));
	add_sums(out, status_map_get(status, "ingest"));
	add_processes(out, status_map_get(status, "daemons"), NULL);
}

/* The names of tokens contain nothing to escape, see TOKEN_NAME_MAX. */
static void
add_token_metric(struct buf *out, const struct tokens *tokens, const char *name,
                 const char *help, size_t offset)
{
	add_head(out, "", name, "counter", help);
	for (size_t i = 0; i < tokens->count; i++) {
		const struct token *t = tokens->list[i];
		const char *value = (const char *)t + offset;

		buf_addf(out,
		         "%s{process=\"%" PRIu64 "\",token=\"%s\"} %" PRIu64
		         "\n",
		         name, (uint64_t)getpid(), t->name,
		         *(const uint64_t *)(const void *)value);
	}
}

/* These are of the process that answers: batchd does not know tokens. */
static void
add_tokens(struct buf *out, const struct tokens *tokens)
{
	if (tokens->count == 0)
		return;
	add_token_metric(out, tokens, "leat_ingestd_token_requests_total",
	                 "Requests with the token.",
	                 offsetof(struct token, requests));
	add_token_metric(out, tokens, "leat_ingestd_token_events_total",
	                 "Events of the token answered with 202.",
	                 offsetof(struct token, events));
	add_token_metric(out, tokens, "leat_ingestd_token_refused_total",
	                 "Requests with the token answered with 4xx.",
	                 offsetof(struct token, refused));
}

/*
 * Show batchd's status or, without one, this process's own figures.  Sums are
 * left out in that case, because those of this process alone would look like
 * counters that were reset.
 */
static void
add_batchd_status(const struct metrics *m, struct buf *out)
{
	const struct batchd_client *client = m->batchd_client;
	const struct report own = metrics_figures(m);
	bool up = client->status.len > 0 &&
	          uv_now(client->loop) - client->status_ms < STALE_MS;
	msgpack_unpacked status;

	msgpack_unpacked_init(&status);
	up = up && msgpack_unpack_next(
		       &status, (const char *)client->status.data,
		       client->status.len, NULL) == MSGPACK_UNPACK_SUCCESS;
	add_head(out, "", "leat_up", "gauge",
	         "1 while the daemon is reachable.");
	buf_addf(out,
	         "leat_up{daemon=\"ingestd\"} 1\n"
	         "leat_up{daemon=\"batchd\"} %d\n",
	         up);
	if (up)
		add_status(out, &status.data);
	else
		add_processes(out, NULL, &own);
	msgpack_unpacked_destroy(&status);
}

void
metrics_page(const struct metrics *m, struct buf *out)
{
	add_batchd_status(m, out);
	add_tokens(out, m->tokens);
}
