/*
 * admin - what the sink asks of Kafka beside producing: is the topic there,
 * and what position has the group committed.
 */
#ifndef SINKD_KAFKA_ADMIN_H
#define SINKD_KAFKA_ADMIN_H

#include "sinkd-kafka/kafka.h"

/*
 * Check that the topic is there, or create it where the settings say so, and
 * set k->topic.
 */
enum sink_result admin_topic(struct kafka *k, uint64_t deadline_ms,
                             struct sink_error *error);

/* Read the group's committed offset into k->found and k->position. */
enum sink_result admin_position(struct kafka *k, uint64_t deadline_ms,
                                struct sink_error *error);

/*
 * Delete the group's committed offset.  With delivery = at_least_once it
 * would stay behind, and mislead a later exactly_once.  A failure is logged.
 */
void admin_forget_position(struct kafka *k, uint64_t deadline_ms);

#endif
