/*
 * stats - what a sink tells batchd about itself (docs/protocol.md).
 */
#ifndef LIBSINK_STATS_H
#define LIBSINK_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/report.h"

#define STATS_ERROR_MAX REPORT_TEXT_MAX

enum stats_state {
	STATS_STARTING, /* no position known yet */
	STATS_IDLE,
	STATS_WRITING,
	STATS_RETRYING,      /* the store is away */
	STATS_MISCONFIGURED, /* the store, or the dead letters, need somebody */
	STATS_FENCED,        /* another writer has this sink's name */
};

struct stats {
	enum stats_state state;
	uint64_t events;     /* stored since the start, as the next three */
	uint64_t duplicates; /* instead of stored: the store has their id */
	uint64_t batches;
	uint64_t bytes; /* of packed events */
	uint64_t retries;
	uint64_t dead_lettered;        /* events moved to the dead letters */
	bool dead_letters_known;       /* the next six are what is on disk */
	uint64_t dead_letters;         /* now, with those being retried */
	uint64_t pending_dead_letters; /* of these, from this log */
	uint64_t dead_without_payload; /* of those in the sink's file */
	uint64_t dead_dropped;         /* not kept for want of room */
	uint64_t dead_bytes;           /* of that file, which may have */
	uint64_t dead_max_bytes;
	char error[STATS_ERROR_MAX + 1]; /* empty: all is well */
	int64_t error_since_us;          /* of the first of a row of errors */
	int64_t next_retry_us;           /* once that is past: being tried */
};

/*
 * Note why the store does not take events, and that it is tried again after
 * wait_ms.  Of errors in a row the time of the first counts.
 */
void stats_error(struct stats *s, enum stats_state state, const char *text,
                 uint64_t wait_ms);

/* The store works (again). */
void stats_well(struct stats *s, enum stats_state state);

/* The same as batchd is to have it; what is not known is left out. */
struct report stats_report(const struct stats *s);

/* Of this, what is on disk, and so is true of the sink when it is stopped. */
struct report stats_dead_letters(const struct stats *s);

#endif
