/*
 * load - send events to ingestd over many connections, and count answers.
 *
 * One thread, epoll, non-blocking sockets, one request in flight on each
 * connection.  Own HTTP rather than a library's because a generator on the
 * same two cores must cost little next to what it measures: a request is one
 * send of a body that was laid out beforehand.
 *
 * Closed loop: every connection sends its next request when it has its
 * answer.  Open loop (rate > 0): requests fall due at fixed times whether or
 * not answers come, and latency counts from the time a request was due, so a
 * server that stalls is charged for the requests it kept waiting.
 *
 * Every run ends: by count, by time, or by SIGTERM or SIGINT.
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
	uint64_t events;    /* stop after */
	uint64_t requests;  /* stop after; 0: no limit */
	int64_t seconds;    /* stop after */
	uint64_t rate;      /* events a second; 0: closed loop */
	int64_t timeout_ms; /* for an answer */
	int64_t drain_ms;   /* for the last answers, after the last sending */
	bool retry;         /* what was not acknowledged is sent again */
	bool retry_503;     /* as 504: wait as Retry-After says, at most 1 s */
	FILE *acked;        /* ids of acknowledged events; may be NULL */
};

struct load_totals {
	/* Events by what became of their request. */
	uint64_t acked_events;   /* 202 */
	uint64_t refused_events; /* 503 */
	uint64_t unknown_events; /* 504, or no answer: lost, late, left over */
	uint64_t error_events;   /* any other answer */
	uint64_t statuses[600];  /* answers by HTTP status */
	uint64_t mismatches;     /* 202 that accepted another number */
	uint64_t malformed;      /* answers that are not HTTP as we know it */
	uint64_t requests;       /* sent, repeats included */
	uint64_t due_unsent;     /* open loop: requests never sent */
	uint64_t connects, connect_failures, lost_connections, timeouts;
	double seconds;      /* from the first request to the last answer */
	struct hist latency; /* of acknowledged requests */
	bool interrupted;    /* ended by a signal */
};

/*
 * Run the load.  Returns 0, or -errno when it could not be run at all (no
 * such host, out of memory or descriptors, acked file not writable).  What
 * the server did wrong is in totals, not here.
 */
MUST_USE int load_run(const struct load_options *options, const struct gen *gen,
                      struct load_totals *totals);

#endif
