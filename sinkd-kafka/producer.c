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
	result = topic_ready(k, deadline_ms, error);
	if (result == SINK_DONE && k->conf->delivery == EXACTLY_ONCE)
		result = init_transactions(k, deadline_ms, error);
	return result;
}

/* Find out the position of k->stream. */
static enum sink_result
stream_start(struct kafka *k, uint64_t deadline_ms, struct sink_error *error)
{
	struct kafka_stream *stream = k->stream;
	enum sink_result result = position_read(k, deadline_ms, error);

	/* From here on the transactions carry the position. */
	if (k->conf->delivery == EXACTLY_ONCE)
		position_close(k);
	if (result != SINK_DONE)
		return result;
	stream->group = rd_kafka_consumer_group_metadata_new(stream->name);
	stream->known = true;
	return SINK_DONE;
}

/* Release what belongs to k->stream, whose position must be read again. */
static void
stream_close(struct kafka *k)
{
	struct kafka_stream *stream = k->stream;

	position_close(k);
	if (stream->group)
		rd_kafka_consumer_group_metadata_destroy(stream->group);
	stream->group = NULL;
	stream->known = stream->found = false;
	stream->position = 0;
}

void
producer_select(struct kafka *k, const char *stream)
{
	char name[KAFKA_NAME_MAX];
	int n =
	    snprintf(name, sizeof name, "leat-%s-%s", KAFKA_SINK_NAME, stream);

	assert(n > 0 && (size_t)n < sizeof name);
	k->stream = &k->streams[0];
	if (k->stream->name[0] && strcmp(k->stream->name, name) != 0)
		k->stream = &k->streams[1];
	if (strcmp(k->stream->name, name) != 0)
		stream_close(k);
	memcpy(k->stream->name, name, sizeof name);
	if (!k->name[0])
		memcpy(k->name, name, sizeof name);
}

enum sink_result
producer_ready(struct kafka *k, const char *stream, uint64_t deadline_ms,
               struct sink_error *error)
{
	enum sink_result result = SINK_DONE;

	producer_select(k, stream);
	if (!k->rk)
		result = producer_start(k, deadline_ms, error);
	if (result == SINK_DONE && !k->stream->known)
		result = stream_start(k, deadline_ms, error);
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
	struct kafka_stream *stream = k->stream;

	for (size_t i = 0; i < ARRAY_LEN(k->streams); i++) {
		k->stream = &k->streams[i];
		stream_close(k);
	}
	k->stream = stream;
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
	client_clear_errors(k);
}
