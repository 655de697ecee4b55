/* json_escape - see json_escape.h. */
#include "libjson/json_escape.h"

#include <errno.h>
#include <string.h>

#include "libbase/hex.h"

/* Return the value of four hexadecimal digits at p, or -1. */
static int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* Check one escape, whose backslash is at *at, and move past it. */
static int
check_one(const char **at, const char *end, const char **why)
{
	const char *p = *at + 1;
	int unit;

	*at = p + 1;
	if (p < end && *p != 'u') {
		if (memchr("\"\\/bfnrt", *p, 8))
			return 0;
		*why = "invalid escape in a string";
		return -EBADMSG;
	}
	unit = hex4(p + 1, end);
	if (unit < 0) {
		*why = "\\u must be followed by four hexadecimal digits";
		return -EBADMSG;
	}
	*at = p + 5;
	if (unit == 0) {
		*why = "must not contain \\u0000";
		return -EINVAL;
	}
	if (unit < 0xd800 || unit > 0xdfff)
		return 0;
	if (unit <= 0xdbff && end - *at >= 6 && (*at)[0] == '\\' &&
	    (*at)[1] == 'u') {
		int low = hex4(*at + 2, end);

		if (low >= 0xdc00 && low <= 0xdfff) {
			*at += 6;
			return 0;
		}
	}
	*why = "must not contain an unpaired surrogate";
	return -EINVAL;
}

int
json_escape_check(const char *backslash, const char *end, const char **why)
{
	const char *at = backslash;
	const char *refused = NULL;

	do {
		int rc = check_one(&at, end, why);

		if (rc == -EBADMSG)
			return rc;
		if (rc < 0 && !refused)
			refused = *why;
	} while ((at = memchr(at, '\\', (size_t)(end - at))));
	if (!refused)
		return 0;
	*why = refused;
	return -EINVAL;
}

static char *
put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*out++ = (char)(0xe0 | c >> 12);
		} else {
			*out++ = (char)(0xf0 | c >> 18);
			*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

/* Return the character of a \u escape, or of a pair, and move past it. */
static unsigned
character(const char **at, const char *end)
{
	unsigned c = (unsigned)hex4(*at + 2, end), low;

	*at += 6;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	low = (unsigned)hex4(*at + 2, end);
	*at += 6;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

size_t
json_escape_remove(const char *at, const char *end, char *out, size_t cap)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *start = out;

	while (at < end) {
		if ((size_t)(out - start) > cap)
			return cap + 1;
		if (*at != '\\') {
			*out++ = *at++;
		} else if (at[1] != 'u') {
			*out++ = to[strchr(from, at[1]) - from];
			at += 2;
		} else {
			out = put_utf8(out, character(&at, end));
		}
	}
	return (size_t)(out - start) > cap ? cap + 1 : (size_t)(out - start);
}
