/*
 * sql - build statements for ClickHouse: quote names and values in a query, and
 * a query in a URL.
 *
 * A failure is kept in the error of the buffer.
 */
#ifndef SINKD_CLICKHOUSE_SQL_H
#define SINKD_CLICKHOUSE_SQL_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/buf.h"

/* Append `name`, with special characters escaped. */
void ch_sql_add_name(struct buf *out, const char *name);

/* Append 'value', with special characters escaped. */
void ch_sql_add_value(struct buf *out, const char *value);

/* Append "name=value" after '?' or '&', with the value percent-encoded. */
void ch_sql_add_parameter(struct buf *url, const char *name, const char *value,
                          size_t n);

#endif
