/*
 * create_tables - the sink's two tables: found, or created, or else the SQL
 * that an operator has to run.
 */
#ifndef SINKD_POSTGRES_CREATE_TABLES_H
#define SINKD_POSTGRES_CREATE_TABLES_H

#include "sinkd-postgres/postgres.h"

/*
 * Find the table of the positions, or create it where create_table says so,
 * and set s->position_table.  Returns SINK_DONE, or SINK_MISCONFIGURED with the
 * statements that make the table or grant what is missing.
 */
enum sink_result create_position_table(struct postgres *s,
                                       struct sink_error *error);

/* The same for the table of the events, which table_read then looks at. */
enum sink_result create_events_table(struct postgres *s,
                                     struct sink_error *error);

#endif
