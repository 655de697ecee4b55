/*
 * rfc3339 - convert timestamps from text to microseconds since 1970.
 *
 * Accepted are texts such as "2026-01-31T23:59:59Z", with 'T', 't' or a space,
 * a fraction of any number of digits (which is cut, not rounded, to
 * microseconds), and 'Z', 'z' or an offset such as "+02:00".  A leap second
 * (":60") is accepted at the end of a UTC day, where one can be.  It becomes
 * the last microsecond of its minute, because PostgreSQL and other stores have
 * no such second.  The year must be 1970 to 9999 in UTC.
 */
#ifndef LIBPROTO_RFC3339_H
#define LIBPROTO_RFC3339_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* Returns 0, -EINVAL (not such a text) or -ERANGE (another year). */
MUST_USE int rfc3339_read(const char *text, size_t n, int64_t *us);

#endif
