/* units - see units.h. */
#include "leat/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Below this a count is shown with all its digits. */
#define COUNT_EXACT 100000

const char *
units_bytes(uint64_t bytes, char out[UNITS_TEXT_BYTES])
{
	static const char units[] = "BKMGTP";
	double v = (double)bytes;
	int unit = 0;

	while (v >= 1024 && units[unit + 1]) {
		v /= 1024;
		unit++;
	}
	(void)snprintf(out, UNITS_TEXT_BYTES, unit ? "%.1f%c" : "%.0f%c", v,
	               units[unit]);
	return out;
}

const char *
units_count(uint64_t n, char out[UNITS_TEXT_BYTES])
{
	static const char units[] = "kMGTPE";
	uint64_t unit = 1000;
	int i = 0;

	if (n < COUNT_EXACT) {
		(void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64, n);
		return out;
	}
	for (; n / unit >= 1000 && units[i + 1]; i++)
		unit *= 1000;
	/* Three digits. */
	if (n / unit >= 100)
		(void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 "%c", n / unit,
		               units[i]);
	else if (n / unit >= 10)
		(void)snprintf(out, UNITS_TEXT_BYTES,
		               "%" PRIu64 ".%" PRIu64 "%c", n / unit,
		               n % unit / (unit / 10), units[i]);
	else
		(void)snprintf(out, UNITS_TEXT_BYTES,
		               "%" PRIu64 ".%02" PRIu64 "%c", n / unit,
		               n % unit / (unit / 100), units[i]);
	return out;
}

const char *
units_duration(uint64_t ms, char out[UNITS_TEXT_BYTES])
{
	uint64_t s = ms / 1000, minutes = s / 60, hours = minutes / 60,
		 days = hours / 24;

	if (s < 10)
		(void)snprintf(out, UNITS_TEXT_BYTES,
		               "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
	else if (minutes == 0)
		(void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 " s", s);
	else if (hours == 0)
		(void)snprintf(out, UNITS_TEXT_BYTES,
		               "%" PRIu64 "m %02" PRIu64 "s", minutes, s % 60);
	else if (days == 0)
		(void)snprintf(out, UNITS_TEXT_BYTES,
		               "%" PRIu64 "h %02" PRIu64 "m", hours,
		               minutes % 60);
	else if (days < 100000)
		(void)snprintf(out, UNITS_TEXT_BYTES,
		               "%" PRIu64 "d %02" PRIu64 "h", days, hours % 24);
	else
		(void)snprintf(out, UNITS_TEXT_BYTES, ">99999d");
	return out;
}

const char *
units_time(uint64_t us, char out[UNITS_TEXT_BYTES])
{
	time_t at = (time_t)(us / 1000000);
	struct tm tm;

	if (!gmtime_r(&at, &tm) ||
	    strftime(out, UNITS_TEXT_BYTES, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
		memcpy(out, "?", 2);
	return out;
}
