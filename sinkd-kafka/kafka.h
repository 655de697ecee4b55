/*
 * kafka - the sink for Kafka.
 *
 * Each batch is one transaction, which includes the sink's position.
 *
 * The position is the committed offset of the consumer group
 * "leat-<sink>-<stream>" for partition 0 of the topic.  There is one producer,
 * whose transactional.id is the name of that group for the log's stream, the
 * first one that the runtime asks for.  It serves the stream of a retry of dead
 * letters, too: a transaction commits the offset of the group whose batch it
 * is.  So no producer is created for each change between the two.
 *
 * When the producer is created, init_transactions ends the transaction of any
 * earlier producer of the same name and fences that producer.  Only then does
 * the sink read positions.  After an error that leaves the outcome of a
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

/* A stream that batches come from. */
struct kafka_stream {
	char name[KAFKA_NAME_MAX]; /* of its group; "": none */
	bool known;                /* the next two are valid */
	bool found;                /* the store has a position: */
	uint64_t position;         /* as Kafka has it */
	rd_kafka_t *reader; /* reads the position; NULL if not needed now */
	rd_kafka_consumer_group_metadata_t *group; /* NULL if not known */
};

struct kafka {
	const struct sink_common *common;
	const struct kafka_conf *conf;
	rd_kafka_t *rk; /* NULL without a producer, as are the next two */
	rd_kafka_topic_t *topic;
	/* partition 0, to be committed */
	rd_kafka_topic_partition_list_t *offsets;
	char name[KAFKA_NAME_MAX]; /* transactional.id */
	/* The stream of the log, and that of a retry of dead letters. */
	struct kafka_stream streams[2];
	struct kafka_stream *stream; /* the one that is asked for now */
	struct buf value;            /* value of the current message */
	struct kafka_error failed;   /* first message that was not delivered */
	struct kafka_error broker;   /* last error of a connection */
	bool keyless;                /* a message of the batch has no key */
	bool all_down;               /* librdkafka can reach no broker */
	pthread_mutex_t log_lock;    /* librdkafka logs from its threads */
	struct log_limit log_limit;
	bool log_ready; /* log_lock is initialized */
	bool counting;  /* the reader reads messages; see count.c */
	bool password_known;
	char password[KAFKA_PASSWORD_MAX];
};

#endif
