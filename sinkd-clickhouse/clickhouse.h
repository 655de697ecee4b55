/*
 * clickhouse - the sink for ClickHouse: one INSERT for each batch, over HTTP.
 *
 * ClickHouse stores no position, so batchd's cursor is the position.  The
 * server recognizes a repeated INSERT by its token, which consists of the
 * stream and the offsets of its rows.  Therefore the sink asks for stable
 * batches: the same rows are always sent with the same token
 * (docs/clickhouse.md).
 */
#ifndef SINKD_CLICKHOUSE_CLICKHOUSE_H
#define SINKD_CLICKHOUSE_CLICKHOUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/buf.h"
#include "libsink/sink.h"
#include "sinkd-clickhouse/client.h"
#include "sinkd-clickhouse/settings.h"
#include "sinkd-clickhouse/table.h"

#define CLICKHOUSE_SINK_NAME "clickhouse"

/* The most rows of one INSERT.  The server keeps so many in one block. */
#define CLICKHOUSE_ROWS_MAX 1000000

/* Public only for the unit tests. */
struct clickhouse {
	const struct clickhouse_conf *conf;
	struct ch_client client;
	struct ch_table table;
	struct buf sql;    /* statements, and the URL of an INSERT */
	struct buf rows;   /* body of an INSERT; reused */
	struct buf packed; /* the body, compressed */

	/* These are kept after close. */
	unsigned url_index; /* the server to start with */
	char password[CLICKHOUSE_PASSWORD_MAX];
	bool password_known;
	char logged_guarantee[1024]; /* the last one that was logged */
};

/*
 * The first step of struct sink's open, which sends nothing: read the password
 * and prepare for requests.
 */
enum sink_result clickhouse_prepare(struct clickhouse *c,
                                    const struct sink_common *common,
                                    const void *conf, struct sink_error *error);

#endif
