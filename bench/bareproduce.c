/*
 * bareproduce - measure what librdkafka itself can do, to compare sinkd-kafka
 * with it.
 *
 * It writes the benchmarks' events to a Kafka topic, with --batch-rows in one
 * transaction, or with --plain by an idempotent producer without transactions.
 * It prints messages per second.  Keys, values, headers, timestamps and
 * compression are those of sinkd-kafka.
 *
 * --to lists the brokers.  The topic is created if it does not exist.
 */
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bare.h"

#define TIMEOUT_MS 60000
#define POLL_EVERY 1024
#define PARTITIONS 6

/* The same as in sinkd-kafka. */
#define HEADER_STREAM "leat-stream"
#define HEADER_OFFSET "leat-offset"
#define STREAM "00000000-0000-0000-0000-000000000000"

struct target {
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	bool plain;
	uint64_t number;
	rd_kafka_resp_err_t failed; /* of a message */
};

/*
 * Precedes each message in memory: created_at in ms, and the lengths of the key
 * and the value that follow.
 */
struct head {
	int64_t created_ms;
	uint32_t key_bytes, value_bytes;
};

/* The value is the event's own text with received_at as an additional field. */
static int
bareproduce_put_row(struct buf *b, const struct bare_row *row, void *arg)
{
	static const char name[] = ",\"received_at\":\"";
	size_t value_bytes =
	    row->text_bytes + sizeof name - 1 + CLOCK_TEXT_BYTES + 1;
	struct head h = {row->wall_us / 1000, (uint32_t)row->user_bytes,
	                 (uint32_t)value_bytes};
	int rc = buf_add(b, &h, sizeof h);

	(void)arg;
	if (rc == 0)
		rc = buf_add(b, row->user, row->user_bytes);
	if (rc == 0)
		rc = buf_add(b, row->text, row->text_bytes - 1);
	if (rc == 0)
		rc = buf_add(b, name, sizeof name - 1);
	if (rc == 0)
		rc = buf_add(b, row->created_at, CLOCK_TEXT_BYTES);
	return rc < 0 ? rc : buf_add(b, "\"}", 2);
}

static void
bareproduce_on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message,
                         void *opaque)
{
	struct target *t = opaque;

	(void)rk;
	if (message->err)
		t->failed = message->err;
}

/* Print the error, if there is one, and destroy it.  Returns 0 or -EIO. */
static int
check(rd_kafka_error_t *e)
{
	if (!e)
		return 0;
	fprintf(stderr, "bareproduce: %s\n", rd_kafka_error_string(e));
	rd_kafka_error_destroy(e);
	return -EIO;
}

static int
check_err(rd_kafka_resp_err_t err)
{
	if (!err)
		return 0;
	fprintf(stderr, "bareproduce: %s\n", rd_kafka_err2str(err));
	return -EIO;
}

static int
bareproduce_send_one(struct target *t, const struct head *h, const uint8_t *key)
{
	char offset[24];
	int n = snprintf(offset, sizeof offset, "%" PRIu64, t->number);
	rd_kafka_vu_t v[] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = t->topic},
	    {.vtype = RD_KAFKA_VTYPE_KEY,
	     .u.mem = {h->key_bytes > 0 ? (void *)(uintptr_t)key : NULL,
	               h->key_bytes}},
	    {.vtype = RD_KAFKA_VTYPE_VALUE,
	     .u.mem = {(void *)(uintptr_t)(key + h->key_bytes),
	               h->value_bytes}},
	    {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = h->created_ms},
	    {.vtype = RD_KAFKA_VTYPE_HEADER,
	     .u.header = {HEADER_STREAM, STREAM, sizeof STREAM - 1}},
	    {.vtype = RD_KAFKA_VTYPE_HEADER,
	     .u.header = {HEADER_OFFSET, offset, n}},
	};

	for (;;) {
		rd_kafka_error_t *e =
		    rd_kafka_produceva(t->rk, v, ARRAY_LEN(v));

		if (!e ||
		    rd_kafka_error_code(e) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return check(e);
		rd_kafka_error_destroy(e);
		(void)rd_kafka_poll(t->rk, 100);
	}
}

