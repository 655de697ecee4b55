/* column_type - see column_type.h. */
#include "sinkd-clickhouse/column_type.h"

#include <errno.h>
#include <string.h>

struct scan {
	const char *at, *end;
};

static bool
take_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
		return false;
	s->at += n;
	return true;
}

static void
skip_spaces(struct scan *s)
{
	while (s->at < s->end && *s->at == ' ')
		s->at++;
}

/* Read a decimal number of at most max.  Returns false if there is none. */
static bool
take_decimal(struct scan *s, uint32_t max, uint32_t *number)
{
	uint32_t v = 0;
	const char *start = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
		v = v * 10 + (uint32_t)(*s->at++ - '0');
		if (v > max)
			return false;
	}
	*number = v;
	return s->at > start;
}

/* Read a quoted time zone.  Its name makes no difference to this sink. */
static bool
take_zone(struct scan *s)
{
	if (!take_word(s, "'"))
		return false;
	while (s->at < s->end && *s->at != '\'') {
		if (*s->at == '\\')
			return false;
		s->at++;
	}
	return take_word(s, "'");
}

/* Read the parameters of JSON, which make no difference to an INSERT. */
static bool
take_json_parameters(struct scan *s)
{
	char quote = '\0'; /* the open quote: ' or ` */
	unsigned depth = 0;

	if (s->at == s->end || *s->at != '(')
		return true;
	while (s->at < s->end) {
		char c = *s->at++;

		if (quote && c == '\\' && s->at < s->end)
			s->at++;
		else if (quote)
			quote = c == quote ? '\0' : quote;
		else if (c == '\'' || c == '`')
			quote = c;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			return true;
	}
	return false;
}

static bool
take_datetime64(struct scan *s, struct column_type *type)
{
	uint32_t precision;

	if (!take_decimal(s, 9, &precision))
		return false;
	type->kind = COLUMN_DATETIME64;
	type->precision = precision;
	if (take_word(s, ",")) {
		skip_spaces(s);
		if (!take_zone(s))
			return false;
	}
	return take_word(s, ")");
}

static bool
take_bare(struct scan *s, struct column_type *type)
{
	if (take_word(s, "FixedString(")) {
		type->kind = COLUMN_FIXED_STRING;
		return take_decimal(s, COLUMN_FIXED_MAX, &type->fixed_bytes) &&
		       type->fixed_bytes > 0 && take_word(s, ")");
	}
	if (take_word(s, "DateTime64("))
		return take_datetime64(s, type);
	if (take_word(s, "DateTime")) {
		type->kind = COLUMN_DATETIME;
		return !take_word(s, "(") ||
		       (take_zone(s) && take_word(s, ")"));
	}
	if (take_word(s, "JSON")) {
		type->kind = COLUMN_JSON;
		return take_json_parameters(s);
	}
	if (take_word(s, "String"))
		type->kind = COLUMN_STRING;
	else if (take_word(s, "UUID"))
		type->kind = COLUMN_UUID;
	else if (take_word(s, "Int64"))
		type->kind = COLUMN_INT64;
	else if (take_word(s, "UInt64"))
		type->kind = COLUMN_UINT64;
	else
		return false;
	return true;
}

int
column_type_parse(const char *text, size_t n, struct column_type *type)
{
	struct scan s = {text, text + n};
	struct column_type t = {.nullable = false};
	bool low_cardinality;
	unsigned open = 0;

	/*
	 * ClickHouse allows the two wrappers only in this order, and each once.
	 */
	low_cardinality = take_word(&s, "LowCardinality(");
	open += low_cardinality;
	if (take_word(&s, "Nullable(")) {
		t.nullable = true;
		open++;
	}
	if (!take_bare(&s, &t))
		return -EINVAL;
	if (low_cardinality && t.kind == COLUMN_JSON)
		return -EINVAL;
	for (; open > 0; open--)
		if (!take_word(&s, ")"))
			return -EINVAL;
	if (s.at != s.end)
		return -EINVAL;
	*type = t;
	return 0;
}

bool
column_type_holds(const struct column_type *type, enum event_field field)
{
	bool time = field == FIELD_CREATED_AT || field == FIELD_RECEIVED_AT;

	switch (type->kind) {
	case COLUMN_STRING:
	case COLUMN_FIXED_STRING:
		return !time;
	case COLUMN_UUID:
		return !time && field != FIELD_PAYLOAD;
	case COLUMN_DATETIME:
	case COLUMN_DATETIME64:
	case COLUMN_INT64:
	case COLUMN_UINT64:
		return time;
	case COLUMN_JSON:
		return field == FIELD_PAYLOAD;
	}
	return false;
}

const char *
column_type_allowed(enum event_field field)
{
	switch (field) {
	case FIELD_PAYLOAD:
		return "String, FixedString(N) or JSON, also in Nullable or "
		       "LowCardinality";
	case FIELD_CREATED_AT:
	case FIELD_RECEIVED_AT:
		return "DateTime, DateTime64(p), Int64 or UInt64 (ms), also "
		       "in Nullable";
	case FIELD_ID:
	case FIELD_TYPE:
	case FIELD_USER_ID:
	case FIELD_COUNT:
		break;
	}
	return "String, FixedString(N) or UUID, also in Nullable or "
	       "LowCardinality";
}
