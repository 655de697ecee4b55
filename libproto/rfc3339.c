/* rfc3339 - see rfc3339.h. */
#include "libproto/rfc3339.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "libproto/event.h"

#define US_PER_S INT64_C(1000000)
#define MINUTES_PER_DAY (24 * 60)
#define SECONDS_PER_DAY (MINUTES_PER_DAY * 60)

/* Return the value of `count` digits, or -1. */
static int
rfc3339_digits(const char *text, int count)
{
	int v = 0;

	for (int i = 0; i < count; i++) {
		unsigned d = (unsigned char)text[i] - (unsigned)'0';

		if (d > 9)
			return -1;
		v = v * 10 + (int)d;
	}
	return v;
}

static bool
leap_year(int y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int
month_days(int year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
	                               31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && leap_year(year));
}

/*
 * Return the days since 1970-01-01.  Years are counted from March 0000, so
 * that a leap day is the last day of its year.
 */
static int64_t
days_from_civil(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int era = (y >= 0 ? y : y - 399) / 400;
	int yoe = y - era * 400;
	int doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return (int64_t)era * 146097 + doe - 719468;
}

/* Read the fraction with its point.  Returns bytes read, or -EINVAL. */
static ssize_t
read_fraction(const char *text, size_t n, int *us)
{
	int v = 0, d;
	size_t got = 0;

	/* Any number of digits is allowed; those below 1 us are dropped. */
	while (1 + got < n && (d = rfc3339_digits(text + 1 + got, 1)) >= 0) {
		if (got < 6)
			v = v * 10 + d;
		got++;
	}
	if (got == 0)
		return -EINVAL;
	for (size_t i = got; i < 6; i++)
		v *= 10;
	*us = v;
	return (ssize_t)(1 + got);
}

/* Read all of text as an offset in minutes east.  Returns 0 or -EINVAL. */
static int
read_offset(const char *text, size_t n, int *minutes)
{
	int h, m;

	if (n == 1 && (*text == 'Z' || *text == 'z')) {
		*minutes = 0;
		return 0;
	}
	if (n != 6 || (*text != '+' && *text != '-') || text[3] != ':')
		return -EINVAL;
	h = rfc3339_digits(text + 1, 2);
	m = rfc3339_digits(text + 4, 2);
	if (h < 0 || h > 23 || m < 0 || m > 59)
		return -EINVAL;
	*minutes = (*text == '-' ? -1 : 1) * (h * 60 + m);
	return 0;
}

int
rfc3339_read(const char *text, size_t n, int64_t *us)
{
	int year, month, day, h, m, s, rc, fraction_us = 0, offset;
	ssize_t fraction_bytes;
	size_t at = 19;
	int64_t t;
	bool leap;

	if (n < 20 || text[4] != '-' || text[7] != '-' ||
	    (text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
	    text[13] != ':' || text[16] != ':')
		return -EINVAL;
	year = rfc3339_digits(text, 4);
	month = rfc3339_digits(text + 5, 2);
	day = rfc3339_digits(text + 8, 2);
	h = rfc3339_digits(text + 11, 2);
	m = rfc3339_digits(text + 14, 2);
	s = rfc3339_digits(text + 17, 2);
	if (year < 0 || month < 1 || month > 12 || day < 1 ||
	    day > month_days(year, month) || h < 0 || h > 23 || m < 0 ||
	    m > 59 || s < 0 || s > 60)
		return -EINVAL;
	if (text[at] == '.') {
		fraction_bytes = read_fraction(text + at, n - at, &fraction_us);
		if (fraction_bytes < 0)
			return (int)fraction_bytes;
		at += (size_t)fraction_bytes;
	}
	rc = read_offset(text + at, n - at, &offset);
	if (rc < 0)
		return rc;

	leap = s == 60;
	if (leap) {
		s = 59;
		fraction_us = (int)US_PER_S - 1;
	}
	t = days_from_civil(year, month, day) * SECONDS_PER_DAY +
	    (h * 60 + m - offset) * INT64_C(60) + s;
	if (leap && (t + 1) % SECONDS_PER_DAY != 0)
		return -EINVAL;
	t = t * US_PER_S + fraction_us;
	if (t < EVENT_TIME_MIN_US || t > EVENT_TIME_MAX_US)
		return -ERANGE;
	*us = t;
	return 0;
}
