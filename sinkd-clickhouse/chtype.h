/*
 * chtype - the column types of ClickHouse that an event's fields go into,
 * read from the text that system.columns gives.
 *
 * Known are String, FixedString(N), UUID, DateTime, DateTime64, Int64,
 * UInt64 and JSON, each also inside Nullable and LowCardinality.  The text
 * comes from a server, so nothing about it is taken for granted.
 */
#ifndef SINKD_CLICKHOUSE_CHTYPE_H
#define SINKD_CLICKHOUSE_CHTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/* Widest FixedString taken, bytes: the largest event. */
#define CHTYPE_FIXED_MAX (128 * 1024)

enum chtype_kind {
	CHTYPE_STRING,
	CHTYPE_FIXED_STRING,
	CHTYPE_UUID,
	CHTYPE_DATETIME,
	CHTYPE_DATETIME64,
	CHTYPE_INT64,
	CHTYPE_UINT64,
	CHTYPE_JSON,
};

struct chtype {
	enum chtype_kind kind;
	bool nullable;
	uint32_t fixed_bytes; /* FIXED_STRING: its N */
	unsigned precision;   /* DATETIME64: digits after the second, 0..9 */
};

/*
 * Read a type of n bytes.  Returns 0, or -EINVAL when it is malformed or
 * not one of the above.
 */
MUST_USE int chtype_parse(const char *text, size_t n, struct chtype *type);

/* Whether a column of this type can hold the field. */
bool chtype_holds(const struct chtype *type, enum event_field field);

/* The types that can, for messages. */
const char *chtype_allowed(enum event_field field);

#endif
