/* compare - an order for qsort and bsearch, and a search in sorted numbers. */
#ifndef LIBBASE_COMPARE_H
#define LIBBASE_COMPARE_H

#include <stddef.h>
#include <stdint.h>

/* For numbers, and for structs whose first member is the number. */
static inline int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * Return the index of the first of the n ascending numbers that is not below
 * `value`, or n.
 */
static inline size_t
lower_bound_u64(const uint64_t *numbers, size_t n, uint64_t value)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (numbers[mid] < value)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

#endif
