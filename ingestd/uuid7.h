/*
 * uuid7 - identifiers for events that came without one: RFC 9562 version 7.
 *
 * 48 bits of milliseconds, then 74 random bits, counted up by a small random
 * step while the millisecond stands still: the identifiers of one generator
 * sort in the order they were made, also when the clock goes back.
 */
#ifndef INGESTD_UUID7_H
#define INGESTD_UUID7_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define UUID7_TEXT_BYTES 36 /* without a NUL */

struct uuid7 {
	uint64_t ms;       /* of the last one */
	uint64_t high;     /* its rand_a: 12 bits */
	uint64_t low;      /* its rand_b: 62 bits */
	uint8_t pool[512]; /* randomness not used yet, from `used` on */
	size_t used;
};

/* Returns 0, or -errno when the system has no randomness to give. */
MUST_USE int uuid7_init(struct uuid7 *u);

/* Write the next one as text, without a NUL. */
void uuid7_next(struct uuid7 *u, int64_t wall_us, char out[UUID7_TEXT_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
