/* producer - see producer.h. */
#include "sinkd-kafka/producer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "libsink/stop.h"
#include "sinkd-kafka/client.h"
#include "sinkd-kafka/position.h"
#include "sinkd-kafka/topic.h"

/*
 * End the transaction of any earlier producer of this name, and fence that
 * producer.
 */
static enum sink_result
init_transactions(struct kafka *k, uint64_t deadline_ms,
                  struct sink_error *error)
{
	for (;;) {
		int left = client_left_ms(deadline_ms);
		rd_kafka_error_t *e = rd_kafka_init_transactions(k->rk, left);
		enum sink_result result;

		if (!e)
			return SINK_DONE;
		if (rd_kafka_error_is_retriable(e) && left > 0) {
			rd_kafka_error_destroy(e);
			/* This returns as soon as librdkafka has an event. */
			(void)rd_kafka_poll(k->rk, left < 100 ? left : 100);
			continue;
		}
		result =
		    client_error(k, "init_transactions", rd_kafka_error_code(e),
		                 rd_kafka_error_string(e), error);
		rd_kafka_error_destroy(e);
		return result == SINK_REJECT ? SINK_MISCONFIGURED : result;
	}
}

static enum sink_result
producer_start(struct kafka *k, uint64_t deadline_ms, struct sink_error *error)
{
	enum sink_result result =
	    client_new(k, RD_KAFKA_PRODUCER, &k->rk, error);

	if (result != SINK_DONE)
		return result;
	k->offsets = rd_kafka_topic_partition_list_new(1);
	(void)rd_kafka_topic_partition_list_add(k->offsets, k->conf->topic, 0);
	k->group = rd_kafka_consumer_group_metadata_new(k->name);
	result = topic_ready(k, deadline_ms, error);
	if (result == SINK_DONE && k->conf->delivery == EXACTLY_ONCE)
		result = init_transactions(k, deadline_ms, error);
	if (result == SINK_DONE)
		result = position_read(k, deadline_ms, error);
	/* From here on the transactions carry the position. */
	if (k->conf->delivery == EXACTLY_ONCE)
		position_close(k);
	return result;
}

enum sink_result
producer_ready(struct kafka *k, const char *stream, uint64_t deadline_ms,
               struct sink_error *error)
{
	char name[KAFKA_NAME_MAX];
	enum sink_result result;
	int n;

	n = snprintf(name, sizeof name, "leat-%s-%s", KAFKA_SINK_NAME, stream);
	assert(n > 0 && (size_t)n < sizeof name);
	if (k->rk && strcmp(name, k->name) == 0)
		return SINK_DONE;
	producer_close(k);
	memcpy(k->name, name, sizeof name);
	result = producer_start(k, deadline_ms, error);
	if (result != SINK_DONE)
		producer_close(k);
	return result;
}

void
producer_close(struct kafka *k)
{
	/*
	 * rd_kafka_destroy waits for the threads of librdkafka, however long a
	 * broker keeps them busy.  Let a stop end the process meanwhile.
	 */
	bool hanging = stop_hanging(true);

	position_close(k);
	if (k->group)
		rd_kafka_consumer_group_metadata_destroy(k->group);
	k->group = NULL;
	if (k->offsets)
		rd_kafka_topic_partition_list_destroy(k->offsets);
	k->offsets = NULL;
	if (k->topic)
		rd_kafka_topic_destroy(k->topic);
	k->topic = NULL;
	if (k->rk) {
		(void)rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE |
		                                RD_KAFKA_PURGE_F_INFLIGHT);
		/* processes the purged messages */
		(void)rd_kafka_poll(k->rk, 0);
		rd_kafka_destroy(k->rk);
	}
	k->rk = NULL;
	(void)stop_hanging(hanging);
	k->found = false;
	k->position = 0;
	client_clear_errors(k);
}
