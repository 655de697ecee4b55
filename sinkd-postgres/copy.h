/*
 * copy - events as rows of PostgreSQL's binary COPY format.
 *
 * https://www.postgresql.org/docs/15/sql-copy.html (Binary Format)
 */
#ifndef SINKD_POSTGRES_COPY_H
#define SINKD_POSTGRES_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"

/* How a field is written for its column's type. */
enum copy_kind {
	COPY_TEXT,        /* text, varchar: the bytes */
	COPY_JSON,        /* the same */
	COPY_JSONB,       /* a version byte, and the text */
	COPY_UUID,        /* 16 bytes */
	COPY_TIMESTAMP,   /* us since 2000 */
	COPY_TIMESTAMPTZ, /* the same */
	COPY_INT8_MS,     /* bigint: ms since 1970 */
};

struct copy_columns {
	enum copy_kind kind[FIELD_COUNT];
};

#define COPY_HEADER_BYTES 19
#define COPY_TRAILER_BYTES 2

/* Most bytes of a row beyond those of the event's strings. */
#define COPY_ROW_EXTRA (2 + FIELD_COUNT * 4 + 1 + 2 * 16 + 2 * 8 + 4 + 8)

/*
 * Look for the first event with a field that its column's type cannot hold.
 * Returns its index and *field, or `count` when there is none.
 */
MUST_USE size_t copy_check(const struct copy_columns *columns,
                           const struct event *events, size_t count,
                           enum event_field *field);

/* Append the header, one row, the trailer.  Return 0 or as buf_add. */
MUST_USE int copy_add_header(struct buf *out);
MUST_USE int copy_add_row(struct buf *out, const struct copy_columns *columns,
                          const struct event *event);
MUST_USE int copy_add_trailer(struct buf *out);

/* The same as copy_add_row, with a bigint as its first column. */
MUST_USE int copy_add_numbered_row(struct buf *out,
                                   const struct copy_columns *columns,
                                   const struct event *event, uint64_t n);

/*
 * 32 hex digits, with or without braces and with a hyphen after any group of
 * four, as PostgreSQL reads a uuid.  Returns 0 or -EINVAL.
 */
MUST_USE int copy_parse_uuid(const struct slice *text, uint8_t out[16]);

#endif
