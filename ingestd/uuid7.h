/*
 * uuid7 - identifiers for events that have none: RFC 9562, version 7.
 *
 * An identifier has 48 bits of milliseconds and 74 random bits.  Within one
 * millisecond, and when the clock goes back, the random bits are instead those
 * of the last identifier plus a small random number.  The identifiers of one
 * generator therefore sort in the order in which they were made.
 */
#ifndef INGESTD_UUID7_H
#define INGESTD_UUID7_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

#define UUID7_TEXT_BYTES 36 /* without a NUL */

struct uuid7 {
	uint64_t ms;       /* of the last identifier */
	uint64_t high;     /* its rand_a: 12 bits */
	uint64_t low;      /* its rand_b: 62 bits */
	uint8_t pool[512]; /* random bytes, unused from `used` on */
	size_t used;
};

/* Returns 0, or -errno if the system provides no random bytes. */
MUST_USE int uuid7_init(struct uuid7 *u);

/* Write the next identifier as text, without a NUL. */
void uuid7_next(struct uuid7 *u, int64_t wall_us, char out[UUID7_TEXT_BYTES]);

#endif
