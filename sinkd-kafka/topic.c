/* topic - see topic.h. */
#include "sinkd-kafka/topic.h"

#include <stdio.h>

#include "sinkd-kafka/admin.h"
#include "sinkd-kafka/client.h"
#include "sinkd-kafka/error_class.h"

/*
 * Time limit of a blocking call.  After each of these the caller checks whether
 * a broker has refused the client.
 */
#define SLICE_MS 500

/* Get the error of the one topic from a CreateTopics result. */
static rd_kafka_resp_err_t
creation_error(const struct admin *r, char *text, size_t text_bytes)
{
	const rd_kafka_CreateTopics_result_t *result =
	    rd_kafka_event_CreateTopics_result(r->result);
	const rd_kafka_topic_result_t **topics;
	const char *words;
	size_t n = 0;

	topics = rd_kafka_CreateTopics_result_topics(result, &n);
	if (n != 1)
		return RD_KAFKA_RESP_ERR__BAD_MSG;
	words = rd_kafka_topic_result_error_string(topics[0]);
	(void)snprintf(text, text_bytes, "%s", words ? words : "");
	return rd_kafka_topic_result_error(topics[0]);
}

static rd_kafka_resp_err_t
try_create(struct kafka *k, bool any_time, uint64_t deadline_ms, char *text,
           size_t text_bytes)
{
	rd_kafka_NewTopic_t *topic;
	rd_kafka_resp_err_t err;
	const char *words;
	struct admin r;

	topic =
	    rd_kafka_NewTopic_new(k->conf->topic, (int)k->conf->partitions,
	                          (int)k->conf->replication, text, text_bytes);
	if (!topic)
		return RD_KAFKA_RESP_ERR__INVALID_ARG;
	/*
	 * Without this, Kafka would refuse events of a sender whose clock is an
	 * hour ahead.
	 */
	if (any_time)
		(void)rd_kafka_NewTopic_set_config(
		    topic, "message.timestamp.after.max.ms",
		    "9223372036854775807");
	admin_init(&r, k, RD_KAFKA_ADMIN_OP_CREATETOPICS, deadline_ms);
	rd_kafka_CreateTopics(k->rk, &topic, 1, r.options, r.queue);
	err = admin_wait(&r, deadline_ms, &words);
	if (err)
		(void)snprintf(text, text_bytes, "%s", words ? words : "");
	else
		err = creation_error(&r, text, text_bytes);
	admin_fini(&r);
	rd_kafka_NewTopic_destroy(topic);
	return err;
}

static enum sink_result
create_topic(struct kafka *k, uint64_t deadline_ms, struct sink_error *error)
{
	char text[SINK_ERROR_TEXT] = "";
	rd_kafka_resp_err_t err =
	    try_create(k, true, deadline_ms, text, sizeof text);

	/* Kafka before version 3.6 has neither the limit nor the setting. */
	if (err == RD_KAFKA_RESP_ERR_INVALID_CONFIG)
		err = try_create(k, false, deadline_ms, text, sizeof text);
	if (!err)
		log_info("topic created topic=%s partitions=%d replication=%d",
		         k->conf->topic, (int)k->conf->partitions,
		         (int)k->conf->replication);
	if (!err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		return SINK_DONE;
	return client_error(k, "create_topic", err, text, error);
}

enum sink_result
topic_wait_for_broker(struct kafka *k, uint64_t deadline_ms,
                      struct sink_error *error)
{
	for (;;) {
		const struct rd_kafka_metadata *md = NULL;
		int left = client_left_ms(deadline_ms);
		rd_kafka_resp_err_t err = rd_kafka_metadata(
		    k->rk, 0, NULL, &md, left < SLICE_MS ? left : SLICE_MS);

		if (!err) {
			rd_kafka_metadata_destroy(md);
			return SINK_DONE;
		}
		(void)rd_kafka_poll(k->rk, left < 50 ? left : 50);
		if (left == 0 || k->all_down ||
		    kafka_error_class(err) == SINK_MISCONFIGURED ||
		    kafka_error_class(k->broker.err) == SINK_MISCONFIGURED)
			return client_error(k, "connect", err, NULL, error);
	}
}

/*
 * Look at the topic once.  Returns NO_ERROR if it has partitions, or the reason
 * why not.  Errors that pass by themselves are LEADER_NOT_AVAILABLE and those
 * that kafka_error_class calls SINK_UNREACHABLE.
 */
static rd_kafka_resp_err_t
look_at_topic(struct kafka *k, int timeout_ms)
{
	const rd_kafka_metadata_t *md = NULL;
	rd_kafka_resp_err_t err;

	err = rd_kafka_metadata(k->rk, 0, k->topic, &md, timeout_ms);
	if (err)
		return err;
	if (md->topic_cnt != 1)
		err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	else
		err = md->topics[0].err;
	if (!err && md->topics[0].partition_cnt == 0)
		err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	rd_kafka_metadata_destroy(md);
	return err;
}

/*
 * Return true if looking again is pointless, because the time is up or a broker
 * has refused for good.
 */
static bool
hopeless(const struct kafka *k, rd_kafka_resp_err_t err, bool created,
         uint64_t deadline_ms)
{
	if (client_left_ms(deadline_ms) == 0)
		return true;
	if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && created)
		return false; /* all brokers have to learn of the new topic */
	return kafka_error_class(err) == SINK_MISCONFIGURED || k->all_down ||
	       kafka_error_class(k->broker.err) == SINK_MISCONFIGURED;
}

enum sink_result
topic_find(struct kafka *k, bool created, uint64_t deadline_ms,
           struct sink_error *error)
{
	rd_kafka_resp_err_t err;

	k->topic = rd_kafka_topic_new(k->rk, k->conf->topic, NULL);
	if (!k->topic)
		return kafka_error_report(error, "topic", rd_kafka_last_error(),
		                          NULL);
	for (;;) {
		int left = client_left_ms(deadline_ms);

		err = look_at_topic(k, left < SLICE_MS ? left : SLICE_MS);
		if (!err)
			return SINK_DONE;
		/* This also waits a little before the next look. */
		(void)rd_kafka_poll(k->rk, left < 50 ? left : 50);
		if (hopeless(k, err, created, deadline_ms))
			break;
	}
	if (err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		return client_error(k, "topic", err, NULL, error);
	return kafka_error_report(error, k->conf->topic, err,
	                          "the topic does not exist: create it, or set "
	                          "create_topic = yes");
}

enum sink_result
topic_ready(struct kafka *k, uint64_t deadline_ms, struct sink_error *error)
{
	bool create = k->conf->create_topic;
	enum sink_result result = topic_wait_for_broker(k, deadline_ms, error);

	/*
	 * Create the topic before there is a handle for it: a handle makes
	 * librdkafka ask for the topic, and the broker may then create it with
	 * its own defaults.
	 */
	if (result == SINK_DONE && create)
		result = create_topic(k, deadline_ms, error);
	if (result == SINK_DONE)
		result = topic_find(k, create, deadline_ms, error);
	return result;
}
