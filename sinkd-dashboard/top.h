/*
 * top - the most frequent keys of the last 15 minutes, and how many different
 * ones there were.
 *
 * Each minute has a table of its own, so that a minute can be forgotten as a
 * whole.  Reading adds the tables up.  A key that is missing from the table of
 * a minute may have had as many events there as the lowest count in that
 * table; `error` of a result includes that.
 */
#ifndef SINKD_DASHBOARD_TOP_H
#define SINKD_DASHBOARD_TOP_H

#include "libbase/base.h"
#include "sinkd-dashboard/distinct.h"
#include "sinkd-dashboard/heavy_hitters.h"

#define TOP_MINUTES 15

struct top {
	uint64_t minute; /* the newest one */
	struct heavy_hitters minutes[TOP_MINUTES];
	struct distinct distinct[TOP_MINUTES];
	struct top_part *parts; /* owned; work area of top_read */
};

struct top_entry {
	const struct key
	    *key;       /* valid until the next call that takes the top */
	uint64_t count; /* too high by at most `error` */
	uint64_t error;
};

/*
 * Make it empty, with `size` entries for each minute (at most
 * HEAVY_HITTERS_MAX).  Allocates all it will ever need.  Returns 0 or -ENOMEM;
 * the caller must top_fini it in either case.
 */
MUST_USE int top_init(struct top *t, size_t size, uint64_t minute);
void top_fini(struct top *t);

/* It is this minute now; older than 15 minutes is forgotten. */
void top_advance(struct top *t, uint64_t minute);

/* Count one event of the key in the minute of the last top_advance. */
void top_add(struct top *t, const struct key *key);

/* Write the `count` most frequent keys to `out`; returns how many there are. */
size_t top_read(struct top *t, struct top_entry *out, size_t count);

/* An estimate of how many different keys there were. */
double top_distinct(const struct top *t);

#endif
