/*
 * rejected_rows - find all events of a batch that PostgreSQL refuses, in one
 * round trip.
 *
 * The rows go into a temporary table that accepts any value.  A PL/pgSQL block
 * then inserts them into the table of events one by one, each in a
 * subtransaction of its own, and records those that the server refuses.
 * Finally the whole transaction is rolled back.
 */
#ifndef SINKD_POSTGRES_REJECTED_ROWS_H
#define SINKD_POSTGRES_REJECTED_ROWS_H

#include "sinkd-postgres/postgres.h"

/* Implements struct sink's probe. */
enum sink_result rejected_rows_find(void *state, const struct batch *b,
                                    const struct sink_refused *refused,
                                    size_t *looked, struct sink_error *error);

#endif
