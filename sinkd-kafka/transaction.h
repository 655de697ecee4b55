/*
 * transaction - write one batch to Kafka.
 *
 * In a transaction, a read_committed consumer sees either the whole batch, with
 * the position moved, or nothing of it.
 *
 * After a failure the producer is closed.  Whatever may still be on its way in
 * its connections is fenced when the next producer calls init_transactions.
 * The producer is kept only if librdkafka itself refused an event, which was
 * then never sent.
 *
 * Producing ends at deadline_ms.  The end of the transaction then has another
 * timeout_ms.
 */
#ifndef SINKD_KAFKA_TRANSACTION_H
#define SINKD_KAFKA_TRANSACTION_H

#include "sinkd-kafka/kafka.h"

/*
 * The headers of each message: the UUID of its log, and its offset there.
 * docs/kafka.md promises their names.
 */
#define HEADER_STREAM "leat-stream"
#define HEADER_OFFSET "leat-offset"

/*
 * Produce the batch and commit it in one transaction with its position.  The
 * caller has called producer_ready.
 */
enum sink_result transaction_write(struct kafka *k, const struct batch *batch,
                                   uint64_t deadline_ms,
                                   struct sink_error *error);

/*
 * Produce the batch without a transaction, wait until the brokers have all of
 * it, and then commit the position.  After a failure a part of it may be
 * stored.
 */
enum sink_result transaction_write_without(struct kafka *k,
                                           const struct batch *batch,
                                           uint64_t deadline_ms,
                                           struct sink_error *error);

#endif
