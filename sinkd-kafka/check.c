/* check - what `leat check` wants to know of a Kafka cluster. */
#include "sinkd-kafka/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsink/finding.h"
#include "sinkd-kafka/admin.h"
#include "sinkd-kafka/client.h"
#include "sinkd-kafka/kafka.h"
#include "sinkd-kafka/message.h"
#include "sinkd-kafka/position.h"
#include "sinkd-kafka/producer.h"
#include "sinkd-kafka/topic.h"

/* What a message takes in a batch beside its value: key, headers, framing. */
#define MESSAGE_EXTRA 1024

/* The settings of the topic that matter, 0 or empty if not known. */
struct topic_settings {
	long long min_insync, max_message, ahead_ms, retention_ms;
	bool compacts, known, own_time;
};

/* --- the topic's settings --- */

static void
take_setting(struct topic_settings *t, const char *name, const char *value)
{
	static const char *const names[] = {
	    "min.insync.replicas", "max.message.bytes",
	    "message.timestamp.after.max.ms", "retention.ms"};
	long long *const numbers[] = {&t->min_insync, &t->max_message,
	                              &t->ahead_ms, &t->retention_ms};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			*numbers[i] = strtoll(value, NULL, 10);
	}
	if (strcmp(name, "cleanup.policy") == 0)
		t->compacts = strstr(value, "compact") != NULL;
	if (strcmp(name, "message.timestamp.type") == 0)
		t->own_time = strcmp(value, "LogAppendTime") != 0;
}

static void
take_settings(struct topic_settings *t, rd_kafka_event_t *event)
{
	const rd_kafka_DescribeConfigs_result_t *result =
	    rd_kafka_event_DescribeConfigs_result(event);
	const rd_kafka_ConfigResource_t **all;
	const rd_kafka_ConfigEntry_t **entries;
	size_t n = 0, count = 0;

	all = rd_kafka_DescribeConfigs_result_resources(result, &n);
	if (n != 1 || rd_kafka_ConfigResource_error(all[0]))
		return;
	entries = rd_kafka_ConfigResource_configs(all[0], &count);
	for (size_t i = 0; i < count; i++) {
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (value)
			take_setting(t, rd_kafka_ConfigEntry_name(entries[i]),
			             value);
	}
	t->known = true;
}

static void
read_settings(struct kafka *k, struct topic_settings *t)
{
	rd_kafka_ConfigResource_t *topic = rd_kafka_ConfigResource_new(
	    RD_KAFKA_RESOURCE_TOPIC, k->conf->topic);
	uint64_t deadline_ms = client_deadline_ms(k);
	const char *text;
	struct admin r;

	admin_init(&r, k, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, deadline_ms);
	rd_kafka_DescribeConfigs(k->rk, &topic, 1, r.options, r.queue);
	if (!admin_wait(&r, deadline_ms, &text))
		take_settings(t, r.result);
	admin_fini(&r);
	rd_kafka_ConfigResource_destroy(topic);
	if (!t->known)
		finding_print(FINDING_WARNING,
		              "the settings of topic %s cannot be read; allow "
		              "the sink's user DescribeConfigs on it to have "
		              "them checked",
		              k->conf->topic);
}

/* Print a finding whose remedy is to change one setting of the topic. */
static void
print_setting(const struct kafka *k, enum finding level, const char *what,
              const char *setting, long long value)
{
	finding_print(level,
	              "%s; run: kafka-configs.sh --bootstrap-server %s --alter "
	              "--entity-type topics --entity-name %s --add-config "
	              "%s=%lld",
	              what, k->conf->brokers, k->conf->topic, setting, value);
}

