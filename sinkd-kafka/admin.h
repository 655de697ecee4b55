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
 * Commit `position` for the group, outside any transaction: what
 * delivery = at_least_once does after its messages are delivered.
 */
enum sink_result admin_store_position(struct kafka *k, uint64_t position,
                                      uint64_t deadline_ms,
                                      struct sink_error *error);

#endif