static int
bareproduce_send_batch(void *arg, const uint8_t *bytes, size_t len)
{
	struct target *t = arg;
	int rc = 0;

	if (!t->plain)
		rc = check(rd_kafka_begin_transaction(t->rk));
	while (rc == 0 && len > 0) {
		struct head h;
		size_t n;

		memcpy(&h, bytes, sizeof h);
		n = sizeof h + h.key_bytes + h.value_bytes;
		rc = bareproduce_send_one(t, &h, bytes + sizeof h);
		bytes += n;
		len -= n;
		if (t->number++ % POLL_EVERY == 0)
			(void)rd_kafka_poll(t->rk, 0);
	}
	if (rc == 0 && !t->plain)
		rc = check(rd_kafka_commit_transaction(t->rk, TIMEOUT_MS));
	return rc;
}

static int
bareproduce_finish(void *arg)
{
	struct target *t = arg;
	int rc = check_err(rd_kafka_flush(t->rk, TIMEOUT_MS));

	return rc < 0 ? rc : check_err(t->failed);
}

/*
 * Check the response for one topic.  That the topic exists already is no error.
 */
static int
check_created(rd_kafka_event_t *event)
{
	const rd_kafka_CreateTopics_result_t *result;
	const rd_kafka_topic_result_t *const *topics;
	rd_kafka_resp_err_t err;
	size_t n;

	if (!event)
		return check_err(RD_KAFKA_RESP_ERR__TIMED_OUT);
	err = rd_kafka_event_error(event);
	result = rd_kafka_event_CreateTopics_result(event);
	if (!err && result) {
		topics = rd_kafka_CreateTopics_result_topics(result, &n);
		if (n == 1)
			err = rd_kafka_topic_result_error(topics[0]);
	}
	rd_kafka_event_destroy(event);
	return err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ? 0
	                                                     : check_err(err);
}

static int
make_topic(struct target *t, const char *name)
{
	char text[300] = "";
	rd_kafka_NewTopic_t *topic =
	    rd_kafka_NewTopic_new(name, PARTITIONS, 1, text, sizeof text);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(t->rk);
	int rc = -EINVAL;

	if (topic) {
		rd_kafka_CreateTopics(t->rk, &topic, 1, NULL, queue);
		rc = check_created(rd_kafka_queue_poll(queue, TIMEOUT_MS));
		rd_kafka_NewTopic_destroy(topic);
	}
	rd_kafka_queue_destroy(queue);
	return rc;
}

static int
bareproduce_open_target(struct target *t, const struct bare_options *o)
{
	/* The properties of sinkd-kafka, except its limit on memory. */
	const char *const pairs[][2] = {
	    {"bootstrap.servers", o->to},
	    {"enable.idempotence", "true"},
	    {"partitioner", "murmur2_random"},
	    {"compression.codec", "lz4"},
	    {"linger.ms", "5"},
	    {"retry.backoff.ms", "10"},
	    {"transactional.id", "bareproduce"},
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[300] = "";
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(pairs) - t->plain && rc == 0; i++) {
		if (rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], text,
		                      sizeof text) != RD_KAFKA_CONF_OK)
			rc = -EINVAL;
	}
	rd_kafka_conf_set_opaque(conf, t);
	rd_kafka_conf_set_dr_msg_cb(conf, bareproduce_on_delivered);
	if (rc == 0)
		t->rk =
		    rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	if (!t->rk) {
		rd_kafka_conf_destroy(conf);
		fprintf(stderr, "bareproduce: %s\n", text);
		return -EINVAL;
	}
	if (make_topic(t, o->table) < 0)
		return -EIO;
	t->topic = rd_kafka_topic_new(t->rk, o->table, NULL);
	if (!t->topic)
		return check_err(rd_kafka_last_error());
	return t->plain ? 0
	                : check(rd_kafka_init_transactions(t->rk, TIMEOUT_MS));
}

static int
bareproduce_run(const struct bare_options *o)
{
	struct bare_form form = {.row = bareproduce_put_row};
	struct target t = {.plain = o->plain};
	struct bare_rows rows = {0};
	int rc = bareproduce_open_target(&t, o);

	if (rc == 0)
		rc = bare_rows_make(&rows, o, &form);
	if (rc == 0)
		rc = bare_run(o, &rows, bareproduce_send_batch,
		              bareproduce_finish, &t);
	if (t.topic)
		rd_kafka_topic_destroy(t.topic);
	if (t.rk)
		rd_kafka_destroy(t.rk);
	bare_rows_free(&rows); /* the messages point into it */
	return rc;
}

int
main(int argc, char **argv)
{
	struct bare_options o;
	int status;

	if (bare_options_read(&o, "bareproduce", argc, argv, &status) < 0)
		return status;
	return bareproduce_run(&o) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
