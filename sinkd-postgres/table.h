/*
 * table - the table that events go to, as the server describes it: which of
 * its columns take which field, and whether they can.
 */
#ifndef SINKD_POSTGRES_TABLE_H
#define SINKD_POSTGRES_TABLE_H

#include "sinkd-postgres/connection.h"
#include "sinkd-postgres/copy.h"

#define TABLE_NAME_MAX 300

struct table {
	char name[TABLE_NAME_MAX]; /* qualified and quoted */
	struct copy_columns columns;
	Oid types[FIELD_COUNT]; /* of the columns, domains as themselves */
	bool may_drop;          /* with dedup_by_id: a trigger may drop a row */
};

/*
 * Find the table by its name as set (an SQL name, perhaps with its schema)
 * and check it.  With dedup_by_id it needs a unique index on id.  Returns
 * SINK_DONE, or SINK_MISCONFIGURED with what has to be changed.
 */
enum sink_result table_read(struct table *t, struct pg_connection *pg,
                            const char *name, bool dedup_by_id,
                            struct sink_error *error);

/*
 * Append a query whose one result has FIELD_COUNT rows of TABLE_TYPES_FIELDS,
 * the types of the columns as they are now.  table_unchanged then compares.
 */
#define TABLE_TYPES_FIELDS 2
MUST_USE int table_add_types_query(const struct table *t,
                                   struct pg_connection *pg, struct buf *sql);
bool table_unchanged(const struct table *t, const PGresult *types);

/*
 * Append the statement that makes the staging table of dedup_by_id, which
 * lasts until the end of the transaction.  Returns 0 or -errno.
 */
#define TABLE_STAGING "pg_temp.leat_staging"
MUST_USE int table_add_staging(const struct table *t, struct buf *sql);

/* The names of the columns, for SQL. */
#define TABLE_COLUMNS "id, type, user_id, payload, created_at, received_at"

#endif
