/*
 * position - the sink's row in the position table, which is read, moved with
 * each batch, and looked at again before an event is rejected.
 */
#ifndef SINKD_POSTGRES_POSITION_H
#define SINKD_POSTGRES_POSITION_H

#include "sinkd-postgres/postgres.h"

/* Division by zero: what the statement that moves the position fails with. */
#define MOVED_BY_OTHER "22012"

/* Columns that name the result they belong to. */
#define POSITION_MOVED "leat_moved"
#define POSITION_READ "leat_position"

/* Append the statement that moves the position (I9).  stream is quoted. */
MUST_USE int pg_position_add_move(struct postgres *s, const struct batch *b,
                                  const char *stream);
MUST_USE int pg_position_add_query(struct postgres *s, const char *stream);
enum sink_result pg_position_fenced(const struct batch *b,
                                    struct sink_error *error);

/*
 * The position of `stream`; *found says whether there is one.  Returns
 * SINK_DONE, or as pg_run.
 */
enum sink_result pg_position_read(struct postgres *s, const char *stream,
                                  bool *found, uint64_t *next_offset,
                                  struct sink_error *error);

/*
 * Before events are set aside: SINK_REJECT if the position is still where the
 * batch begins, SINK_FENCED if another process has moved it, or as pg_run.
 */
enum sink_result pg_position_confirm(struct postgres *s, const struct batch *b,
                                     struct sink_error *error);

/* Note that the stream has its row in the position table. */
void pg_position_remember(struct postgres *s, const char *stream);

#endif
