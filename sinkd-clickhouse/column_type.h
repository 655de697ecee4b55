/*
 * column_type - the column types of ClickHouse that an event's fields go into,
 * read from the text that system.columns gives.
 *
 * Known are String, FixedString(N), UUID, DateTime, DateTime64, Int64,
 * UInt64 and JSON, each also inside Nullable and LowCardinality.  The text
 * comes from a server, so nothing about it is taken for granted.
 */
#ifndef SINKD_CLICKHOUSE_COLUMN_TYPE_H
#define SINKD_CLICKHOUSE_COLUMN_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/* Widest FixedString taken, bytes: the largest event. */
#define COLUMN_FIXED_MAX (128 * 1024)

enum column_type_kind {
	COLUMN_STRING,
	COLUMN_FIXED_STRING,
	COLUMN_UUID,
	COLUMN_DATETIME,
	COLUMN_DATETIME64,
	COLUMN_INT64,
	COLUMN_UINT64,
	COLUMN_JSON,
};

struct column_type {
	enum column_type_kind kind;
	bool nullable;
	uint32_t fixed_bytes; /* FIXED_STRING: its N */
	unsigned precision;   /* DATETIME64: digits after the second, 0..9 */
};

/*
 * Read a type of n bytes.  Returns 0, or -EINVAL when it is malformed or
 * not one of the above.
 */
MUST_USE int column_type_parse(const char *text, size_t n,
                               struct column_type *type);

/* Whether a column of this type can hold the field. */
bool column_type_holds(const struct column_type *type, enum event_field field);

/* The types that can, for messages. */
const char *column_type_allowed(enum event_field field);

#endif
