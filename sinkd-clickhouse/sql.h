/*
 * sql - text for ClickHouse: names and values quoted into a query, and a
 * query quoted into a URL.  All return as buf_add; after a failure the text
 * is of no use.
 */
#ifndef SINKD_CLICKHOUSE_SQL_H
#define SINKD_CLICKHOUSE_SQL_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/base.h"
#include "libbase/buf.h"

MUST_USE int ch_sql_add(struct buf *out, const char *text);

/* `name`, with what is special in it escaped. */
MUST_USE int ch_sql_add_name(struct buf *out, const char *name);

/* 'value', the same. */
MUST_USE int ch_sql_add_value(struct buf *out, const char *value);

/* "name=value" behind '?' or '&', the value percent-encoded. */
MUST_USE int ch_sql_add_parameter(struct buf *url, const char *name,
                                  const char *value, size_t n);

#endif
