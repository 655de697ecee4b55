/*
 * load - send events to ingestd over many connections and count the responses.
 *
 * One thread uses epoll and non-blocking sockets, with one request in flight on
 * each connection.  It has its own HTTP code because it shares two cores with
 * what it measures and must cost little in comparison: a request is one send of
 * a body that was prepared before.
 *
 * In a closed loop every connection sends its next request when it has received
 * a response.  In an open loop (rate > 0) requests are due at fixed times,
 * whether or not responses arrive.  Latency then counts from the time at which
 * a request was due, so that a server which stalls is charged for the requests
 * that it delayed.
 *
 * Every run ends after a number of events or requests, after a time, or with
 * SIGTERM or SIGINT.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/gen.h"
#include "bench/hist.h"
#include "libbase/base.h"

#define LOAD_EVENTS_PER_REQUEST_MAX 20000
#define LOAD_CONNECTIONS_MAX 10000

struct load_options {
	const char *host;
	const char *port;
	unsigned connections;
	uint32_t events_per_request;
	uint64_t events;    /* limit */
	uint64_t requests;  /* limit; 0: none */
	int64_t seconds;    /* limit */
	uint64_t rate;      /* events a second; 0: closed loop */
	int64_t timeout_ms; /* for a response */
	int64_t drain_ms;   /* for the last responses, after sending ends */
	bool retry;         /* send again what was not acknowledged */
	/* treat 503 as 504: obey Retry-After, at most 1 s */
	bool retry_503;
	FILE *acked; /* ids of acknowledged events; may be NULL */
};

struct load_totals {
	/* Events by the result of their request. */
	uint64_t acked_events;   /* 202 */
	uint64_t refused_events; /* 503 */
	uint64_t unknown_events; /* 504, or no response */
	uint64_t error_events;   /* any other response */
	uint64_t statuses[600];  /* responses by HTTP status */
	/* 202 with another number of accepted events */
	uint64_t mismatches;
	uint64_t malformed;  /* invalid responses */
	uint64_t requests;   /* sent, including repeated ones */
	uint64_t due_unsent; /* open loop: requests never sent */
	uint64_t connects, connect_failures, lost_connections, timeouts;
	double seconds;      /* from the first request to the last response */
	struct hist latency; /* of acknowledged requests */
	bool interrupted;    /* ended by a signal */
};

/*
 * Run the load.  Returns 0, or -errno if it could not run at all: no such host,
 * no memory or descriptors, or the acked file cannot be written.  Errors of the
 * server are counted in totals and are not returned.
 */
MUST_USE int load_run(const struct load_options *options, const struct gen *gen,
                      struct load_totals *totals);

#endif
