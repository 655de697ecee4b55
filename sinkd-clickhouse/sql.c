/* sql - see sql.h. */
#include "sinkd-clickhouse/sql.h"

#include <ctype.h>
#include <string.h>

int
ch_sql_add(struct buf *out, const char *text)
{
	return buf_add(out, text, strlen(text));
}

static int
sql_add_quoted(struct buf *out, char quote, const char *text)
{
	size_t n = strlen(text);
	uint8_t *p;
	int rc = buf_reserve(out, 2 * n + 2);

	if (rc < 0)
		return rc;
	p = out->data + out->len;
	*p++ = (uint8_t)quote;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == quote || text[i] == '\\')
			*p++ = '\\';
		*p++ = (uint8_t)text[i];
	}
	*p++ = (uint8_t)quote;
	out->len = (size_t)(p - out->data);
	return 0;
}

int
ch_sql_add_name(struct buf *out, const char *name)
{
	return sql_add_quoted(out, '`', name);
}

int
ch_sql_add_value(struct buf *out, const char *value)
{
	return sql_add_quoted(out, '\'', value);
}

int
ch_sql_add_parameter(struct buf *url, const char *name, const char *value,
                     size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	bool first = !memchr(url->data, '?', url->len);
	uint8_t *p;
	int rc = buf_addf(url, "%c%s=", first ? '?' : '&', name);

	if (rc == 0)
		rc = buf_reserve(url, 3 * n);
	if (rc < 0)
		return rc;
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
	return 0;
}
