/*
 * position - the committed offset of the sink's consumer group, by a
 * consumer that consumes nothing.
 *
 * librdkafka's admin calls could ask with the producer's own handle, but
 * those for groups end the process when the coordinator has moved or its
 * connection breaks (seen with 2.0.2); a consumer handles both.
 */
#ifndef SINKD_KAFKA_POSITION_H
#define SINKD_KAFKA_POSITION_H

#include "sinkd-kafka/kafka.h"

/*
 * Read the committed offset into k->found and k->position.  Opens k->reader;
 * position_close lets go of it.
 */
enum sink_result position_read(struct kafka *k, uint64_t deadline_ms,
                               struct sink_error *error);

/*
 * Commit `position` outside any transaction: what delivery = at_least_once
 * does after its messages are delivered.
 */
enum sink_result position_store(struct kafka *k, uint64_t position,
                                uint64_t deadline_ms, struct sink_error *error);

void position_close(struct kafka *k);

#endif
