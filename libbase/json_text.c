/* json_text - see json_text.h. */
#include "libbase/json_text.h"

#include <stdbool.h>

#include "libbase/printable.h"

/* ASCII that a JSON string contains as it is. */
static bool
is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f &&
	       c != '"' && c != '\\';
}

static int
add_escape(struct buf *out, uint32_t code, size_t bytes)
{
	if (bytes == 1 && code > 0x7f)
		code = 0xfffd; /* JSON must be UTF-8, and this byte is not */
	if (code <= 0xffff)
		return buf_addf(out, "\\u%04x", (unsigned)code);
	code -= 0x10000;
	return buf_addf(out, "\\u%04x\\u%04x",
	                (unsigned)(0xd800 + (code >> 10)),
	                (unsigned)(0xdc00 + (code & 0x3ff)));
}

/* Append text, and a backslash before quotes and backslashes if `in_string`. */
static int
json_text_put(struct buf *out, const char *text, size_t bytes, bool in_string)
{
	const char *at = text, *end = text + bytes;
	int rc = 0;

	while (rc == 0 && at < end) {
		const char *from = at;
		uint32_t code;
		size_t n;
		bool safe;

		while (at < end && is_plain(*at))
			at++;
		rc = buf_add(out, from, (size_t)(at - from));
		if (rc < 0 || at == end)
			return rc;
		n = printable_next(at, (size_t)(end - at), &code, &safe);
		if (!safe)
			rc = add_escape(out, code, n);
		else if (in_string && (code == '"' || code == '\\'))
			rc = buf_add(out, "\\", 1);
		if (rc == 0 && safe)
			rc = buf_add(out, at, n);
		at += n;
	}
	return rc;
}

int
json_text_add(struct buf *out, struct slice text)
{
	int rc = buf_add(out, "\"", 1);

	if (rc == 0)
		rc = json_text_put(out, text.data, text.bytes, true);
	return rc < 0 ? rc : buf_add(out, "\"", 1);
}

int
json_text_add_escaped(struct buf *out, const char *json, size_t bytes)
{
	return json_text_put(out, json, bytes, false);
}
