/*
 * hist - a histogram of latencies with bounded memory and error.
 *
 * Values are whole microseconds.  Each value up to 127 has its own bucket.
 * Above that, each power of two is divided into 64 buckets, so that a quantile
 * is at most 1.6 % above the true value.  A hist of all zeros is empty.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_MAX_BITS 40 /* 2^40 us, 12 days; larger values count as this */
#define HIST_BUCKETS                                                           \
	((HIST_MAX_BITS - HIST_SUB_BITS + 1) * (1 << HIST_SUB_BITS))

struct hist {
	uint64_t counts[HIST_BUCKETS];
	uint64_t total;
	uint64_t max_us; /* exact */
};

void hist_add(struct hist *h, uint64_t us);

/*
 * Return the value that a fraction `q` (0..1) of all values does not exceed, or
 * 0 if h is empty.
 */
uint64_t hist_quantile(const struct hist *h, double q);

#endif
