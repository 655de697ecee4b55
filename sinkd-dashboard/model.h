/*
 * model - all that the page shows: figures of the last 15 minutes, the newest
 * events, the pipeline, and the verdict.
 *
 * Events and statuses go in as they arrive; model_tick closes a second and
 * computes what the page shows of it.  Seconds are numbered by the monotonic
 * clock.  All memory is allocated by model_init, apart from what the decoder
 * of one status needs.
 */
#ifndef SINKD_DASHBOARD_MODEL_H
#define SINKD_DASHBOARD_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"
#include "sinkd-dashboard/event_ring.h"
#include "sinkd-dashboard/mask.h"
#include "sinkd-dashboard/pipeline.h"
#include "sinkd-dashboard/series.h"
#include "sinkd-dashboard/top.h"
#include "sinkd-dashboard/verdict.h"

#define MODEL_TOP 12 /* types and users that are shown */

/* A type or user as it is shown, at the time of a tick. */
struct model_share {
	struct key key;
	uint64_t count; /* of the events read; too high by at most error */
	uint64_t error;
};

/* What model_tick computes. */
struct model_tick {
	uint64_t second;        /* its number; it is complete */
	uint64_t first;         /* after the tick before; normally `second` */
	int64_t now_us;         /* when it ended */
	uint64_t events, bytes; /* made durable since `first`: exact */
	uint64_t read;          /* events read since then */
	size_t type_count, user_count;
	struct model_share types[MODEL_TOP], users[MODEL_TOP];
	uint64_t distinct_types, distinct_users;
	size_t row_count; /* rows of the series that are shown */
	uint8_t rows[MODEL_TOP];
	bool batchd_answers;
	char batchd_error[FRAME_TEXT_MAX + 100];
	int64_t stale_since_us; /* of the pipeline's figures; 0: they are new */
	struct verdict verdict;
};

struct model {
	uint64_t seed; /* of the hashes of keys */
	bool mask_users;
	struct mask mask;
	struct series series; /* its newest second is in progress */
	struct top types, users;
	struct event_ring ring;
	struct pipeline pipeline;
	struct model_tick tick; /* the last one */
	uint64_t ticks;

	uint64_t events, bytes; /* durable since the last tick */
	uint64_t read_events;   /* since the start */
	uint64_t moved_ahead; /* events that batchd skipped, since the start */
};

/*
 * Make an empty model, in whose time it is this second.  Returns 0 or -errno;
 * the caller must model_fini it in either case.
 */
MUST_USE int model_init(struct model *m, bool mask_users, uint64_t second);
void model_fini(struct model *m);

/* Take an event that was read. */
void model_event(struct model *m, uint64_t offset, const struct event *event);

/* Take batchd's report that it skipped the events from..to. */
void model_skipped(struct model *m, uint64_t from, uint64_t to);

/* Take a status, as pipeline_read. */
MUST_USE int model_status(struct model *m, const void *map, size_t bytes,
                          uint64_t at_ms);

/*
 * Close the seconds up to this one, and update m->tick.  Does nothing if this
 * second has been closed already.
 */
void model_tick(struct model *m, uint64_t second, int64_t now_us,
                const struct verdict_batchd *batchd);

/* Make the key of a type, or of a user as it is shown. */
struct key model_key(const struct model *m, struct slice name);

/* Make the key that a filter has for a name, or for the beginning of one. */
struct key model_filter_key(const struct model *m, struct slice name);

#endif
