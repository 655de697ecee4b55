/*
 * durable_times - when the newest events of the log became durable.
 *
 * It serves to measure how long an event takes from durable to committed.  The
 * records of the log hold only the wall clock at their arrival, which can be
 * set.  These times are of the monotonic clock; a fixed number of them is kept.
 */
#ifndef BATCHD_DURABLE_TIMES_H
#define BATCHD_DURABLE_TIMES_H

#include <stdint.h>

#include "libbase/histogram.h"

#define DURABLE_TIMES_MAX 4096

struct durable_times {
	struct durable_time {
		uint64_t
		    end_offset;    /* of the events, down to the entry before */
		uint64_t at_us;    /* when they became durable; monotonic */
	} list[DURABLE_TIMES_MAX]; /* a ring */
	uint64_t count;            /* ever added; the newest is at count - 1 */
	uint64_t first_offset;     /* of the oldest entry's events */
};

/* Record that the events from..end_offset became durable at now_us. */
void durable_times_add(struct durable_times *m, uint64_t from,
                       uint64_t end_offset, uint64_t now_us);

/*
 * Add to h, for each event of from..to, how long ago it became durable.  For
 * events older than all entries, older_us is added.
 */
void durable_times_count(const struct durable_times *m, uint64_t from,
                         uint64_t to, uint64_t now_us, uint64_t older_us,
                         struct histogram *h);

#endif
