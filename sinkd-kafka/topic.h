/*
 * topic - is the topic there; and making it where the settings say so.
 */
#ifndef SINKD_KAFKA_TOPIC_H
#define SINKD_KAFKA_TOPIC_H

#include "sinkd-kafka/kafka.h"

/*
 * Check with k->rk that the topic is there, or create it where the settings
 * say so, and set k->topic.
 */
enum sink_result topic_ready(struct kafka *k, uint64_t deadline_ms,
                             struct sink_error *error);

#endif
