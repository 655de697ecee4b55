/*
 * sink - what libsink calls: connect, read the position, write, and close.  Two
 * of its functions have files of their own, check.c and count.c.
 */
#ifndef SINKD_KAFKA_SINK_H
#define SINKD_KAFKA_SINK_H

#include "libsink/sink.h"

extern const struct sink kafka_sink;

/*
 * Implements struct sink's check_store.  It uses only a consumer, which joins
 * no group: a producer with the sink's transactional id would fence the sink.
 */
void kafka_check_store(void *state, const struct sink_common *common,
                       const void *conf, const char *stream);

/*
 * Implements struct sink's count: read the whole topic once, with a consumer
 * that joins no group and commits nothing, and collect the offsets in the
 * headers of the log's messages.
 */
enum sink_result kafka_count(void *state, const struct sink_common *common,
                             const void *conf, struct sink_count *count,
                             struct sink_error *error);

#endif
