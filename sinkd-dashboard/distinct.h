/*
 * distinct - an estimate of how many different keys there were, in 4 KiB.
 *
 * This is HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007) with 2^12
 * registers, whose standard error is 1.04 / sqrt(4096) = 1.6 %.  The estimate
 * is computed as in Ertl, "New cardinality estimation algorithms for
 * HyperLogLog sketches" (2017), algorithm 6: it needs no correction tables and
 * is as good for few keys as for many.
 */
#ifndef SINKD_DASHBOARD_DISTINCT_H
#define SINKD_DASHBOARD_DISTINCT_H

#include <stdint.h>

#define DISTINCT_BITS 12
#define DISTINCT_REGISTERS (1 << DISTINCT_BITS)

struct distinct {
	uint8_t registers[DISTINCT_REGISTERS]; /* all 0: no keys */
};

/* Count a key, by a 64-bit hash whose bits are all equally random. */
void distinct_add(struct distinct *d, uint64_t hash);

/* Add the keys of `from` to those of `into`. */
void distinct_merge(struct distinct *into, const struct distinct *from);

double distinct_estimate(const struct distinct *d);

#endif
