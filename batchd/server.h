/*
 * server - batchd's event loop.
 *
 * In each turn the loop starts the disk's jobs, lets each sink do one piece of
 * work, and sends to each peer what batchd owes it.  Work that can block on the
 * disk is done by other threads (disk_jobs.h); everything else is done by the
 * main thread.
 */
#ifndef BATCHD_SERVER_H
#define BATCHD_SERVER_H

#include <uv.h>

#include "batchd/broker.h"
#include "batchd/connections.h"
#include "batchd/disk_jobs.h"

struct server {
	struct broker broker;
	struct disk_real disk; /* the log's directory */
	struct connections connections;
	struct disk_jobs jobs;

	uv_loop_t loop;
	uv_prepare_t turn;      /* once in each turn of the loop */
	uv_idle_t idle;         /* active while there is work at once */
	uv_timer_t wake;        /* the next batch that is due by time */
	uv_timer_t tick;        /* once a second */
	uv_timer_t drain;       /* limit of a shutdown */
	uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */

	bool stopped;     /* the handles are closed, the loop will end */
	bool log_is_full; /* and that was logged */
};

/*
 * Serve until SIGTERM has come and all is drained, or until the log fails.
 * The server was opened by startup_open.  Returns the exit status.
 */
MUST_USE int server_run(struct server *s);

#endif
