/*
 * kafka - the sink for Kafka: one transaction for each batch, the position
 * in the same transaction.
 *
 * The position is the committed offset of consumer group
 * "leat-<sink>-<stream>" for partition 0 of the topic; transactional.id has
 * the same name.  A producer belongs to one stream.  It is built when the
 * stream is first asked for: init_transactions first, which ends the
 * transaction of any earlier producer of that name and fences it, and only
 * then the position is read.  After an error that leaves the outcome of a
 * transaction open, the producer is thrown away, and the next one learns
 * from the position what happened.  docs/kafka.md has the whole reasoning.
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
#include "sinkd-kafka/options.h"

enum kafka_key { KEY_USER_ID, KEY_ID, KEY_NONE };
enum kafka_format { FORMAT_JSON, FORMAT_MSGPACK };
enum kafka_delivery { EXACTLY_ONCE, AT_LEAST_ONCE };

struct kafka_conf {
	char *brokers;
	char *topic;
	int key;      /* enum kafka_key */
	int format;   /* enum kafka_format */
	int delivery; /* enum kafka_delivery */
	bool create_topic;
	int64_t partitions;
	int64_t replication;
	char *password_file;
	struct options options; /* [sinkd-kafka.rdkafka] */
};

/* "leat-kafka-" and a stream name. */
#define KAFKA_NAME_MAX 128

#define KAFKA_PASSWORD_MAX 1024

/* What librdkafka said last, from its callbacks. */
struct kafka_error {
	rd_kafka_resp_err_t err; /* NO_ERROR: none */
	size_t event;            /* 1 + index in the batch, or 0 */
	bool unsent;             /* librdkafka refused it, not a broker */
	char text[SINK_ERROR_TEXT];
};

struct kafka {
	const struct sink_common *common;
	const struct kafka_conf *conf;
	rd_kafka_t *reader; /* of the position; NULL: not needed now */
	rd_kafka_t *rk;     /* NULL: no producer; and the next three too */
	rd_kafka_topic_t *topic;
	rd_kafka_topic_partition_list_t *offsets; /* partition 0, to commit */
	rd_kafka_consumer_group_metadata_t *group;
	char name[KAFKA_NAME_MAX]; /* transactional.id and group */
	bool found;                /* the store remembers a position: */
	uint64_t position;         /* as Kafka has it */
	struct buf value;          /* of the message being made */
	struct kafka_error failed; /* first message not delivered */
	struct kafka_error broker; /* last error of a connection */
	bool keyless;              /* a message of the batch has no key */
	bool all_down;             /* no broker of any can be reached */
	pthread_mutex_t log_lock;  /* librdkafka logs from its threads */
	struct log_limit log_limit;
	bool log_ready; /* log_lock is initialised */
	bool password_read;
	char password[KAFKA_PASSWORD_MAX];
};

extern const struct sink kafka_sink;

#endif
