/*
 * create_tables - find or create the sink's two tables.
 *
 * If a table, schema or right is missing and the sink cannot create it, the
 * error text holds the SQL statements that an operator has to run.
 */
#ifndef SINKD_POSTGRES_CREATE_TABLES_H
#define SINKD_POSTGRES_CREATE_TABLES_H

#include "sinkd-postgres/postgres.h"

/*
 * Find the position table, or create it if create_table is set, and set
 * s->position_table.  Returns SINK_DONE, or SINK_MISCONFIGURED with the
 * statements that create the table or grant the missing rights.
 */
enum sink_result create_position_table(struct postgres *s,
                                       struct sink_error *error);

/*
 * The same for the table of events.  The caller then reads its columns with
 * table_read.
 */
enum sink_result create_events_table(struct postgres *s,
                                     struct sink_error *error);

/*
 * The same for either table, but create nothing: *exists is false if the sink
 * would create the table.
 */
enum sink_result find_position_table(struct postgres *s, bool *exists,
                                     struct sink_error *error);
enum sink_result find_events_table(struct postgres *s, bool *exists,
                                   struct sink_error *error);

#endif
