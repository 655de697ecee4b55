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

/* How a field is encoded for the type of its column. */
enum copy_kind {
	COPY_TEXT,        /* text, varchar: the bytes */
	COPY_JSON,        /* as COPY_TEXT */
	COPY_JSONB,       /* a version byte, then the text */
	COPY_UUID,        /* 16 bytes */
	COPY_TIMESTAMP,   /* microseconds since 2000 */
	COPY_TIMESTAMPTZ, /* as COPY_TIMESTAMP */
	COPY_INT8_MS,     /* bigint: milliseconds since 1970 */
};

struct copy_columns {
	enum copy_kind kind[FIELD_COUNT];
};

#define COPY_HEADER_BYTES 19
#define COPY_TRAILER_BYTES 2

/* The most bytes of a row in addition to those of the event's strings. */
#define COPY_ROW_EXTRA (2 + FIELD_COUNT * 4 + 1 + 2 * 16 + 2 * 8 + 4 + 8)

/*
 * Find the first event with a field that the type of its column cannot hold.
 * Returns its index and sets *field, or returns `count` if there is none.
 */
MUST_USE size_t copy_check(const struct copy_columns *columns,
                           const struct event *events, size_t count,
                           enum event_field *field);

/*
 * Append the header, one row, and the trailer.  Each returns 0 or as buf_add.
 * `n` is the bigint for an additional first column, or NULL.
 */
MUST_USE int copy_add_header(struct buf *out);
MUST_USE int copy_add_row(struct buf *out, const struct copy_columns *columns,
                          const struct event *event, const uint64_t *n);
MUST_USE int copy_add_trailer(struct buf *out);

/*
 * Parse a UUID as PostgreSQL reads one: 32 hexadecimal digits, with or without
 * braces, and with a hyphen allowed after any group of four.  Returns 0 or
 * -EINVAL.
 */
MUST_USE int copy_parse_uuid(const struct slice *text, uint8_t out[16]);

#endif
