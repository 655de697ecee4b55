/*
 * histogram - durations, counted in buckets with fixed bounds.  All daemons
 * use the same bounds, so that the counts of several processes can be added,
 * and Prometheus can compute a quantile of the sum.
 */
#ifndef LIBBASE_HISTOGRAM_H
#define LIBBASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 15
#define HISTOGRAM_BUCKETS (HISTOGRAM_BOUNDS + 1)

/* The highest duration of each bucket but the last, in ascending order. */
extern const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS];

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS]; /* not cumulative */
	uint64_t sum_us;
};

/* Count a duration that occurred `times` times. */
void histogram_add(struct histogram *h, uint64_t us, uint64_t times);

#endif
