/* metrics - see metrics.h. */
#include "ingestd/metrics.h"

struct report
metrics_figures(const struct metrics *m)
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

void
metrics_report(struct metrics *m)
{
	const struct report now = metrics_figures(m);
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
