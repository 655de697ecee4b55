/*
 * when - a point of the log, as an operator names it: 131072,
 * 2026-11-26T14:00Z, -10m, oldest or newest.
 */
#ifndef LEAT_WHEN_H
#define LEAT_WHEN_H

#include <stdint.h>

#include "libbase/base.h"

/* What a point of the log can be, for messages. */
#define WHEN_FORMS                                                             \
	"an offset, a time (2026-11-26T14:00Z), -10m (s, m, h or d), oldest "  \
	"or newest"

enum when_kind {
	WHEN_NONE, /* none was given */
	WHEN_OLDEST,
	WHEN_NEWEST,
	WHEN_OFFSET,
	WHEN_TIME,
};

struct when {
	enum when_kind kind;
	uint64_t offset; /* WHEN_OFFSET */
	int64_t us;      /* WHEN_TIME: µs since 1970 */
};

/*
 * Read text.  A time is RFC 3339 (rfc3339.h), in which the seconds, or the
 * whole time of day, may be left out; a date alone is its midnight in UTC.
 * -10m is ten minutes before now_us.  Returns 0; -EINVAL when it is none of
 * these; or -ERANGE when no event can have the offset, or the time is before
 * 1970 or after now_us.
 */
MUST_USE int when_read(const char *text, int64_t now_us, struct when *out);

/* Read a duration such as "10m" (s, m, h, d), in µs.  Returns as when_read. */
MUST_USE int when_read_duration(const char *text, int64_t *us);

/*
 * Read the decimal digits at *text, which must be there, and move past them.
 * Returns 0, -EINVAL, or -ERANGE if the number is above OFFSET_MAX.
 */
MUST_USE int when_read_number(const char **text, uint64_t *number);

#endif
