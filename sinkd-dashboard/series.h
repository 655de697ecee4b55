/*
 * series - figures of each of the last 901 seconds: of all events, and of up
 * to 64 types.  The newest second is in progress; the 900 before it, which the
 * page shows, are complete.
 *
 * Seconds are numbered by a clock that never goes back.  The dashboard reads
 * only a part of the events when there are many, so `events` and `bytes` are
 * exact, taken from batchd's offsets, and the counts by type are of the events
 * that were `read`.  What was read of types without a row of their own is
 * `read` minus the sum of the rows.
 */
#ifndef SINKD_DASHBOARD_SERIES_H
#define SINKD_DASHBOARD_SERIES_H

#include <stdbool.h>
#include <stddef.h>

#include "sinkd-dashboard/key.h"

#define SERIES_SHOWN 900
#define SERIES_SECONDS (SERIES_SHOWN + 1)
#define SERIES_TYPES 64

struct series_point {
	uint64_t events;
	uint64_t bytes;
	uint64_t read;
};

struct series_type {
	struct key key;
	bool used;
	uint64_t sum; /* of its counts */
	uint32_t counts[SERIES_SECONDS];
};

/* All zero: empty, at second 0. */
struct series {
	uint64_t second; /* the newest one */
	struct series_point points[SERIES_SECONDS];
	struct series_type types[SERIES_TYPES];
};

/*
 * Begin a second, and forget what is older than 901 seconds.  Does nothing if
 * the second is not newer than the present one.
 */
void series_advance(struct series *s, uint64_t second);

/* Part i of n, of which there are `count`, as equal as possible. */
static inline uint64_t
series_part(uint64_t n, uint64_t i, uint64_t count)
{
	return n * (i + 1) / count - n * i / count;
}

/* Add events that batchd has made durable in this second. */
void series_add(struct series *s, uint64_t events, uint64_t bytes);

/* Count one event that was read, of this type, in this second. */
void series_read(struct series *s, const struct key *type);

/* Distribute what was read in the second `first` over it and those after it. */
void series_spread_read(struct series *s, uint64_t first);

/*
 * Give the type a row of its own, in place of the one with the fewest events,
 * if it has had more events than that one in the last 15 minutes.  The row
 * begins empty: its earlier events stay with those of types without a row.
 */
void series_promote(struct series *s, const struct key *type, uint64_t count);

/* The index of a second in `points` and `counts`. */
static inline size_t
series_at(uint64_t second)
{
	return second % SERIES_SECONDS;
}

#endif
