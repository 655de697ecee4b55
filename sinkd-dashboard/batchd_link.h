/*
 * batchd_link - the dashboard's connection to batchd: the newest events and the
 * status come in, and both go to the model.
 *
 * The link connects again whenever the connection is lost, after 50 ms at first
 * and 1 s at most.  If batchd does not reply to a status request in time, it
 * counts as unreachable, though the connection stays.
 */
#ifndef SINKD_DASHBOARD_BATCHD_LINK_H
#define SINKD_DASHBOARD_BATCHD_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libbase/log.h"
#include "sinkd-dashboard/model.h"
#include "sinkd-dashboard/tail.h"

/* The most that the dashboard reads of the events, which bounds its CPU. */
#define BATCHD_LINK_BYTES_PER_S ((uint64_t)8 * 1024 * 1024)

struct batchd_link {
	struct tail tail;
	struct model *model;
	/* Called when a status came, or when the connection was lost. */
	void (*on_change)(void *arg);
	void *arg;

	uv_timer_t retry;
	uint64_t backoff_ms;
	uint64_t asked;         /* id of the last status request */
	uint64_t last_reply_ms; /* or when the connection was opened */
	int64_t lost_since_us;  /* 0: it answers */
	char error[FRAME_TEXT_MAX + 1];
	/* The events of this stream below `next` were read, or skipped. */
	char stream[FRAME_STREAM_NAME_MAX + 1]; /* "": not connected yet */
	uint64_t next;
	struct log_limit unreachable_log, connected_log;
};

/* Set the members before `retry` first.  socket outlives the link. */
void batchd_link_open(struct batchd_link *l, uv_loop_t *loop,
                      const char *socket);

/* The loop must run once more before the memory of *l is used otherwise. */
void batchd_link_close(struct batchd_link *l);

/* Ask for the status; the reply comes with on_change. */
void batchd_link_ask(struct batchd_link *l);

/* How batchd is; `error` is valid until the loop runs again. */
struct verdict_batchd batchd_link_state(struct batchd_link *l);

#endif
