/* rate - how fast a counter grows, over the last five seconds. */
#ifndef BATCHD_RATE_H
#define BATCHD_RATE_H

#include <stddef.h>
#include <stdint.h>

#define RATE_SAMPLES 6 /* one second apart, so they cover five seconds */

struct rate {
	struct {
		uint64_t at_ms, value;
	} samples[RATE_SAMPLES]; /* a ring */
	uint64_t count;          /* of samples, ever */
};

/* Record the counter's value at now_ms, on the monotonic clock. */
static inline void
rate_sample(struct rate *r, uint64_t now_ms, uint64_t value)
{
	size_t at = r->count++ % RATE_SAMPLES;

	r->samples[at].at_ms = now_ms;
	r->samples[at].value = value;
}

/* Growth per second, rounded down, from the oldest sample to the newest. */
static inline uint64_t
rate_per_s(const struct rate *r)
{
	size_t oldest = r->count > RATE_SAMPLES ? r->count % RATE_SAMPLES : 0;
	size_t newest;
	uint64_t ms;

	if (r->count < 2)
		return 0;
	newest = (r->count - 1) % RATE_SAMPLES;
	ms = r->samples[newest].at_ms - r->samples[oldest].at_ms;
	return ms == 0 ? 0
	               : (r->samples[newest].value - r->samples[oldest].value) *
	                     1000 / ms;
}

#endif
