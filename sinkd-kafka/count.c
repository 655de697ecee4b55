/* count - which events of a log a topic has. */
#include "sinkd-kafka/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/slice.h"
#include "sinkd-kafka/client.h"
#include "sinkd-kafka/error_class.h"
#include "sinkd-kafka/kafka.h"
#include "sinkd-kafka/offset_set.h"
#include "sinkd-kafka/producer.h"
#include "sinkd-kafka/topic.h"
#include "sinkd-kafka/transaction.h"

/*
 * A commit is confirmed before each partition shows it, so the end of a
 * partition is waited for a little longer.
 */
#define SETTLE_MS 1000

/*
 * The first messages of a partition that has lost older ones.  The highest
 * offset among them tells from where on the partition is complete, even if the
 * very first ones are dead letters that were retried later.
 */
#define FIRST_MESSAGES 1000

struct partition {
	bool trimmed; /* Kafka has removed its oldest messages */
	bool ended;
	unsigned seen;  /* the log's messages, up to FIRST_MESSAGES */
	uint64_t first; /* highest offset of these */
};

struct counting {
	struct kafka *k;
	struct sink_count *count;
	struct partition *partitions; /* owned */
	int partition_count, ended;
	struct offset_set offsets;
	uint64_t deadline_ms;
	int failed; /* -errno of the set */
};

static struct slice
header_of(const rd_kafka_headers_t *headers, const char *name)
{
	const void *value = NULL;
	size_t n = 0;

	if (rd_kafka_header_get_last(headers, name, &value, &n) || !value ||
	    n > 64)
		return (struct slice){0};
	return (struct slice){value, (uint32_t)n};
}

/* The offset in the log, or false if the message is not of this log. */
static bool
read_origin(const struct counting *c, const rd_kafka_message_t *m,
            uint64_t *offset)
{
	rd_kafka_headers_t *headers = NULL;
	struct slice stream, text;
	char digits[24];
	char *end;

	if (rd_kafka_message_headers(m, &headers))
		return false;
	stream = header_of(headers, HEADER_STREAM);
	text = header_of(headers, HEADER_OFFSET);
	if (!slice_is(stream, c->count->stream) || text.bytes == 0 ||
	    text.bytes >= sizeof digits)
		return false;
	memcpy(digits, text.data, text.bytes);
	digits[text.bytes] = '\0';
	errno = 0;
	*offset = strtoull(digits, &end, 10);
	return errno == 0 && *end == '\0';
}

static void
count_message(struct counting *c, const rd_kafka_message_t *m)
{
	struct partition *p = &c->partitions[m->partition];
	uint64_t offset;
	bool was_there = false;

	/* Another program may copy the headers, and fill in anything. */
	if (!read_origin(c, m, &offset) ||
	    offset > c->count->upto + (UINT64_C(1) << 32))
		return;
	if (p->seen < FIRST_MESSAGES) {
		p->seen++;
		if (offset > p->first)
			p->first = offset;
	}
	c->count->rows++;
	c->failed = offset_set_add(&c->offsets, offset, &was_there);
	c->count->distinct += !was_there;
}

static void
count_on_message(struct counting *c, const rd_kafka_message_t *m)
{
	struct partition *p;

	if (m->partition < 0 || m->partition >= c->partition_count)
		return;
	p = &c->partitions[m->partition];
	if (!m->err) {
		count_message(c, m);
	} else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		c->ended += !p->ended;
		p->ended = true;
	}
}

/* Find out how many partitions there are, and which have lost messages. */
static enum sink_result
count_look(struct counting *c, struct sink_error *error)
{
	struct kafka *k = c->k;
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_resp_err_t err = rd_kafka_metadata(
	    k->rk, 0, k->topic, &md, client_left_ms(c->deadline_ms));

	if (err)
		return client_error(k, "topic", err, NULL, error);
	c->partition_count = md->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(md);
	c->partitions =
	    calloc((size_t)c->partition_count + 1, sizeof *c->partitions);
	for (int i = 0; c->partitions && i < c->partition_count; i++) {
		int64_t low = 0, high = 0;

		err = rd_kafka_query_watermark_offsets(
		    k->rk, k->conf->topic, i, &low, &high,
		    client_left_ms(c->deadline_ms));
		if (err)
			return client_error(k, "offsets of a partition", err,
			                    NULL, error);
		c->partitions[i].trimmed = low > 0;
	}
	return c->partitions ? SINK_DONE : SINK_UNREACHABLE;
}

