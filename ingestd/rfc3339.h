/*
 * rfc3339 - timestamps as text, to microseconds since 1970.
 *
 * Taken: "2026-01-31T23:59:59Z", with 'T' or 't' or a space, a fraction of 1
 * to 9 digits (cut, not rounded, to microseconds), and 'Z', 'z' or an offset
 * such as "+02:00".  A leap second (":60") is taken where one can be, at the
 * end of a UTC day, and becomes the last microsecond of that minute: PostgreSQL
 * and the rest have no such second.  Years 1970 to 9999, after the offset.
 */
#ifndef INGESTD_RFC3339_H
#define INGESTD_RFC3339_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* Returns 0, -EINVAL (not such a text) or -ERANGE (outside the years). */
MUST_USE int rfc3339_read(const char *text, size_t n, int64_t *us);

#endif
