/*
 * metrics - what this process counts, and GET /metrics for Prometheus: its
 * own counters, and batchd's view of the log and the sinks, asked when
 * somebody wants to know, at most once a second.
 */
#ifndef INGESTD_METRICS_H
#define INGESTD_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "ingestd/question.h"
#include "ingestd/upstream.h"
#include "libbase/budget.h"
#include "libbase/buf.h"
#include "libhttp/tokens.h"

struct counters {
	uint64_t requests; /* begun */
	uint64_t accepted_events;
	uint64_t rejected_events;
	uint64_t body_bytes; /* received, as sent */
	uint64_t responses_2xx;
	uint64_t responses_4xx;
	uint64_t responses_503;
	uint64_t responses_504;
	uint64_t unknown_events; /* answered with 504 */
	uint64_t ignored_fields;
	uint64_t unauthorized; /* requests answered with 401 */
	uint64_t malformed;    /* requests that are not HTTP as it must be */
	uint64_t connections;  /* open now */
	uint64_t connections_overdue;
	uint64_t connections_evicted;
};

/* Somebody who waits for an answer; lies in the waiter's own memory. */
struct metrics_waiter {
	struct metrics_waiter *next;
	void (*on_ready)(struct metrics_waiter *w);
};

struct metrics {
	const struct counters *counters;
	const struct budget *budget;
	const struct tokens *tokens;
	struct upstream *upstream;
	uv_loop_t *loop;
	struct question question;
	uv_timer_t timeout;
	struct metrics_waiter *waiters;
	struct buf status; /* batchd's part, as text; empty: away */
	bool has_status;   /* status was asked for, at status_ms */
	uint64_t status_ms;
};

void metrics_open(struct metrics *m, uv_loop_t *loop, const char *socket,
                  const struct counters *counters, const struct budget *budget,
                  struct upstream *upstream, const struct tokens *tokens);

/* Wake all waiters and let go of the loop's handle; then metrics_fini. */
void metrics_close(struct metrics *m);
void metrics_fini(struct metrics *m);

/*
 * Make batchd's part fresh.  Returns true when it is; or false, and w's
 * on_ready is called within a second.
 */
bool metrics_refresh(struct metrics *m, struct metrics_waiter *w);

/* Append the whole page.  Returns as buf_add. */
MUST_USE int metrics_render(const struct metrics *m, struct buf *out);

/* Send batchd this process's counters, as the protocol names them. */
void metrics_send_stats(struct metrics *m);

#endif