static rd_kafka_resp_err_t
count_assign(const struct counting *c)
{
	rd_kafka_topic_partition_list_t *all =
	    rd_kafka_topic_partition_list_new(c->partition_count);
	rd_kafka_resp_err_t err;

	for (int i = 0; i < c->partition_count; i++)
		rd_kafka_topic_partition_list_add(all, c->k->conf->topic, i)
		    ->offset = RD_KAFKA_OFFSET_BEGINNING;
	err = rd_kafka_assign(c->k->rk, all);
	rd_kafka_topic_partition_list_destroy(all);
	return err;
}

/* Read until the end of each partition. */
static enum sink_result
count_read(struct counting *c, struct sink_error *error)
{
	struct kafka *k = c->k;
	rd_kafka_resp_err_t err = count_assign(c);
	uint64_t until_ms = 0;

	if (err)
		return client_error(k, "assign", err, NULL, error);
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		rd_kafka_message_t *m;

		if (c->ended == c->partition_count && until_ms == 0)
			until_ms = now_ms + SETTLE_MS;
		if (until_ms > 0 && now_ms >= until_ms)
			return SINK_DONE;
		/*
		 * What brokers report is in a queue of its own, which functions
		 * of client.c read: rd_kafka_poll_set_consumer would put the
		 * messages into it.
		 */
		(void)rd_kafka_poll(k->rk, 0);
		m = rd_kafka_consumer_poll(k->rk, 100);
		if (m)
			count_on_message(c, m);
		if (m)
			rd_kafka_message_destroy(m);
		if (c->failed < 0)
			return sink_fail(
			    error, SINK_UNREACHABLE,
			    "the topic has too many gaps to count");
		if (kafka_error_class(k->broker.err) == SINK_MISCONFIGURED)
			return client_error(k, "read", k->broker.err, NULL,
			                    error);
		if (client_left_ms(c->deadline_ms) == 0)
			return sink_fail(
			    error, SINK_UNREACHABLE,
			    "the end of the topic was not reached in "
			    "time; give a longer --timeout");
	}
}

/* Put the result together. */
static void
count_finish(const struct counting *c)
{
	struct sink_count *count = c->count;

	for (int i = 0; i < c->partition_count; i++) {
		const struct partition *p = &c->partitions[i];

		if (!p->trimmed)
			continue;
		if (p->seen == 0)
			count->from = count->upto;
		else if (p->first > count->from)
			count->from = p->first;
	}
	if (count->from > count->upto)
		count->from = count->upto;
	count->below = offset_set_count(&c->offsets, count->from, count->upto);
	count->has = COUNT_DISTINCT | COUNT_BELOW;
	if (count->from > 0)
		(void)snprintf(
		    count->note, sizeof count->note,
		    "Kafka has removed old messages of the topic "
		    "(retention): events below offset %llu cannot be "
		    "compared",
		    (unsigned long long)count->from);
}

enum sink_result
kafka_count(void *state, const struct sink_common *common, const void *conf,
            struct sink_count *count, struct sink_error *error)
{
	struct kafka *k = state;
	struct counting c = {.k = k, .count = count};
	enum sink_result result;

	client_init(k, common, conf);
	k->counting = true;
	producer_select(k, count->stream);
	c.deadline_ms = client_deadline_ms(k);
	result = client_new(k, RD_KAFKA_CONSUMER, &k->rk, error);
	if (result == SINK_DONE)
		result = topic_wait_for_broker(k, c.deadline_ms, error);
	if (result == SINK_DONE)
		result = topic_find(k, false, c.deadline_ms, error);
	if (result == SINK_DONE)
		result = count_look(&c, error);
	if (result == SINK_DONE)
		result = count_read(&c, error);
	if (result == SINK_DONE)
		count_finish(&c);
	free(c.partitions);
	offset_set_free(&c.offsets);
	return result;
}
