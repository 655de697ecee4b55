/* options - see options.h. */
#include "leat/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "leat/log_time.h"
#include "libbase/clock.h"
#include "libbase/log.h"

int
options_duration(const char *option, const char *text, uint64_t *ms)
{
	int64_t us = 0;
	int rc = when_read_duration(text, &us);

	/* A poll waits an int of milliseconds, 24 days. */
	if (rc == 0 && us > 0)
		*ms = (uint64_t)us / 1000;
	if (rc == 0 && us > 0)
		return 0;
	log_error("%s must be a duration, as 90s, 30m, 12h or 7d value=%s",
	          option, log_quote(text));
	return -EINVAL;
}

int
options_timeout(const char *text, uint64_t *ms)
{
	int rc;

	if (!text)
		return 0;
	rc = options_duration("--timeout", text, ms);
	if (rc == 0 && *ms > INT_MAX) {
		log_error("--timeout must be at most 24d value=%s",
		          log_quote(text));
		rc = -EINVAL;
	}
	return rc;
}

int
options_when(const char *option, const char *text, struct when *when)
{
	int rc = when_read(text, clock_wall_us(), when);

	if (rc == -ERANGE)
		log_error("%s is out of range: a time must be from 1970 to "
		          "now, and an offset below 2^63 value=%s",
		          option, log_quote(text));
	else if (rc < 0)
		log_error("%s must be %s value=%s", option, WHEN_FORMS,
		          log_quote(text));
	return rc < 0 ? -EINVAL : 0;
}

int
options_offset(const char *option, const char *text, const char *log_dir,
               uint64_t first, uint64_t end, struct when *when)
{
	if (options_when(option, text, when) < 0)
		return EXIT_CONFIG;
	switch (when->kind) {
	case WHEN_OLDEST:
		when->offset = first;
		break;
	case WHEN_NEWEST:
		when->offset = end;
		break;
	case WHEN_TIME:
		if (log_time_find_in(log_dir, when->us, &when->offset) < 0)
			return EXIT_FAILURE;
		break;
	case WHEN_OFFSET:
		break;
	}
	return 0;
}
