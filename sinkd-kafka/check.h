/* check - what `leat check` wants to know of a Kafka cluster. */
#ifndef SINKD_KAFKA_CHECK_H
#define SINKD_KAFKA_CHECK_H

#include "libsink/sink.h"

/*
 * Implements struct sink's check_store.  It uses only a consumer, which joins
 * no group: a producer with the sink's transactional id would fence the sink.
 */
void kafka_check_store(void *state, const struct sink_common *common,
                       const void *conf, const char *stream);

#endif
