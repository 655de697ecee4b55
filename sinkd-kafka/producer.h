/* producer - create, check and close librdkafka's producer. */
#ifndef SINKD_KAFKA_PRODUCER_H
#define SINKD_KAFKA_PRODUCER_H

#include "sinkd-kafka/kafka.h"

/*
 * Make sure that k has a producer, and knows the position of `stream`, which
 * becomes k->stream.  Tries until deadline_ms.  After any result but SINK_DONE
 * there is no producer.
 */
enum sink_result producer_ready(struct kafka *k, const char *stream,
                                uint64_t deadline_ms, struct sink_error *error);

/*
 * Set k->stream, without a producer or a request.  The first stream stays;
 * others replace each other.
 */
void producer_select(struct kafka *k, const char *stream);

/* Close the producer.  Messages that are not delivered are discarded. */
void producer_close(struct kafka *k);

#endif
