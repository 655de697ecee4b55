/* json_text - see json_text.h. */
#include "sinkd-dashboard/json_text.h"

#include "libbase/printable.h"

/* ASCII that a JSON string contains as it is. */
static bool
is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f &&
	       c != '"' && c != '\\';
}

/* Append the first character of the text, which has n bytes and this code. */
static void
add_character(struct buf *out, const char *text, size_t n, uint32_t code)
{
	if (n == 1 && code > 0x7f) /* not UTF-8 */
		buf_add_text(out, "\xEF\xBF\xBD");
	else if (code == '"') /* by far the most frequent: payloads are JSON */
		buf_add_text(out, "\\\"");
	else if (code == '\\')
		buf_add_text(out, "\\\\");
	else if (code < 0x20 || code == 0x7f || code == 0x2028 ||
	         code == 0x2029)
		buf_addf(out, "\\u%04x", (unsigned)code);
	else if (buf_add(out, text, n) < 0)
		return;
}

void
json_text_add(struct buf *out, struct slice text)
{
	const char *at = text.data, *end = text.data + text.bytes;

	buf_add_text(out, "\"");
	while (at < end) {
		const char *from = at;
		uint32_t code;
		size_t n;
		bool safe;

		while (at < end && is_plain(*at))
			at++;
		if (buf_add(out, from, (size_t)(at - from)) < 0)
			return;
		if (at == end)
			break;
		n = printable_next(at, (size_t)(end - at), &code, &safe);
		add_character(out, at, n, code);
		at += n;
	}
	buf_add_text(out, "\"");
}

struct slice
json_text_cut(struct slice text, uint32_t bytes)
{
	if (text.bytes <= bytes)
		return text;
	/* Bytes 10xxxxxx continue a character: do not cut before one. */
	while (bytes > 0 && ((unsigned char)text.data[bytes] & 0xC0) == 0x80)
		bytes--;
	return (struct slice){text.data, bytes};
}
