/*
 * transaction - one batch into Kafka: all of it, with the position, or
 * nothing that a read_committed consumer sees.
 *
 * After a failure the producer is let go of: whatever may still be under way
 * in its connections is fenced when the next one calls init_transactions.  It
 * goes on only when librdkafka itself refused an event, which was never sent.
 *
 * What is produced is given up at deadline_ms; the end of a transaction then
 * has timeout_ms more.
 */
#ifndef SINKD_KAFKA_TRANSACTION_H
#define SINKD_KAFKA_TRANSACTION_H

#include "sinkd-kafka/kafka.h"

/*
 * Produce the batch and commit it in one transaction with its position.
 * Needs a producer (producer_ready).
 */
enum sink_result transaction_write(struct kafka *k, const struct batch *batch,
                                   uint64_t deadline_ms,
                                   struct sink_error *error);

/*
 * The same without a transaction: produce, wait until the brokers have all of
 * it, then commit the position.  After a failure some of it may be stored.
 */
enum sink_result transaction_write_without(struct kafka *k,
                                           const struct batch *batch,
                                           uint64_t deadline_ms,
                                           struct sink_error *error);

#endif
