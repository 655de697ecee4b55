/*
 * postgres - the sink for PostgreSQL.
 *
 * Each batch is written with COPY.  The same transaction updates the row of the
 * position table that records how far the sink is (I9).
 */
#ifndef SINKD_POSTGRES_POSTGRES_H
#define SINKD_POSTGRES_POSTGRES_H

#include "libbase/buf.h"
#include "libbase/log.h"
#include "libsink/sink.h"
#include "sinkd-postgres/connection.h"
#include "sinkd-postgres/settings.h"
#include "sinkd-postgres/table.h"

#define SINK_NAME "postgres"
#define STREAM_MAX 64
#define SQL_MAX (16 * KIB)

struct postgres {
	struct pg_connection pg;
	struct table table;
	const struct postgres_settings *settings;
	char password[PASSWORD_MAX];
	bool password_known;
	/*
	 * The streams whose position rows exist: that of the log, and that of
	 * a retry of dead letters, of which batches come in turn.
	 */
	char streams[2][STREAM_MAX];
	char *position_table; /* quoted; owned */
	struct buf sql;
	struct buf piece;
	struct log_limit probe_limit;
};

#endif
