/*
 * write - write one batch into PostgreSQL: one transaction, two round trips.
 *
 * The first round trip carries all statements.  The server runs them up to the
 * COPY and then waits for rows.  By then it has reported whether the position
 * is where this sink left it and whether the columns have the types that the
 * sink knows, and it holds a lock that keeps the columns as they are.  The
 * second round trip carries the rows.  The server then moves the position,
 * provided that it is still where this sink left it, and commits.
 */
#ifndef SINKD_POSTGRES_WRITE_H
#define SINKD_POSTGRES_WRITE_H

#include "sinkd-postgres/postgres.h"

/* COPY data is encoded and sent in pieces of about this size. */
#define WRITE_PIECE_BYTES (64 * KIB)
#define WRITE_PIECE_MAX                                                        \
	(WRITE_PIECE_BYTES + EVENT_PACKED_MAX + COPY_ROW_EXTRA + 64)

/* Implements struct sink's write. */
enum sink_result write_batch(void *state, const struct batch *b,
                             struct sink_error *error);

/*
 * Send the rows of the batch and the end of the COPY to a server that waits for
 * them.  `columns` is used in place of the columns of the table.  If `numbered`
 * is set, each row begins with its index in the batch.  Returns SINK_DONE, or
 * as pg_copy.
 */
enum sink_result write_rows(struct postgres *s, const struct batch *b,
                            const struct copy_columns *columns, bool numbered,
                            struct sink_error *error);

#endif
