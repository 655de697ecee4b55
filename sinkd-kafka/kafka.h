/*
 * kafka - the sink for Kafka.
 *
 * Each batch is one transaction, which includes the sink's position.
 *
 * The position is the committed offset of the consumer group
 * "leat-<sink>-<stream>" for partition 0 of the topic.  The transactional.id
 * has the same name.  A producer serves one stream.  It is created when the
 * runtime first asks for that stream: init_transactions ends the transaction of
 * any earlier producer of the same name and fences that producer.  Only then
 * does the sink read the position.  After an error that leaves the outcome of a
 * transaction unknown, the sink closes the producer, and the next one learns
 * the outcome from the position.  docs/kafka.md has the full reasoning.
 */
#ifndef SINKD_KAFKA_KAFKA_H
#define SINKD_KAFKA_KAFKA_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>

#include "libbase/buf.h"
#include "libbase/log.h"
#include "libsink/sink.h"
#include "sinkd-kafka/settings.h"

#define KAFKA_SINK_NAME "kafka"

/* Room for "leat-kafka-" and the name of a stream. */
#define KAFKA_NAME_MAX 128

/* The last error that librdkafka reported to a callback. */
struct kafka_error {
	rd_kafka_resp_err_t err; /* NO_ERROR if there is none */
	size_t event;            /* 1 + index in the batch, or 0 */
	bool unsent;             /* refused by librdkafka itself, never sent */
	char text[SINK_ERROR_TEXT];
};

struct kafka {
	const struct sink_common *common;
	const struct kafka_conf *conf;
	rd_kafka_t *reader; /* reads the position; NULL if not needed now */
	rd_kafka_t *rk;     /* NULL without a producer, as are the next three */
	rd_kafka_topic_t *topic;
	/* partition 0, to be committed */
	rd_kafka_topic_partition_list_t *offsets;
	rd_kafka_consumer_group_metadata_t *group;
	char name[KAFKA_NAME_MAX]; /* transactional.id and group */
	bool found;                /* the store has a position: */
	uint64_t position;         /* as Kafka has it */
	struct buf value;          /* value of the current message */
	struct kafka_error failed; /* first message that was not delivered */
	struct kafka_error broker; /* last error of a connection */
	bool keyless;              /* a message of the batch has no key */
	bool all_down;             /* librdkafka can reach no broker */
	pthread_mutex_t log_lock;  /* librdkafka logs from its threads */
	struct log_limit log_limit;
	bool log_ready; /* log_lock is initialized */
	bool password_read;
	char password[KAFKA_PASSWORD_MAX];
};

#endif
