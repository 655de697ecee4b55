/* retry_delay - how long to wait before what has failed is tried again. */
#ifndef LIBBASE_RETRY_DELAY_H
#define LIBBASE_RETRY_DELAY_H

#include <stdint.h>

/*
 * Return the n-th delay in a row (n from 1): min_ms, doubled each time up to
 * max_ms, less a random part of up to a half.
 */
uint64_t retry_delay_ms(uint64_t min_ms, uint64_t max_ms, unsigned n);

#endif
