/*
 * write - one batch into PostgreSQL: one transaction, two round trips.
 *
 * The first carries all statements; the server runs them up to the COPY and
 * waits for rows.  By then it has said whether the position was where we
 * left it, and whether the columns are as we know them, under a lock that
 * keeps them so.  The second carries the rows; the server then moves the
 * position, if it is still where we left it, and commits.
 */
#ifndef SINKD_POSTGRES_WRITE_H
#define SINKD_POSTGRES_WRITE_H

#include "sinkd-postgres/postgres.h"

/* COPY data is sent in pieces of about this size, while it is made. */
#define WRITE_PIECE_BYTES (64 * KIB)
#define WRITE_PIECE_MAX                                                        \
	(WRITE_PIECE_BYTES + EVENT_PACKED_MAX + COPY_ROW_EXTRA + 64)

/* Store the batch, as sink.h says of write. */
enum sink_result write_batch(struct postgres *s, const struct batch *b,
                             struct sink_error *error);

/*
 * Answer a COPY that waits: send the batch's rows, with `columns` in place of
 * the table's, and its end.  With `numbered` each begins with its index in the
 * batch.  Returns SINK_DONE, or as pg_copy.
 */
enum sink_result write_rows(struct postgres *s, const struct batch *b,
                            const struct copy_columns *columns, bool numbered,
                            struct sink_error *error);

#endif
