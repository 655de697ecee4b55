/* hist - see hist.h. */
#include "bench/hist.h"

#include <stddef.h>

#define SUB (UINT64_C(1) << HIST_SUB_BITS)

static size_t
bucket_of(uint64_t us)
{
	unsigned shift;

	if (us < 2 * SUB)
		return (size_t)us;
	shift = 63 - (unsigned)__builtin_clzll(us) - HIST_SUB_BITS;
	return (size_t)(shift * SUB + (us >> shift));
}

/* The largest value in bucket i. */
static uint64_t
bucket_end(size_t i)
{
	uint64_t shift;

	if (i < 2 * SUB)
		return i;
	shift = i / SUB - 1;
	return ((SUB + i % SUB + 1) << shift) - 1;
}

void
hist_add(struct hist *h, uint64_t us)
{
	size_t i = bucket_of(us);

	if (i >= HIST_BUCKETS)
		i = HIST_BUCKETS - 1;
	h->counts[i]++;
	h->total++;
	if (us > h->max_us)
		h->max_us = us;
}

uint64_t
hist_quantile(const struct hist *h, double q)
{
	double share = q * (double)h->total;
	uint64_t rank = (uint64_t)share, seen = 0;

	if (rank == 0 || (double)rank < share)
		rank++;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->counts[i];
		if (seen >= rank) {
			uint64_t end = bucket_end(i);

			return end < h->max_us ? end : h->max_us;
		}
	}
	return h->max_us;
}
