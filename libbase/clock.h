/*
 * clock - the two clocks: wall time for what people and stores see, monotonic
 * time for intervals, time-outs and back-off.
 */
#ifndef LIBBASE_CLOCK_H
#define LIBBASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Microseconds since 1970-01-01 00:00:00 UTC. */
int64_t clock_wall_us(void);

/* Milliseconds since an arbitrary start; never goes back. */
uint64_t clock_mono_ms(void);

/* The same clock in microseconds. */
uint64_t clock_mono_us(void);

/* The length of the text of clock_format_us, without its NUL. */
#define CLOCK_TEXT_BYTES 27

/*
 * Write wall_us as RFC 3339 in UTC with microseconds
 * ("2026-01-31T23:59:59.123456Z") and a NUL into out.  A time outside of the
 * years 0000 to 9999 is written as the first or last moment of these.
 */
void clock_format_us(int64_t wall_us, char out[CLOCK_TEXT_BYTES + 1]);

#endif
