/*
 * position - the sink's row in the position table.
 *
 * The row is read when the sink connects, moved in the transaction of each
 * batch, and checked again before an event is rejected.
 */
#ifndef SINKD_POSTGRES_POSITION_H
#define SINKD_POSTGRES_POSITION_H

#include "sinkd-postgres/postgres.h"

/*
 * division_by_zero: the statement that moves the position fails with it if
 * another process has moved the position.
 */
#define MOVED_BY_OTHER "22012"

/* Names of result columns, by which write.c recognizes the result. */
#define POSITION_MOVED "leat_moved"
#define POSITION_READ "leat_position"

/*
 * Append the statement that moves the position (I9), or the query that reads
 * it.
 */
void pg_position_add_move(struct postgres *s, const struct batch *b);
void pg_position_add_query(struct postgres *s, const char *stream);
enum sink_result pg_position_fenced(const struct batch *b,
                                    struct sink_error *error);

/*
 * Read the position of `stream`.  *found is false if the store has none.
 * Returns SINK_DONE, or as pg_run.
 */
enum sink_result pg_position_read(struct postgres *s, const char *stream,
                                  bool *found, uint64_t *next_offset,
                                  struct sink_error *error);

/*
 * Check the position again before events are rejected.  Returns SINK_REJECT if
 * it is still where the batch begins, SINK_FENCED if another process has moved
 * it, or as pg_run.
 */
enum sink_result pg_position_confirm(struct postgres *s, const struct batch *b,
                                     struct sink_error *error);

/*
 * Remember that the stream has a row in the position table, so that the next
 * batch can use UPDATE instead of INSERT ... ON CONFLICT.
 */
void pg_position_remember(struct postgres *s, const char *stream);

/* Return true if the stream was remembered. */
bool pg_position_is_remembered(const struct postgres *s, const char *stream);

#endif
