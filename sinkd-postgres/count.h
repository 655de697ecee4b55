/* count - how many events a table of PostgreSQL has. */
#ifndef SINKD_POSTGRES_COUNT_H
#define SINKD_POSTGRES_COUNT_H

#include "libsink/sink.h"

/*
 * Implements struct sink's count.  The table does not contain of which log a
 * row is, so all rows are counted.  Rows with the same id that were received at
 * the same time are one event that is stored twice.
 */
enum sink_result postgres_count(void *state, const struct sink_common *common,
                                const void *conf, struct sink_count *count,
                                struct sink_error *error);

#endif
