/*
 * rejected_rows - find the events of a batch that PostgreSQL refuses, in one
 * round trip for all of them.
 *
 * The rows go into a temporary table that takes anything, and a PL/pgSQL block
 * moves them into the table one by one, each in a subtransaction of its own,
 * and notes those that are refused.  Then all of it is rolled back.
 */
#ifndef SINKD_POSTGRES_REJECTED_ROWS_H
#define SINKD_POSTGRES_REJECTED_ROWS_H

#include "sinkd-postgres/postgres.h"

/* As sink.h says of probe. */
enum sink_result rejected_rows_find(struct postgres *s, const struct batch *b,
                                    const struct sink_refused *refused,
                                    size_t *looked, struct sink_error *error);

#endif
