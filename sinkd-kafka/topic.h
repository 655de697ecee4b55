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

/*
 * The two steps of topic_ready that create nothing.
 *
 * topic_wait_for_broker waits until a broker answers, since the following calls
 * would only time out without one.  A refused password, or an address where no
 * server listens, is reported at once.
 *
 * topic_find looks for the topic and sets k->topic.  A topic that was `created`
 * a moment ago may still be unknown to a broker; if there is none otherwise,
 * error->code is the number of UNKNOWN_TOPIC_OR_PART.  For a topic that does
 * not exist, brokers may create one when a producer asks for it, so k->rk must
 * be a consumer unless that does not matter.
 */
enum sink_result topic_wait_for_broker(struct kafka *k, uint64_t deadline_ms,
                                       struct sink_error *error);
enum sink_result topic_find(struct kafka *k, bool created, uint64_t deadline_ms,
                            struct sink_error *error);

#endif
