/*
 * table - the table of events as the server describes it: which columns hold
 * which fields, and whether their types can.
 */
#ifndef SINKD_POSTGRES_TABLE_H
#define SINKD_POSTGRES_TABLE_H

#include "sinkd-postgres/connection.h"
#include "sinkd-postgres/copy.h"

#define TABLE_NAME_MAX 300

struct table {
	char name[TABLE_NAME_MAX]; /* qualified and quoted */
	struct copy_columns columns;
	Oid types[FIELD_COUNT]; /* of the columns; a domain is not resolved */
	bool may_drop;          /* with dedup_by_id: a trigger may drop rows */
};

/*
 * Find the table and check it.  `name` is an SQL name, which may include a
 * schema.  With dedup_by_id the table needs a unique index on id.  Returns
 * SINK_DONE, or SINK_MISCONFIGURED with what an operator has to change.
 */
enum sink_result table_read(struct table *t, struct pg_connection *pg,
                            const char *name, bool dedup_by_id,
                            struct sink_error *error);

/*
 * Append a query for the current types of the columns.  Its result has
 * FIELD_COUNT rows of TABLE_TYPES_FIELDS columns, which table_unchanged
 * compares with the types that table_read found.
 */
#define TABLE_TYPES_FIELDS 2
void table_add_types_query(const struct table *t, struct pg_connection *pg,
                           struct buf *sql);
bool table_unchanged(const struct table *t, const PGresult *types);

/*
 * Append the statement that creates the temporary table of dedup_by_id, which
 * exists until the end of the transaction.
 */
#define TABLE_STAGING "pg_temp.leat_staging"
void table_add_staging(const struct table *t, struct buf *sql);

/* The names of the columns, for use in SQL. */
#define TABLE_COLUMNS "id, type, user_id, payload, created_at, received_at"

#endif
