/*
 * sink - what libsink calls: connect, read the position, write, and close.  Two
 * of its functions have files of their own, check.c and count.c.
 */
#ifndef SINKD_POSTGRES_SINK_H
#define SINKD_POSTGRES_SINK_H

#include "libsink/sink.h"

extern const struct sink postgres_sink;

/* Implements struct sink's check_store. */
void postgres_check_store(void *state, const struct sink_common *common,
                          const void *conf, const char *stream);

/*
 * Implements struct sink's count.  The table does not contain of which log a
 * row is, so all rows are counted.  Rows with the same id that were received at
 * the same time are one event that is stored twice.
 */
enum sink_result postgres_count(void *state, const struct sink_common *common,
                                const void *conf, struct sink_count *count,
                                struct sink_error *error);

#endif
