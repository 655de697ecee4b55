/*
 * pipeline - what batchd reports of the log, of ingestd and of the sinks, taken
 * from its status (docs/protocol.md), with rates and times that follow from
 * one status and the one before it.
 */
#ifndef SINKD_DASHBOARD_PIPELINE_H
#define SINKD_DASHBOARD_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/frame.h"
#include "libproto/sink_status.h"

#define PIPELINE_SINKS 32        /* batchd's most */
#define PIPELINE_STATE_BYTES 32  /* of a sink's state, with its NUL */
#define PIPELINE_ERROR_BYTES 400 /* of a sink's error, with its NUL */
#define PIPELINE_VERDICT_BYTES 600

/* From well to worst.  A pause is no fault: an operator has ordered it. */
enum level { LEVEL_OK, LEVEL_PAUSED, LEVEL_WARN, LEVEL_BAD };

struct pipeline_log {
	char stream[FRAME_STREAM_MAX + 1];
	uint64_t bytes, max_bytes;
	uint64_t first_offset, next_offset, durable_offset;
	uint64_t oldest_us;      /* when its oldest segment began; 0: unknown */
	uint64_t appended_bytes; /* since batchd's start */
	uint64_t lost_events;
	bool open;
	char reason[FRAME_TEXT_MAX + 1]; /* why not open */
	int64_t closed_since_us;         /* 0: it is open */
	/* Seconds until the log is full if it goes on as in the last
	 * minutes; PIPELINE_NEVER if it does not grow. */
	uint64_t full_in_s;
};
#define PIPELINE_NEVER UINT64_MAX

struct pipeline_ingest {
	uint64_t processes, connections;
	uint64_t accepted, responses_503, rejected; /* since batchd's start */
	uint64_t events_per_s, responses_503_per_s, rejected_per_s;
	int64_t absent_since_us; /* 0: at least one is connected */
};

struct pipeline_sink {
	char name[FRAME_NAME_MAX + 1];
	char state[PIPELINE_STATE_BYTES]; /* as `leat status` shows it */
	char order[PIPELINE_STATE_BYTES]; /* in progress; "": none */
	struct sink_pause pause;
	char error[PIPELINE_ERROR_BYTES];
	uint64_t error_since_us, next_retry_us; /* 0: none */
	uint64_t lag_ms, lag_events, events_per_s, dead_letters, committed;
	int64_t absent_since_us; /* 0: it is connected */
	enum level level;        /* set by verdict_make */
};

/* What the log had at a time, for its growth. */
struct pipeline_growth {
	uint64_t at_ms;
	uint64_t bytes, appended_bytes;
};
#define PIPELINE_GROWTH_POINTS 60
#define PIPELINE_GROWTH_STEP_MS 5000

struct pipeline {
	bool known; /* a status has come since the start */
	int64_t now_us;
	uint64_t at_ms; /* when it came, monotonic */
	struct pipeline_log log;
	struct pipeline_ingest ingest;
	size_t sink_count;
	struct pipeline_sink sinks[PIPELINE_SINKS];
	struct pipeline_growth growth[PIPELINE_GROWTH_POINTS]; /* a ring */
	size_t growth_next, growth_used;
};

/*
 * Read a status of unknown origin, which came at at_ms.  Returns 0; or -EBADMSG
 * if it is not a status, and *p is unchanged.  The decoder allocates memory for
 * the time of the call, at most in proportion to `bytes`.
 */
MUST_USE int pipeline_read(struct pipeline *p, const void *map, size_t bytes,
                           uint64_t at_ms);

#endif
