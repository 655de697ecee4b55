/*
 * metrics - what this process counts, and its reports to batchd.
 */
#ifndef INGESTD_METRICS_H
#define INGESTD_METRICS_H

#include <stdint.h>

#include "ingestd/batchd_client.h"
#include "libbase/budget.h"
#include "libbase/histogram.h"
#include "libhttp/tokens.h"
#include "libproto/report.h"

struct counters {
	uint64_t requests; /* whose head was read */
	uint64_t accepted_events;
	uint64_t rejected_events;
	uint64_t body_bytes; /* received, before decompression */
	uint64_t responses_2xx;
	uint64_t responses_4xx;
	uint64_t responses_503;
	uint64_t responses_504;
	uint64_t unknown_events; /* answered with 504 */
	uint64_t ignored_fields;
	uint64_t unauthorized; /* requests answered with 401 */
	uint64_t malformed;    /* requests that are not well-formed HTTP */
	uint64_t connections;  /* open now */
	uint64_t connections_overdue;
	uint64_t connections_evicted;
	struct histogram durable; /* from a request's body to its 202 */
};

/* The owner sets the pointers, and zeroes the rest. */
struct metrics {
	const struct counters *counters;
	const struct budget *budget;
	const struct tokens *tokens;
	struct batchd_client *batchd_client;
	struct report sent; /* the last one that was sent to a batchd */
	/* batchd_client.connects of the connection that has its base. */
	uint64_t connect;
};

/* Return the figures of this process now. */
struct report metrics_figures(const struct metrics *m);

/* Send the figures to batchd, if it can be reached. */
void metrics_report(struct metrics *m);

#endif
