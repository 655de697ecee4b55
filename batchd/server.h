/*
 * server - batchd's event loop: connections, the log, the sinks.
 *
 * What writes to the disk runs on other threads (disk_jobs.h); everything else
 * is the main thread's.
 */
#ifndef BATCHD_SERVER_H
#define BATCHD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "batchd/consumer.h"
#include "batchd/peer.h"
#include "batchd/rate.h"
#include "batchd/settings.h"
#include "batchd/store.h"
#include "libbase/log.h"

/* What is known of a sink beside its consumer; outlasts its connections. */
struct sink_account {
	struct report report; /* of each figure the last that was told */
	struct report_sums totals;
	struct rate rate;
};

struct disk_job {
	uv_work_t work; /* data: the server */
	bool busy;
	int rc;
};

struct server {
	const struct batchd_settings *settings;
	struct disk_real disk;
	struct store store;
	struct consumer consumers[SINKS_MAX];
	size_t consumer_count;
	struct sink_account sinks[SINKS_MAX]; /* of consumers[i] */
	struct report_sums ingest;            /* of all ingestd, ended or not */

	uv_loop_t loop;
	int listener; /* -1 when closed */
	uv_poll_t listen_poll;
	uv_prepare_t turn;      /* once in each turn of the loop */
	uv_idle_t idle;         /* active while there is work at once */
	uv_timer_t wake;        /* the next batch that is due by time */
	uv_timer_t tick;        /* once a second */
	uv_timer_t drain;       /* limit of a shutdown */
	uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */
	struct disk_job append, retention, cursors;
	bool retention_wanted, cursors_wanted;

	struct peer **peers; /* server_max_peers of them */
	size_t peer_count;
	uint8_t *scratch; /* FRAME_MAX bytes: frames that are no append */
	struct buf status;
	bool status_is_new;    /* made in this turn */
	bool status_is_recent; /* made in this second */

	uint64_t started_ms;
	bool stopping;
	bool stopped; /* the loop is being taken down */
	bool intake_open;
	bool log_is_full; /* and that was logged */
	int rc;
	struct log_limit refusals;  /* lines that a peer can cause */
	struct log_limit evictions; /* the same, of places that are freed */
	struct log_limit arrivals;  /* the same, of daemons that connect */
};

/*
 * Open the log and the socket.  Returns 0, EXIT_CONFIG (a restart cannot
 * mend it) or EXIT_FAILURE, after saying why; server_close must follow.
 */
MUST_USE int server_open(struct server *s,
                         const struct batchd_settings *settings);

/* Serve until SIGTERM or until the log fails.  Returns the exit status. */
MUST_USE int server_run(struct server *s);

/* Returns the exit status, which a last sync that fails makes another one. */
MUST_USE int server_close(struct server *s);

/* Most connections at once: daemons, and a few that are kept for commands. */
static inline size_t
server_max_peers(const struct batchd_settings *settings)
{
	return (size_t)settings->max_connections + 2;
}

/* Begin to end: server_run returns when the jobs under way are done. */
void server_stop(struct server *s);

/* --- for peer.c --- */

/* Whether there are max_connections daemons, so that one more is refused. */
bool server_is_full(const struct server *s);

/* The sink of that name, or NULL. */
struct consumer *server_consumer(struct server *s, const struct slice *name);

/*
 * Put the map of `leat status` into s->status, unless that was made in this
 * turn: many may ask at once.  It fits a frame, however many are connected and
 * whatever they report.  Returns 0 or -ENOMEM.
 */
MUST_USE int server_status(struct server *s);

/* The same, unless it was made in this second. */
MUST_USE int server_recent_status(struct server *s);

/* A peer has reported `now`, after p->report if p->has_report. */
void server_reported(struct server *s, const struct peer *p,
                     const struct report *now);

/* Why events are not taken, for people; "" when they are. */
const char *server_closed_reason(const struct server *s);

#endif
