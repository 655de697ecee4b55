/* sql - see sql.h. */
#include "sinkd-clickhouse/sql.h"

#include <ctype.h>
#include <string.h>

static void
sql_add_quoted(struct buf *out, char quote, const char *text)
{
	size_t n = strlen(text);
	uint8_t *p;

	if (buf_reserve(out, 2 * n + 2) < 0)
		return;
	p = out->data + out->len;
	*p++ = (uint8_t)quote;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == quote || text[i] == '\\')
			*p++ = '\\';
		*p++ = (uint8_t)text[i];
	}
	*p++ = (uint8_t)quote;
	out->len = (size_t)(p - out->data);
}

void
ch_sql_add_name(struct buf *out, const char *name)
{
	sql_add_quoted(out, '`', name);
}

void
ch_sql_add_value(struct buf *out, const char *value)
{
	sql_add_quoted(out, '\'', value);
}

void
ch_sql_add_parameter(struct buf *url, const char *name, const char *value,
                     size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	bool first = url->len == 0 || !memchr(url->data, '?', url->len);
	uint8_t *p;

	buf_addf(url, "%c%s=", first ? '?' : '&', name);
	if (buf_reserve(url, 3 * n) < 0)
		return;
	p = url->data + url->len;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];

		if (isalnum(c) || c == '-' || c == '_' || c == '.') {
			*p++ = c;
		} else {
			*p++ = '%';
			*p++ = (uint8_t)hex[c >> 4];
			*p++ = (uint8_t)hex[c & 15];
		}
	}
	url->len = (size_t)(p - url->data);
}
