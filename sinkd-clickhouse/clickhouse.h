/*
 * clickhouse - the sink for ClickHouse: one INSERT per batch over HTTP.
 *
 * ClickHouse keeps no position; batchd's cursor does.  An INSERT that is
 * repeated is known to the server by its token, which is made of the stream
 * and the offsets of its rows, so the sink asks for stable batches: the same
 * rows always come under the same token (docs/clickhouse.md).
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

/* Most rows of one INSERT: what stays one block on the server. */
#define CLICKHOUSE_ROWS_MAX 1000000

/* Public for its tests alone. */
struct clickhouse {
	const struct clickhouse_conf *conf;
	struct ch_client client;
	struct ch_table table;
	struct buf sql;    /* of statements, and the URL of an INSERT */
	struct buf rows;   /* the body of an INSERT; kept between them */
	struct buf packed; /* the same, compressed */

	/* These outlive close. */
	unsigned url_index; /* of the server to begin with */
	char password[CLICKHOUSE_PASSWORD_MAX];
	char logged_guarantee[1024]; /* the guarantee that was logged last */
};

extern const struct sink clickhouse_sink;

#endif
