/* options - see options.h. */
#include "leat/options.h"

#include <errno.h>
#include <limits.h>

#include "leat/log_time.h"
#include "libbase/clock.h"
#include "libbase/file.h"
#include "libbase/log.h"

int
options_duration(const char *option, const char *text, void *into)
{
	uint64_t *ms = into;
	int64_t us = 0;

	if (when_read_duration(text, &us) == 0 && us > 0) {
		*ms = (uint64_t)us / 1000;
		return 0;
	}
	log_error("%s must be a duration, as 90s, 30m, 12h or 7d value=%s",
	          option, log_quote(text));
	return -EINVAL;
}

int
options_timeout(const char *option, const char *text, void *into)
{
	const uint64_t *ms = into;
	int rc = options_duration(option, text, into);

	/* A poll waits an int of milliseconds, 24 days. */
	if (rc == 0 && *ms > INT_MAX) {
		log_error("%s must be at most 24d value=%s", option,
		          log_quote(text));
		rc = -EINVAL;
	}
	return rc;
}

int
options_when(const char *option, const char *text, void *into)
{
	int rc = when_read(text, clock_wall_us(), into);

	if (rc == -ERANGE)
		log_error("%s is out of range: a time must be from 1970 to "
		          "now, and an offset below 2^63 value=%s",
		          option, log_quote(text));
	else if (rc < 0)
		log_error("%s must be %s value=%s", option, WHEN_FORMS,
		          log_quote(text));
	return rc < 0 ? -EINVAL : 0;
}

bool
options_number(const char *text, uint64_t *number)
{
	return when_read_number(&text, number) == 0 && *text == '\0';
}

int
options_find_offset(struct when *when, const char *log_dir, uint64_t first,
                    uint64_t end)
{
	switch (when->kind) {
	case WHEN_NONE:
	case WHEN_OLDEST:
		when->offset = first;
		return 0;
	case WHEN_NEWEST:
		when->offset = end;
		return 0;
	case WHEN_TIME:
		return log_time_find_in(log_dir, when->us, &when->offset);
	case WHEN_OFFSET:
		break;
	}
	return 0;
}

void
options_log_unreadable(const char *dir, int rc, const char *advice)
{
	if (rc == -ENOENT)
		log_error("no log in this directory dir=%s%s", log_quote(dir),
		          advice);
	else
		log_error("cannot read the log dir=%s err=%s", log_quote(dir),
		          log_quote(file_error(rc)));
}
