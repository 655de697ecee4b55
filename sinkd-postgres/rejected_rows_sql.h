/*
 * rejected_rows_sql - the statements with which rejected_rows asks the server.
 */
#ifndef SINKD_POSTGRES_REJECTED_ROWS_SQL_H
#define SINKD_POSTGRES_REJECTED_ROWS_SQL_H

#include "sinkd-postgres/postgres.h"

/* Columns of the result; texts are cut, for a trigger may say anything. */
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

/* Write all statements into s->sql, with a NUL.  Returns 0 or -errno. */
MUST_USE int rejected_rows_add_statements(struct postgres *s,
                                          const struct batch *b);

/* How the rows of the temporary table are sent: all texts as bytes. */
void rejected_rows_staged_columns(const struct copy_columns *columns,
                                  struct copy_columns *staged);

#endif
