/*
 * rowbinary - events as rows of ClickHouse's RowBinary format.
 *
 * Rows follow each other without anything between; a row is its columns in
 * the order of enum event_field.  What a column's type cannot hold is
 * refused here, by event and field, so that the server need not be asked.
 */
#ifndef SINKD_CLICKHOUSE_ROWBINARY_H
#define SINKD_CLICKHOUSE_ROWBINARY_H

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libproto/event.h"
#include "sinkd-clickhouse/column_type.h"

/*
 * Append one row to out.  types has FIELD_COUNT entries, each of which
 * holds its field (column_type_holds).  Returns 0; -EINVAL when a value does
 * not fit its column, with the reason, free of content, in *why (static text)
 * and the field in *field; -EMSGSIZE when out is full; or -ENOMEM.  After a
 * failure out is as before.
 *
 * A user_id that is null goes as the type's default into a column that is
 * not Nullable, as ClickHouse itself does with a missing value.
 */
MUST_USE int rowbinary_add(struct buf *out, const struct column_type *types,
                           const struct event *event, enum event_field *field,
                           const char **why);

#endif
