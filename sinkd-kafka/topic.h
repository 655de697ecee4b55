/* topic - check that the topic exists, or create it if create_topic is set. */
#ifndef SINKD_KAFKA_TOPIC_H
#define SINKD_KAFKA_TOPIC_H

#include "sinkd-kafka/kafka.h"

/*
 * Check with k->rk that the topic exists, or create it if create_topic is set.
 * Sets k->topic.
 */
enum sink_result topic_ready(struct kafka *k, uint64_t deadline_ms,
                             struct sink_error *error);

#endif
