/*
 * top_model - what `leat top` shows: the figures of batchd's status, and rates
 * and estimates that follow from it and those before it.
 *
 * Nothing here reads a clock or the terminal.  The texts are kept as they
 * came; what shows them escapes them (cell.h).
 */
#ifndef LEAT_TOP_MODEL_H
#define LEAT_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <msgpack.h>

#include "libbase/base.h"
#include "libproto/frame.h"
#include "libproto/report.h"
#include "libproto/sink_status.h"

/* More than batchd has; a status with more is shown without the others. */
#define TOP_SINKS_MAX 64
#define TOP_PROBLEMS_MAX 16

#define TOP_STATE_MAX 32 /* bytes of a state or of an order */

/*
 * Rates are those of the last 10 s.  A sink commits a batch at a time, and in a
 * shorter time it may have committed none, or two.
 */
#define TOP_WINDOW_MS 10000
#define TOP_SAMPLES 16

/* A sink that lags less than this has nothing to catch up with: it batches. */
#define TOP_LAG_MS 5000

enum top_catch_up {
	TOP_CATCH_UP_UNKNOWN, /* there are no rates yet */
	TOP_CATCH_UP_NONE,    /* it does not lag */
	TOP_CATCH_UP_IN,    /* in catch_up_ms, if the rates stay as they are */
	TOP_CATCH_UP_NEVER, /* events arrive faster than it stores them */
	TOP_CATCH_UP_PAUSED,
};

struct top_sink {
	char name[FRAME_NAME_MAX + 1];
	char state[TOP_STATE_MAX + 1]; /* as `leat status` shows it */
	char order[TOP_STATE_MAX + 1]; /* "": none is being carried out */
	char error[REPORT_TEXT_MAX + 1];
	struct sink_pause pause;
	uint64_t error_since_us;
	uint64_t committed, generation, replayed_events, skipped_events;
	uint64_t lag_events, lag_bytes, lag_ms;
	uint64_t retries, dead_letters, dropped_events;
	/* What follows from several statuses: */
	bool has_rate;
	uint64_t events_per_s;
	enum top_catch_up catch_up;
	uint64_t catch_up_ms;
};

/* What the rates are computed from. */
struct top_sample {
	uint64_t pid, at_ms; /* of batchd, and of its uptime */
	uint64_t durable_offset, appended_bytes, rejected_events;
	size_t sink_count;
	uint64_t committed[TOP_SINKS_MAX], generation[TOP_SINKS_MAX];
};

struct top_model {
	bool known; /* a status was read */
	char version[TOP_STATE_MAX + 1];
	uint64_t now_us, pid, uptime_ms;

	char reason[FRAME_TEXT_MAX + 1]; /* why the log takes no events */
	char fsync[TOP_STATE_MAX + 1];
	uint64_t bytes, max_bytes, segments;
	uint64_t first_offset, durable_offset, next_offset;
	uint64_t ingest_processes, pending_requests, responses_503;
	uint64_t rejected_events;

	bool has_rate;
	uint64_t events_per_s, bytes_per_s, rejected_per_s;

	size_t sink_count;
	struct top_sink sinks[TOP_SINKS_MAX];
	size_t problem_count, problems_kept;
	char problems[TOP_PROBLEMS_MAX][REPORT_TEXT_MAX + 1];

	struct top_sample samples[TOP_SAMPLES]; /* the oldest first */
	size_t sample_count;
	/* Samples from before this are of another position of the sink. */
	uint64_t sink_from_ms[TOP_SINKS_MAX];
};

/*
 * Take a status of unknown origin.  Returns 0, or -EBADMSG with *m unchanged if
 * it is none.
 */
MUST_USE int top_model_read(struct top_model *m, const msgpack_object *status);

enum top_sort {
	TOP_SORT_SETTINGS, /* the order of [batchd] sinks */
	TOP_SORT_LAG,      /* the most events first */
	TOP_SORT_RATE,     /* the fastest first */
	TOP_SORT_DEAD,     /* the most dead letters first */
	TOP_SORTS
};

const char *top_sort_name(enum top_sort sort);

/* Write the indexes of the sinks in this order.  Equal ones keep theirs. */
void top_model_order(const struct top_model *m, enum top_sort sort,
                     size_t order[TOP_SINKS_MAX]);

/* The index of the sink with this name, or -1. */
int top_model_find(const struct top_model *m, const char *name);

#endif
