/*
 * rowbinary - events as rows of ClickHouse's RowBinary format.
 *
 * Rows follow each other without a separator.  A row consists of its columns in
 * the order of enum event_field.  A value that the type of its column cannot
 * hold is refused here, so that the sink knows the event and the field without
 * asking the server.
 */
#ifndef SINKD_CLICKHOUSE_ROWBINARY_H
#define SINKD_CLICKHOUSE_ROWBINARY_H

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"
#include "sinkd-clickhouse/column_type.h"

/* Write a length in LEB128, of at most 5 bytes.  Returns its end. */
uint8_t *rowbinary_put_length(uint8_t *p, uint32_t n);

/*
 * Append one row to out.  `types` has FIELD_COUNT entries, each of which can
 * hold its field (column_type_holds).
 *
 * Returns 0.  Returns -EINVAL if a value does not fit its column, with the
 * field in *field and the reason in *why, which is static text without any
 * content of the event.  Returns -EMSGSIZE if out is full, or -ENOMEM.  After a
 * failure out is unchanged.
 *
 * A null user_id becomes the type's default in a column that is not Nullable,
 * as ClickHouse itself treats a missing value.
 */
MUST_USE int rowbinary_add(struct buf *out, const struct column_type *types,
                           const struct event *event, enum event_field *field,
                           const char **why);

#endif
