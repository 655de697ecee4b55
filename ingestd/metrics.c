/* metrics - see metrics.h. */
#include "ingestd/metrics.h"

struct report
metrics_figures(const struct metrics *m)
{
	const struct counters *c = m->counters;
	struct report r = {0};

	report_set(&r, INGEST_REQUESTS, c->requests);
	report_set(&r, INGEST_BODY_BYTES, c->body_bytes);
	report_set(&r, INGEST_ACCEPTED_EVENTS, c->accepted_events);
	report_set(&r, INGEST_REJECTED_EVENTS, c->rejected_events);
	report_set(&r, INGEST_PENDING_BYTES, m->budget->used_bytes);
	report_set(&r, INGEST_PENDING_REQUESTS,
	           m->batchd_client->queue.pending_count);
	report_set(&r, INGEST_CONNECTIONS, c->connections);
	report_set(&r, INGEST_CONNECTIONS_OVERDUE, c->connections_overdue);
	report_set(&r, INGEST_CONNECTIONS_EVICTED, c->connections_evicted);
	report_set(&r, INGEST_MALFORMED, c->malformed);
	report_set(&r, INGEST_UNKNOWN_EVENTS, c->unknown_events);
	report_set(&r, INGEST_IGNORED_FIELDS, c->ignored_fields);
	report_set(&r, INGEST_UNAUTHORIZED, c->unauthorized);
	report_set(&r, INGEST_RESPONSES_2XX, c->responses_2xx);
	report_set(&r, INGEST_RESPONSES_4XX, c->responses_4xx);
	report_set(&r, INGEST_RESPONSES_503, c->responses_503);
	report_set(&r, INGEST_RESPONSES_504, c->responses_504);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		report_set(&r, INGEST_DURABLE + i, c->durable.counts[i]);
	report_set(&r, INGEST_DURABLE_SUM_US, c->durable.sum_us);
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
