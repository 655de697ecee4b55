/* admin - one request of librdkafka's admin interface. */
#ifndef SINKD_KAFKA_ADMIN_H
#define SINKD_KAFKA_ADMIN_H

#include "sinkd-kafka/kafka.h"

/* The options of the request, and the queue on which its result arrives. */
struct admin {
	rd_kafka_AdminOptions_t *options;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *result;
};

/* Prepare a request with k->rk.  admin_fini must follow. */
void admin_init(struct admin *r, struct kafka *k, rd_kafka_admin_op_t op,
                uint64_t deadline_ms);

/*
 * Wait for the result.  Returns librdkafka's error for the whole request.
 * *text is valid until admin_fini.
 */
rd_kafka_resp_err_t admin_wait(struct admin *r, uint64_t deadline_ms,
                               const char **text);

void admin_fini(struct admin *r);

#endif
