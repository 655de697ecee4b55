/* distinct - see distinct.h. */
#include "sinkd-dashboard/distinct.h"

#include <math.h>

/* A register holds 1 plus the number of zero bits after the register's index.
 */
#define RANK_BITS (64 - DISTINCT_BITS)

void
distinct_add(struct distinct *d, uint64_t hash)
{
	uint64_t rest = hash << DISTINCT_BITS;
	uint8_t *r = &d->registers[hash >> RANK_BITS];
	/* __builtin_clzll is undefined for 0. */
	int zeros = rest ? __builtin_clzll(rest) : RANK_BITS;

	if (zeros + 1 > *r)
		*r = (uint8_t)(zeros + 1);
}

void
distinct_merge(struct distinct *into, const struct distinct *from)
{
	for (int i = 0; i < DISTINCT_REGISTERS; i++) {
		if (from->registers[i] > into->registers[i])
			into->registers[i] = from->registers[i];
	}
}

/* The sum over k >= 1 of x^(2^k) * 2^(k-1), plus x: Ertl's sigma; 0 <= x < 1.
 */
static double
sigma(double x)
{
	double y = 1;
	double z = x;
	double before;

	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z > before);
	return z;
}

/* Ertl's tau; 0 <= x <= 1. */
static double
tau(double x)
{
	double y = 1;
	double z = 1 - x;
	double before;

	if (x <= 0 || x >= 1)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z < before);
	return z / 3;
}

double
distinct_estimate(const struct distinct *d)
{
	const double m = DISTINCT_REGISTERS;
	int with_rank[RANK_BITS + 2] = {0};
	double z;

	for (int i = 0; i < DISTINCT_REGISTERS; i++)
		with_rank[d->registers[i]]++;
	if (with_rank[0] == DISTINCT_REGISTERS)
		return 0;
	z = m * tau(1 - with_rank[RANK_BITS + 1] / m);
	for (int k = RANK_BITS; k >= 1; k--)
		z = 0.5 * (z + with_rank[k]);
	z += m * sigma(with_rank[0] / m);
	return m * m / (2 * M_LN2 * z);
}