static void
check_settings(const struct kafka *k, const struct topic_settings *t)
{
	const long long needed = MESSAGE_MAX + MESSAGE_EXTRA;
	char text[256];

	if (t->max_message > 0 && t->max_message < needed) {
		(void)snprintf(text, sizeof text,
		               "max.message.bytes = %lld: larger events become "
		               "dead letters",
		               t->max_message);
		print_setting(k, FINDING_ERROR, text, "max.message.bytes",
		              needed);
	}
	/* A month ahead is not the clock of an honest sender. */
	if (t->own_time && t->ahead_ms > 0 &&
	    t->ahead_ms < INT64_C(30) * 86400 * 1000) {
		(void)snprintf(
		    text, sizeof text,
		    "message.timestamp.after.max.ms = %lld: an event "
		    "of a clock that is more ahead becomes a "
		    "dead letter",
		    t->ahead_ms);
		print_setting(k, FINDING_WARNING, text,
		              "message.timestamp.after.max.ms", INT64_MAX);
	}
	if (t->compacts && k->conf->key == KEY_ID)
		finding_print(FINDING_WARNING,
		              "cleanup.policy = compact: of events with one id "
		              "Kafka keeps the last");
	else if (t->compacts)
		finding_print(
		    FINDING_ERROR,
		    "cleanup.policy = compact: Kafka %s; run: kafka-configs.sh "
		    "--bootstrap-server %s --alter --entity-type topics "
		    "--entity-name %s --add-config cleanup.policy=delete",
		    k->conf->key == KEY_NONE
			? "refuses events, which have no key"
			: "removes all but the last event of each user, and "
			  "an event without a user becomes a dead letter",
		    k->conf->brokers, k->conf->topic);
}

/* --- partitions --- */

/* What the partitions have in common, and the worst of them. */
struct replicas {
	int fewest, fewest_in_sync; /* of any partition */
	int leaderless;             /* partitions */
};

static struct replicas
count_replicas(const struct rd_kafka_metadata_topic *topic)
{
	struct replicas r = {.fewest = topic->partitions[0].replica_cnt,
	                     .fewest_in_sync = topic->partitions[0].isr_cnt};

	for (int i = 0; i < topic->partition_cnt; i++) {
		const struct rd_kafka_metadata_partition *p =
		    &topic->partitions[i];

		if (p->replica_cnt < r.fewest)
			r.fewest = p->replica_cnt;
		if (p->isr_cnt < r.fewest_in_sync)
			r.fewest_in_sync = p->isr_cnt;
		r.leaderless += p->leader < 0;
	}
	return r;
}

static void
check_replicas(const struct kafka *k, const struct replicas *r, int brokers,
               const struct topic_settings *t)
{
	char text[256];

	if (r->leaderless > 0)
		finding_print(
		    FINDING_ERROR,
		    "%d partitions of %s have no leader: the sink "
		    "waits for them; start the brokers that have them",
		    r->leaderless, k->conf->topic);
	else if (t->min_insync > r->fewest) {
		(void)snprintf(text, sizeof text,
		               "min.insync.replicas = %lld, but replication is "
		               "%d: nothing can be written",
		               t->min_insync, r->fewest);
		print_setting(k, FINDING_ERROR, text, "min.insync.replicas",
		              r->fewest);
	} else if (t->min_insync > r->fewest_in_sync)
		finding_print(FINDING_ERROR,
		              "a partition of %s has %d replicas in sync, and "
		              "min.insync.replicas = %lld: the sink waits; "
		              "start the other brokers",
		              k->conf->topic, r->fewest_in_sync, t->min_insync);
	else if (r->fewest > 1 && t->min_insync == 1)
		print_setting(
		    k, FINDING_WARNING,
		    "min.insync.replicas = 1: while other brokers are "
		    "down, one disk has the only copy of what is "
		    "stored",
		    "min.insync.replicas", 2);
	if (r->fewest == 1)
		finding_print(
		    FINDING_WARNING,
		    "replication 1: one broker's disk is the only copy "
		    "of a partition; %srun kafka-reassign-partitions.sh "
		    "with more replicas",
		    brokers < 2 ? "add brokers, and " : "");
}

