/*
 * producer - librdkafka's producer for one stream: made, checked, let go of.
 */
#ifndef SINKD_KAFKA_PRODUCER_H
#define SINKD_KAFKA_PRODUCER_H

#include "sinkd-kafka/kafka.h"

/*
 * Make sure that k has a producer for `stream` and knows its position.  A
 * producer that is there already is kept; one of another stream is closed.
 * Tries until deadline_ms.  After anything but SINK_DONE there is
 * no producer.
 */
enum sink_result producer_ready(struct kafka *k, const char *stream,
                                uint64_t deadline_ms, struct sink_error *error);

/* Let go of the producer; what is not delivered is dropped. */
void producer_close(struct kafka *k);

#endif
