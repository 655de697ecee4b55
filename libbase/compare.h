/* compare - an order for qsort and bsearch. */
#ifndef LIBBASE_COMPARE_H
#define LIBBASE_COMPARE_H

#include <stdint.h>

/* For numbers, and for structs whose first member is the number. */
static inline int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

#endif
