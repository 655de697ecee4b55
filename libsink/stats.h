/* stats - what a sink reports to batchd about itself (docs/protocol.md). */
#ifndef LIBSINK_STATS_H
#define LIBSINK_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/report.h"

#define STATS_ERROR_MAX REPORT_TEXT_MAX

enum stats_state {
	STATS_STARTING, /* the position is not known yet */
	STATS_IDLE,
	STATS_WRITING,
	STATS_RETRYING, /* the store is unreachable */
	/* an operator must change the store or the dead letters */
	STATS_MISCONFIGURED,
	STATS_FENCED, /* another writer has this sink's name */
};

struct stats {
	enum stats_state state;
	uint64_t events;     /* stored since the start, as the next five */
	uint64_t duplicates; /* events that the store already had by their id */
	uint64_t batches;
	uint64_t bytes; /* of packed events */
	uint64_t retries;
	uint64_t dead_lettered;          /* events moved to the dead letters */
	char error[STATS_ERROR_MAX + 1]; /* empty if there is no error */
	/* time of the first of several errors in a row */
	int64_t error_since_us;
	/* in the past while the retry is running */
	int64_t next_retry_us;
	/* Reported while `error` is empty: why no dead letter can be kept. */
	char dead_letters_error[STATS_ERROR_MAX + 1];
	int64_t dead_letters_error_since_us;
};

/*
 * Record why the store does not accept events, and that the next attempt is in
 * wait_ms.  error_since_us keeps the time of the first of several errors in a
 * row.
 */
void stats_error(struct stats *s, enum stats_state state, const char *text,
                 uint64_t wait_ms);

/* The store works, possibly again: clear the error. */
void stats_well(struct stats *s, enum stats_state state);

/*
 * Record whether dead letters of the sink `sink` can be kept in `dir`: rc is 0
 * or -errno.  An operator is to see that in the status before there is one, as
 * the sink could then not go on.
 */
void stats_check_dead_letters(struct stats *s, const char *dir,
                              const char *sink, int rc);

/* Return the same as a report for batchd. */
struct report stats_report(const struct stats *s);

#endif
