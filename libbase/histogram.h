/*
 * histogram - durations counted in buckets of fixed bounds, which are the
 * same in every daemon: counts of several processes can be added up, and
 * Prometheus can take a quantile of the sum.
 */
#ifndef LIBBASE_HISTOGRAM_H
#define LIBBASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 15
#define HISTOGRAM_BUCKETS (HISTOGRAM_BOUNDS + 1)

/* Highest duration of each bucket, in ascending order; the last has none. */
extern const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS];

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS]; /* not cumulative */
	uint64_t sum_us;
};

/* Count a duration that occurred `times` times. */
void histogram_add(struct histogram *h, uint64_t us, uint64_t times);

#endif
