/*
 * units - figures with few digits, for columns of a terminal.  Each function
 * writes to `out` and returns it.
 */
#ifndef LEAT_UNITS_H
#define LEAT_UNITS_H

#include <stdint.h>

#define UNITS_TEXT_BYTES 48

/* A number of bytes: "512B", "1.2G".  K is 1,024 bytes. */
const char *units_bytes(uint64_t bytes, char out[UNITS_TEXT_BYTES]);

/* A number of events: "99999", "123k", "1.23M", rounded down. */
const char *units_count(uint64_t n, char out[UNITS_TEXT_BYTES]);

/* A duration: "0.4 s", "42 s", "12m 05s", "3h 05m", "12d 03h". */
const char *units_duration(uint64_t ms, char out[UNITS_TEXT_BYTES]);

/* A time in microseconds since 1970: "2026-11-26 14:00:00Z". */
const char *units_time(uint64_t us, char out[UNITS_TEXT_BYTES]);

#endif
