/*
 * client - one ClickHouse server: a statement or an INSERT, and what came
 * of it in the runtime's terms.
 */
#ifndef SINKD_CLICKHOUSE_CLIENT_H
#define SINKD_CLICKHOUSE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libsink/sink.h"
#include "sinkd-clickhouse/http.h"

#define CH_CLIENT_URL_MAX 512 /* with its NUL */

struct ch_client {
	struct ch_http http;         /* http.body is the last answer */
	char url[CH_CLIENT_URL_MAX]; /* ends with '/' */
	int64_t timeout_ms;          /* of one request */
	struct slice view;           /* that threw, in http.body; or empty */
	bool once;         /* the server knows repeated inserts of the table */
	bool names_itself; /* in its answer to the last statement */
};

/*
 * Run a statement of at most a few KiB.  After SINK_DONE its result is in
 * client->http.body; else the reason is in *error.
 */
enum sink_result ch_client_statement(struct ch_client *client,
                                     const struct buf *sql,
                                     struct sink_error *error);

/*
 * POST the rows of an INSERT to url, which holds the query and its settings
 * (NUL-terminated).  rows is their number, to check a row that the server
 * names.
 */
enum sink_result ch_client_insert(struct ch_client *client,
                                  const struct buf *url, const struct buf *body,
                                  bool gzip, size_t rows,
                                  struct sink_error *error);

#endif
