/*
 * client - send a statement or an INSERT to one ClickHouse server, and classify
 * its response.
 */
#ifndef SINKD_CLICKHOUSE_CLIENT_H
#define SINKD_CLICKHOUSE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libsink/sink.h"
#include "sinkd-clickhouse/http.h"

#define CH_CLIENT_URL_MAX 512 /* includes the NUL */

struct ch_client {
	struct ch_http http;         /* http.body is the last response */
	char url[CH_CLIENT_URL_MAX]; /* ends with '/' */
	int64_t timeout_ms;          /* of one request */
	/* the view that failed, in http.body; or empty */
	struct slice view;
	/* the server recognizes repeated inserts of the table */
	bool once;
	bool names_itself; /* in its response to the last statement */
};

/*
 * Run a statement of at most a few KiB.  After SINK_DONE its result is in
 * client->http.body.  Otherwise *error has the reason.
 */
enum sink_result ch_client_statement(struct ch_client *client,
                                     const struct buf *sql,
                                     struct sink_error *error);

/*
 * POST the rows of an INSERT to `url`, which is NUL-terminated and contains the
 * query and its settings.  `rows` is their number, against which the row that a
 * server reports is checked.
 */
enum sink_result ch_client_insert(struct ch_client *client,
                                  const struct buf *url, const struct buf *body,
                                  bool gzip, size_t rows,
                                  struct sink_error *error);

#endif
