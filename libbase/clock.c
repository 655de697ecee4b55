/* clock - see clock.h. */
#include "libbase/clock.h"

#include <time.h>

#define US_PER_S 1000000
#define YEAR_0000_S INT64_C(-62167219200)
#define YEAR_9999_END_S INT64_C(253402300799)

int64_t
clock_wall_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail on Linux */
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

uint64_t
clock_mono_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

static void
clock_put_digits(char *out, int digits, int value)
{
	for (int i = digits - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
}

void
clock_format_us(int64_t wall_us, char out[CLOCK_TEXT_BYTES + 1])
{
	int64_t s = wall_us / US_PER_S, us = wall_us % US_PER_S;
	time_t t;
	struct tm tm;

	if (us < 0) {
		us += US_PER_S;
		s--;
	}
	if (s < YEAR_0000_S)
		s = YEAR_0000_S;
	if (s > YEAR_9999_END_S)
		s = YEAR_9999_END_S;
	t = (time_t)s;
	(void)gmtime_r(&t, &tm); /* fails only when the year overflows int */

	/* strftime and snprintf are too slow: sinks call this for each event.
	 */
	clock_put_digits(out, 4, tm.tm_year + 1900);
	out[4] = '-';
	clock_put_digits(out + 5, 2, tm.tm_mon + 1);
	out[7] = '-';
	clock_put_digits(out + 8, 2, tm.tm_mday);
	out[10] = 'T';
	clock_put_digits(out + 11, 2, tm.tm_hour);
	out[13] = ':';
	clock_put_digits(out + 14, 2, tm.tm_min);
	out[16] = ':';
	clock_put_digits(out + 17, 2, tm.tm_sec);
	out[19] = '.';
	clock_put_digits(out + 20, 6, (int)us);
	out[26] = 'Z';
	out[27] = '\0';
}