/* Check the topic, for which there is a handle. */
static void
check_topic(struct kafka *k)
{
	const struct rd_kafka_metadata *md = NULL;
	struct topic_settings t = {.known = false};
	rd_kafka_resp_err_t err = rd_kafka_metadata(
	    k->rk, 0, k->topic, &md, client_left_ms(client_deadline_ms(k)));
	struct replicas r;

	if (err || md->topic_cnt != 1 || md->topics[0].partition_cnt < 1) {
		finding_print(FINDING_ERROR, "topic %s: %s", k->conf->topic,
		              rd_kafka_err2str(err));
		if (md)
			rd_kafka_metadata_destroy(md);
		return;
	}
	read_settings(k, &t);
	r = count_replicas(&md->topics[0]);
	finding_print(FINDING_OK,
	              "topic %s: %d partitions, replication %d, on %d brokers",
	              k->conf->topic, md->topics[0].partition_cnt, r.fewest,
	              md->broker_cnt);
	check_replicas(k, &r, md->broker_cnt, &t);
	check_settings(k, &t);
	rd_kafka_metadata_destroy(md);
}

static void
check_find_topic(struct kafka *k)
{
	struct sink_error error = {.bad_event = 0};
	char unknown[8];

	if (topic_find(k, false, client_deadline_ms(k), &error) == SINK_DONE) {
		check_topic(k);
		return;
	}
	(void)snprintf(unknown, sizeof unknown, "%d",
	               RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	if (strcmp(error.code, unknown) != 0)
		finding_print(FINDING_ERROR, "%s", error.text);
	else if (k->conf->create_topic)
		finding_print(k->conf->replication > 1 ? FINDING_OK
		                                       : FINDING_WARNING,
		              "topic %s does not exist: would be created with "
		              "%d partitions and replication %d%s",
		              k->conf->topic, (int)k->conf->partitions,
		              (int)k->conf->replication,
		              k->conf->replication > 1
		                  ? ""
		                  : ", so that one broker's disk is the only "
		                    "copy; set replication, if there are more "
		                    "brokers");
	else
		finding_print(
		    FINDING_ERROR,
		    "topic %s does not exist; set create_topic = yes, "
		    "or run: kafka-topics.sh --bootstrap-server %s "
		    "--create --topic %s --partitions %d "
		    "--replication-factor %d",
		    k->conf->topic, k->conf->brokers, k->conf->topic,
		    (int)k->conf->partitions, (int)k->conf->replication);
}

/* --- rights --- */

/* Read the position as the sink does: the consumer joins no group. */
static void
check_position(struct kafka *k)
{
	struct sink_error error = {.bad_event = 0};

	k->offsets = rd_kafka_topic_partition_list_new(1);
	(void)rd_kafka_topic_partition_list_add(k->offsets, k->conf->topic, 0);
	if (position_read(k, client_deadline_ms(k), &error) != SINK_DONE)
		finding_print(FINDING_ERROR, "%s", error.text);
	else
		finding_print(FINDING_OK,
		              "group %s can be read; the right to write shows "
		              "only when the sink writes",
		              k->stream->name);
}

void
kafka_check_store(void *state, const struct sink_common *common,
                  const void *conf, const char *stream)
{
	struct kafka *k = state;
	struct sink_error error = {.bad_event = 0};
	enum sink_result result;

	client_init(k, common, conf);
	producer_select(k, stream ? stream : "check");
	result = client_new(k, RD_KAFKA_CONSUMER, &k->rk, &error);
	if (result != SINK_DONE) {
		finding_print(FINDING_ERROR,
		              "%s; correct [sinkd-kafka.rdkafka]", error.text);
		return;
	}
	result = topic_wait_for_broker(k, client_deadline_ms(k), &error);
	if (result != SINK_DONE) {
		finding_print(
		    FINDING_ERROR, "%s: %s",
		    result == SINK_UNREACHABLE
			? "unreachable; start the brokers, or correct "
			  "brokers in [sinkd-kafka]"
			: "refused; correct the user, the password or "
			  "the certificates in [sinkd-kafka.rdkafka]",
		    error.text);
		return;
	}
	finding_print(FINDING_OK, "a broker of %s answers", k->conf->brokers);
	check_find_topic(k);
	if (stream)
		check_position(k);
	if (k->conf->delivery == AT_LEAST_ONCE)
		finding_print(FINDING_OK,
		              "delivery = at_least_once: a failure may store "
		              "events twice");
}
