/*
 * broker - what all parts of batchd share: the log, the sinks with what is
 * known of them, the list of connections, and whether events are accepted.
 *
 * A peer needs no more than this, so neither it nor the status knows of the
 * event loop, which is above both.  All fields belong to the main thread;
 * store.h and cursor.h define what a thread of disk_jobs may touch.
 */
#ifndef BATCHD_BROKER_H
#define BATCHD_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/consumer.h"
#include "batchd/dead_order.h"
#include "batchd/order.h"
#include "batchd/rate.h"
#include "batchd/settings.h"
#include "batchd/store.h"
#include "libbase/buf.h"
#include "libbase/log.h"
#include "libproto/report.h"

struct peer;

/* One sink of [batchd] sinks.  It outlasts the sink's connections. */
struct broker_sink {
	struct consumer consumer;
	struct peer *peer;         /* the sink's connection; NULL: none */
	struct report report;      /* the latest value of each figure */
	struct report_sums totals; /* counters of all its processes */
	struct rate rate;          /* of events committed */
	struct order order;        /* of an operator */
	struct dead_order dead_order;
};

struct broker {
	const struct batchd_settings *settings; /* borrowed */
	struct store store;
	struct rate append_rate; /* of bytes appended */
	struct broker_sink sinks[SINKS_MAX];
	size_t sink_count;
	struct report_sums ingest; /* counters of all ingestd since the start */

	struct peer **peers; /* the oldest first; owned by connections.h */
	size_t peer_count;
	size_t daemon_count; /* of these: ingestd and sinks after their hello */
	struct peer *tails[TAILS_MAX]; /* of these: tails after their hello */
	size_t tail_count, next_tail;  /* next_tail: has the next step */
	uint8_t *scratch; /* FRAME_MAX bytes: a frame that is no append */

	struct buf status;     /* see status.h */
	bool status_is_new;    /* made in this turn of the loop */
	bool status_is_recent; /* made in this second */

	uint64_t started_ms; /* on the monotonic clock */
	bool stopping;       /* SIGTERM has come */
	bool intake_open;    /* ingestd may begin more requests */

	/* Limits of the log lines that a peer can cause. */
	struct log_limit refusals; /* peers that are refused or closed */
	struct log_limit arrivals; /* daemons that connect */
};

/*
 * Allocate what peers need.  Returns 0 or -ENOMEM; broker_fini must follow
 * either way.
 */
MUST_USE int broker_init(struct broker *b,
                         const struct batchd_settings *settings);
void broker_fini(struct broker *b);

/*
 * The most connections at once: daemons, tails, and two that commands always
 * find.
 */
static inline size_t
broker_max_peers(const struct batchd_settings *settings)
{
	return (size_t)(settings->max_connections + settings->max_tails) + 2;
}

/* The sink of that name, or NULL. */
struct broker_sink *broker_find_sink(struct broker *b,
                                     const struct slice *name);

/*
 * Why no more requests are accepted, as a text for people; "" when they are.
 * Valid until the store changes.
 */
const char *broker_closed_reason(const struct broker *b);

#endif
