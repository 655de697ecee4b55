/*
 * hist - a histogram of latencies with bounded memory and error.
 *
 * Values are whole microseconds.  Up to 127 each value has its own bucket;
 * above that a power of two is split into 64, so a quantile is at most 1.6 %
 * above the true value.  A hist of all zeros is empty.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_MAX_BITS 40 /* 2^40 us: twelve days; more counts as this */
#define HIST_BUCKETS                                                           \
	((HIST_MAX_BITS - HIST_SUB_BITS + 1) * (1 << HIST_SUB_BITS))

struct hist {
	uint64_t counts[HIST_BUCKETS];
	uint64_t total;
	uint64_t max_us; /* exact */
};

void hist_add(struct hist *h, uint64_t us);

/*
 * The value that a share `q` (0..1) of all values does not pass, or 0 when h
 * is empty.
 */
uint64_t hist_quantile(const struct hist *h, double q);

#endif
