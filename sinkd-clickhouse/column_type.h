/*
 * column_type - the column types of ClickHouse that can hold a field of an
 * event, parsed from the text in system.columns.
 *
 * These are String, FixedString(N), UUID, DateTime, DateTime64, Int64, UInt64
 * and JSON, each of which may be inside Nullable and LowCardinality.  The text
 * comes from a server, so nothing about it is assumed.
 */
#ifndef SINKD_CLICKHOUSE_COLUMN_TYPE_H
#define SINKD_CLICKHOUSE_COLUMN_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/* The widest FixedString that is accepted, in bytes: the largest event fits. */
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
 * Parse a type of n bytes.  Returns 0, or -EINVAL if it is malformed or not one
 * of the types above.
 */
MUST_USE int column_type_parse(const char *text, size_t n,
                               struct column_type *type);

/* Return true if a column of this type can hold the field. */
bool column_type_holds(const struct column_type *type, enum event_field field);

/* Return the types that can hold the field, for messages. */
const char *column_type_allowed(enum event_field field);

#endif
