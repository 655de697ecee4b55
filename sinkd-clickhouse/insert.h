/*
 * insert - the request of one batch: the INSERT and its settings in the URL,
 * and the rows in the body.
 */
#ifndef SINKD_CLICKHOUSE_INSERT_H
#define SINKD_CLICKHOUSE_INSERT_H

#include <stddef.h>

#include "sinkd-clickhouse/clickhouse.h"

/*
 * Build the body in c->rows.  SINK_REJECT names the event that a column cannot
 * hold, or none: rows can be wider than events were, and then the batch is
 * split.  Only a single row may be wider than batch_bytes.
 */
enum sink_result ch_insert_build_rows(struct clickhouse *c,
                                      const struct batch *batch,
                                      struct sink_error *error);

/*
 * Build the URL of an INSERT in c->sql, with its NUL.  The query goes there and
 * the rows alone into the body; the server puts a newline between.  Returns 0
 * or -errno.
 */
MUST_USE int ch_insert_build_url(struct clickhouse *c,
                                 const struct batch *batch);

/* Say in error which column cannot hold its field, and why. */
void ch_insert_name_field(const struct clickhouse *c, enum event_field field,
                          const char *why, struct sink_error *error);

#endif
