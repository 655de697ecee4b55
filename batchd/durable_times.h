/*
 * durable_times - when the newest events of the log became durable.
 *
 * The log's records hold the wall clock of their arrival.  How long an event
 * takes from durable to committed is measured on the monotonic clock instead,
 * which no one sets; a fixed number of such times is kept for that.
 */
#ifndef BATCHD_DURABLE_TIMES_H
#define BATCHD_DURABLE_TIMES_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/histogram.h"

#define DURABLE_TIMES_MAX 4096

struct durable_times {
	struct durable_time {
		uint64_t
		    end_offset; /* events below it, down to the entry before */
		uint64_t at_us; /* became durable then; monotonic */
	} list[DURABLE_TIMES_MAX]; /* a ring */
	uint64_t count;            /* ever added; the newest is at count - 1 */
	uint64_t first_offset;     /* of the oldest entry's events */
};

/* Events below end_offset have become durable at now_us. */
void durable_times_add(struct durable_times *m, uint64_t from,
                       uint64_t end_offset, uint64_t now_us);

/*
 * Count for each event of from..to how long ago it became durable; older_us is
 * taken for those that are older than all entries.
 */
void durable_times_count(const struct durable_times *m, uint64_t from,
                         uint64_t to, uint64_t now_us, uint64_t older_us,
                         struct histogram *h);

#endif
