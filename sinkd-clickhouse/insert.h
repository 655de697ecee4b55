/*
 * insert - the request for one batch.  The URL has the INSERT and its settings,
 * the body has the rows.
 */
#ifndef SINKD_CLICKHOUSE_INSERT_H
#define SINKD_CLICKHOUSE_INSERT_H

#include <stddef.h>

#include "sinkd-clickhouse/clickhouse.h"

/*
 * Build the body in c->rows.
 *
 * SINK_REJECT means that a column cannot hold a value of the event in
 * error->bad_event.  If bad_event is 0, the rows take more bytes than allowed,
 * and the runtime splits the batch.  Rows can be wider than the events were.
 * Only a single row may be wider than batch_bytes.
 */
enum sink_result ch_insert_build_rows(struct clickhouse *c,
                                      const struct batch *batch,
                                      struct sink_error *error);

/*
 * Build the URL in c->sql, with a NUL at its end.  The query is in the URL and
 * only the rows are in the body; the server puts a line break between them.
 * Returns 0 or -errno.
 */
MUST_USE int ch_insert_build_url(struct clickhouse *c,
                                 const struct batch *batch);

/*
 * Report in error which column cannot hold its field, and why.  Returns
 * SINK_REJECT.
 */
enum sink_result ch_insert_name_field(const struct clickhouse *c,
                                      enum event_field field, const char *why,
                                      struct sink_error *error);

#endif
