/*
 * position - the committed offset of the sink's consumer group.
 *
 * A consumer that reads no messages reads and commits the offset.  librdkafka's
 * admin calls could do that with the producer's handle.  But the calls for
 * groups abort the process when the coordinator has moved or its connection
 * breaks (seen with 2.0.2).  A consumer handles both.
 */
#ifndef SINKD_KAFKA_POSITION_H
#define SINKD_KAFKA_POSITION_H

#include "sinkd-kafka/kafka.h"

/*
 * Read the committed offset of k->stream.  Opens its reader, which
 * position_close closes.
 */
enum sink_result position_read(struct kafka *k, uint64_t deadline_ms,
                               struct sink_error *error);

/*
 * Commit `position` outside any transaction.  Used by delivery = at_least_once
 * after the messages are delivered.
 */
enum sink_result position_store(struct kafka *k, uint64_t position,
                                uint64_t deadline_ms, struct sink_error *error);

/* Close the reader of k->stream. */
void position_close(struct kafka *k);

#endif
