/* jsonb_number - see jsonb_number.h. */
#include "sinkd-postgres/jsonb_number.h"

#include <stdint.h>

/*
 * A numeric consists of digits to the base 10000, a 16-bit weight of the first
 * digit, and a 14-bit count of decimal digits after the point.
 */
#define INTEGER_DIGITS_MAX 131072
#define FRACTION_DIGITS_MAX 16383
/* The server refuses a larger exponent, even for a zero. */
#define EXPONENT_MAX (INT32_MAX / 2)

static bool
jsonb_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Read the exponent at `at`, after the e.  A value that is too large saturates.
 */
static const char *
jsonb_read_exponent(const char *at, const char *end, int64_t *exponent)
{
	bool negative = at < end && *at == '-';
	int64_t value = 0;

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (; at < end && jsonb_is_digit(*at); at++)
		value = value > EXPONENT_MAX ? value : value * 10 + *at - '0';
	*exponent = negative ? -value : value;
	return at;
}

/* Read the number at `at`, without its sign.  Returns its end. */
static const char *
jsonb_read_number(const char *at, const char *end, bool *fits)
{
	int64_t integer = 0, fraction = 0, exponent = 0;
	int64_t leading = 0; /* zeros before the first nonzero digit */
	bool point = false, zero = true;

	for (; at < end && (jsonb_is_digit(*at) || *at == '.'); at++) {
		if (*at == '.') {
			point = true;
			continue;
		}
		zero = zero && *at == '0';
		leading += zero;
		integer += !point;
		fraction += point;
	}
	if (at < end && (*at == 'e' || *at == 'E'))
		at = jsonb_read_exponent(at + 1, end, &exponent);
	*fits = exponent <= EXPONENT_MAX && exponent >= -EXPONENT_MAX &&
	        fraction - exponent <= FRACTION_DIGITS_MAX &&
	        (zero || integer - leading + exponent <= INTEGER_DIGITS_MAX);
	return at;
}

/*
 * Return true if one of the numbers may not fit, because it has an exponent or
 * because the text is long enough for so many digits.  Most texts have neither,
 * and need no closer look.
 */
static bool
may_not_fit(struct slice json)
{
	bool exponent = false;

	if (json.bytes > FRACTION_DIGITS_MAX)
		return true;
	for (uint32_t i = 1; i < json.bytes; i++)
		exponent |= (json.data[i] | 0x20) == 'e' &&
		            jsonb_is_digit(json.data[i - 1]);
	return exponent;
}

/* Return the end of the string whose opening quote is before `at`. */
static const char *
skip_string(const char *at, const char *end)
{
	while (at < end && *at != '"')
		at += *at == '\\' ? 2 : 1;
	return at < end ? at + 1 : end;
}

bool
jsonb_numbers_fit(struct slice json)
{
	const char *at = json.data, *end = json.data + json.bytes;
	bool fits = true;

	if (!may_not_fit(json))
		return true;
	while (at < end && fits) {
		if (*at == '"')
			at = skip_string(at + 1, end);
		else if (jsonb_is_digit(*at))
			at = jsonb_read_number(at, end, &fits);
		else
			at++;
	}
	return fits;
}
