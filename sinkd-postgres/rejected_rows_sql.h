/* rejected_rows_sql - the statements that rejected_rows sends. */
#ifndef SINKD_POSTGRES_REJECTED_ROWS_SQL_H
#define SINKD_POSTGRES_REJECTED_ROWS_SQL_H

#include "sinkd-postgres/postgres.h"

/*
 * Columns of the result.  Its texts are truncated, since the message of a
 * trigger can have any length.
 */
enum {
	AT_N,
	AT_STATE,
	AT_TEXT,
	AT_DETAIL,
	AT_CONTEXT,
	AT_TABLE,
	AT_CONSTRAINT,
	AT_COUNT,
};

/* Build all statements in s->sql. */
void rejected_rows_add_statements(struct postgres *s, const struct batch *b);

/*
 * Get the encoding of the rows of the temporary table: every text is sent as
 * bytes.
 */
void rejected_rows_staged_columns(const struct copy_columns *columns,
                                  struct copy_columns *staged);

#endif
