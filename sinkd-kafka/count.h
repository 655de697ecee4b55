/* count - which events of a log a topic has. */
#ifndef SINKD_KAFKA_COUNT_H
#define SINKD_KAFKA_COUNT_H

#include "libsink/sink.h"

/*
 * Implements struct sink's count: read the whole topic once, with a consumer
 * that joins no group and commits nothing, and collect the offsets in the
 * headers of the log's messages.
 */
enum sink_result kafka_count(void *state, const struct sink_common *common,
                             const void *conf, struct sink_count *count,
                             struct sink_error *error);

#endif
