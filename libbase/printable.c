/* printable - see printable.h. */
#include "libbase/printable.h"

#include <stdio.h>
#include <string.h>

static const struct {
	uint32_t first, last;
} unsafe[] = {
    {0x00, 0x1f},       /* C0 */
    {0x7f, 0x9f},       /* DEL, C1 */
    {0x61c, 0x61c},     /* Arabic letter mark */
    {0x200e, 0x200f},   /* left-to-right and right-to-left mark */
    {0x2028, 0x202e},   /* separators; embeddings and overrides */
    {0x2066, 0x2069},   /* isolates */
    {0xfeff, 0xfeff},   /* byte order mark */
    {0xfff9, 0xfffb},   /* interlinear annotations */
    {0xe0000, 0xe007f}, /* tags */
};

/* The length of the UTF-8 character at the beginning of text, or 0. */
static size_t
decode(const unsigned char *text, size_t bytes, uint32_t *code)
{
	/* The least code point of each length; a smaller one is overlong. */
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = text[0] < 0x80           ? 1
	           : (text[0] >> 5) == 0x06 ? 2
	           : (text[0] >> 4) == 0x0e ? 3
	           : (text[0] >> 3) == 0x1e ? 4
	                                    : 0;

	if (n == 0 || n > bytes)
		return 0;
	*code = n == 1 ? text[0] : text[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (text[i] & 0x3f);
	}
	if (*code < least[n] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

size_t
printable_next(const char *text, size_t bytes, uint32_t *code, bool *safe)
{
	size_t n = decode((const unsigned char *)text, bytes, code);

	*safe = n > 0;
	for (size_t i = 0; *safe && i < ARRAY_LEN(unsafe); i++)
		*safe = *code < unsafe[i].first || *code > unsafe[i].last;
	if (n > 0)
		return n;
	*code = (unsigned char)text[0];
	return 1;
}

static int
printable_put_escape(char *out, uint32_t code, size_t bytes)
{
	if (code == '\n')
		return snprintf(out, 3, "\\n");
	if (bytes == 1)
		return snprintf(out, 5, "\\x%02x", (unsigned)(code & 0xff));
	if (code <= 0xffff)
		return snprintf(out, 7, "\\u%04x", (unsigned)code);
	return snprintf(out, 11, "\\U%08x", (unsigned)code);
}

size_t
printable_put(char *out, const char *text, size_t bytes, const char *also)
{
	size_t used = 0, n;

	for (size_t i = 0; i < bytes; i += n) {
		uint32_t code;
		bool safe;

		n = printable_next(text + i, bytes - i, &code, &safe);
		if (!safe) {
			used +=
			    (size_t)printable_put_escape(out + used, code, n);
			continue;
		}
		if (n == 1 && strchr(also, text[i]))
			out[used++] = '\\';
		memcpy(out + used, text + i, n);
		used += n;
	}
	out[used] = '\0';
	return used;
}

struct slice
printable_cut(struct slice text, uint32_t bytes)
{
	if (text.bytes <= bytes)
		return text;
	/* Bytes 10xxxxxx continue a character: do not cut before one. */
	while (bytes > 0 && ((unsigned char)text.data[bytes] & 0xC0) == 0x80)
		bytes--;
	return (struct slice){text.data, bytes};
}
