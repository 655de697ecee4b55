/* when - see when.h. */
#include "leat/when.h"

#include <errno.h>
#include <string.h>

#include "batchd/segment.h"
#include "libproto/rfc3339.h"

#define US_PER_S INT64_C(1000000)

int
when_read_number(const char **text, uint64_t *number)
{
	uint64_t n = 0;

	if (**text < '0' || **text > '9')
		return -EINVAL;
	for (; **text >= '0' && **text <= '9'; ++*text) {
		uint64_t digit = (uint64_t)(**text - '0');

		if (n > (OFFSET_MAX - digit) / 10)
			return -ERANGE;
		n = 10 * n + digit;
	}
	*number = n;
	return 0;
}

int
when_read_duration(const char *text, int64_t *us)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 60 * 60}, {'d', 24 * 60 * 60}};
	uint64_t number;
	int rc = when_read_number(&text, &number);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(units); i++) {
		if (text[0] != units[i].unit || text[1] != '\0')
			continue;
		if ((int64_t)number > INT64_MAX / US_PER_S / units[i].s)
			return -ERANGE;
		*us = (int64_t)number * units[i].s * US_PER_S;
		return 0;
	}
	return rc < 0 ? rc : -EINVAL;
}

/* Read a time whose seconds, or time of day, may be left out. */
static int
when_read_time(const char *text, int64_t *us)
{
	static const size_t date = sizeof "2026-11-26" - 1;
	static const size_t minutes = sizeof "2026-11-26T14:00" - 1;
	const char *rest = "T00:00:00Z", *more = "";
	size_t n = strlen(text), head = n < date ? n : date;
	char full[80];

	if (n >= sizeof full - sizeof ":00")
		return -EINVAL;
	if (n > date && n > minutes && text[minutes] != ':') {
		head = minutes;
		more = ":00";
	}
	if (n > date)
		rest = text + head;
	memcpy(full, text, head);
	memcpy(full + head, more, strlen(more));
	memcpy(full + head + strlen(more), rest, strlen(rest));
	return rfc3339_read(full, head + strlen(more) + strlen(rest), us);
}

int
when_read(const char *text, int64_t now_us, struct when *out)
{
	const char *end = text;
	int rc;

	*out = (struct when){.kind = WHEN_OLDEST};
	if (strcmp(text, "oldest") == 0)
		return 0;
	if (strcmp(text, "newest") == 0) {
		out->kind = WHEN_NEWEST;
		return 0;
	}
	if (text[0] != '\0' && text[strspn(text, "0123456789")] == '\0') {
		out->kind = WHEN_OFFSET;
		return when_read_number(&end, &out->offset);
	}
	out->kind = WHEN_TIME;
	if (text[0] == '-') {
		rc = when_read_duration(text + 1, &out->us);
		out->us = now_us - out->us;
	} else {
		rc = when_read_time(text, &out->us);
	}
	if (rc == 0 && (out->us < 0 || out->us > now_us))
		rc = -ERANGE;
	return rc;
}
