/*
 * test_kafka - the Kafka sink against librdkafka's mock cluster, which
 * simulates the errors of a broker.  With LEAT_KAFKA_BROKERS set, the tests use
 * those brokers instead.  The case "broker" runs only then, because the mock
 * implements neither fencing nor aborted transactions.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "libbase/clock.h"
#include "libbase/conf.h"
#include "libproto/frame.h"
#include "sinkd-kafka/kafka.h"
#include "sinkd-kafka/offset_set.h"
#include "sinkd-kafka/sink.h"
#include "tests/support/test.h"

#define STREAM "0190a0a0-0000-7000-8000-000000000001"
#define GROUP "leat-kafka-" STREAM
#define EVENTS 20

/* Requests of Kafka's protocol that the mock can be made to fail. */
enum { PRODUCE = 0, FIND_COORDINATOR = 10, OFFSET_FETCH = 9 };
enum { INIT_PRODUCER_ID = 22, ADD_PARTITIONS = 24, ADD_OFFSETS = 25 };
enum { END_TXN = 26, TXN_OFFSET_COMMIT = 28 };

static rd_kafka_t *mock_host;
static rd_kafka_mock_cluster_t *mock;
static char brokers[200], topic[64];
static struct kafka_conf conf;
static struct sink_common common = {.timeout_ms = 5000};
static struct kafka state;
static struct event events[EVENTS];
static char ids[EVENTS][16];
static struct sink_error error;

static void
configure(const char *more, const char *options)
{
	struct conf_table tables[] = {
	    {.section = "sinkd-kafka", .keys = kafka_sink.keys, .into = &conf},
	    {.section = kafka_sink.more[0].section,
	     .on_pair = kafka_sink.more[0].on_pair,
	     .into = &conf},
	};
	struct conf_program program = {
	    .name = "test", .tables = tables, .table_count = ARRAY_LEN(tables)};
	char text[1000], errors[1000];

	conf_free(tables, 1);
	memset(&conf, 0, sizeof conf);
	(void)snprintf(text, sizeof text,
	               "[sinkd-kafka]\nbrokers = %s\ntopic = %s\n%s\n%s\n"
	               "[sinkd-kafka.rdkafka]\n%s\n",
	               brokers, topic,
	               mock ? "" : "create_topic = yes\npartitions = 2\n", more,
	               options);
	ck_assert_msg(
	    conf_parse(&program, "test", text, errors, sizeof errors) == 0,
	    "%s", errors);
}

static void
open_sink(struct kafka *k)
{
	memset(k, 0, sizeof *k);
	ck_assert_int_eq(kafka_sink.open(k, &common, &conf, &error), SINK_DONE);
}

static void
make_events(void)
{
	for (int i = 0; i < EVENTS; i++) {
		(void)snprintf(ids[i], sizeof ids[i], "id-%d", i);
		events[i] = (struct event){
		    .id = slice_of(ids[i]),
		    .type = slice_of("click"),
		    .user_id = slice_of(i % 2 ? "ann" : "bob"),
		    .payload = slice_of("{\"n\": 1.50}"),
		    .created_at_us = INT64_C(1700000000123456) + i,
		    .received_at_us = INT64_C(1700000000999999)};
	}
}

static void
use_mock(void)
{
	char text[200];
	rd_kafka_conf_t *c = rd_kafka_conf_new();

	/* A sink of this configuration cannot connect and reports that. */
	ck_assert_int_eq(
	    rd_kafka_conf_set(c, "log_level", "3", text, sizeof text), 0);
	mock_host = rd_kafka_new(RD_KAFKA_PRODUCER, c, text, sizeof text);
	ck_assert_ptr_nonnull(mock_host);
	mock = rd_kafka_mock_cluster_new(mock_host, 1);
	ck_assert_ptr_nonnull(mock);
	(void)snprintf(brokers, sizeof brokers, "%s",
	               rd_kafka_mock_cluster_bootstraps(mock));
	(void)snprintf(topic, sizeof topic, "events");
	ck_assert_int_eq(rd_kafka_mock_topic_create(mock, topic, 2, 1), 0);
}

/* Use the real brokers that the environment names. */
static void
use_brokers(void)
{
	(void)snprintf(brokers, sizeof brokers, "%s",
	               getenv("LEAT_KAFKA_BROKERS"));
	(void)snprintf(topic, sizeof topic, "test-%d-%" PRIu64, (int)getpid(),
	               clock_mono_ms());
	common.timeout_ms = 20000;
}

static void
setup(void)
{
	if (getenv("LEAT_KAFKA_BROKERS"))
		use_brokers();
	else
		use_mock();
	make_events();
	memset(&error, 0, sizeof error);
	configure("", "");
	open_sink(&state);
}

static void
teardown(void)
{
	struct conf_table table = {
	    .section = "sinkd-kafka", .keys = kafka_sink.keys, .into = &conf};

	kafka_sink.close(&state);
	kafka_sink.close(&state); /* a second call does no harm */
	conf_free(&table, 1);
	if (mock)
		rd_kafka_mock_cluster_destroy(mock);
	mock = NULL;
	if (mock_host)
		rd_kafka_destroy(mock_host);
	mock_host = NULL;
}

static enum sink_result
write_range(struct kafka *k, size_t from, size_t to)
{
	struct batch b = {.stream = STREAM,
	                  .position = from,
	                  .offset = from,
	                  .next_offset = to,
	                  .events = events + from,
	                  .count = to - from};

	memset(&error, 0, sizeof error);
	return kafka_sink.write(k, &b, &error);
}

static void
check_position(struct kafka *k, bool want_found, uint64_t want)
{
	bool found = false;
	uint64_t next = 0;

	ck_assert_int_eq(kafka_sink.position(k, STREAM, &found, &next, &error),
	                 SINK_DONE);
	ck_assert_int_eq(found, want_found);
	ck_assert_uint_eq(next, want);
}

/* What the runtime does after a failure. */
static void
reopen(struct kafka *k)
{
	kafka_sink.close(k);
	ck_assert_int_eq(kafka_sink.open(k, &common, &conf, &error), SINK_DONE);
}

/* The mock accepts the offsets of a transaction and discards them. */
static void
check_kept(uint64_t want)
{
	check_position(&state, true, want);
	reopen(&state);
	if (!mock)
		check_position(&state, true, want);
}

/* A consumer of all messages, in `partitions` partitions. */
static rd_kafka_t *
consumer(int partitions)
{
	rd_kafka_conf_t *c = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *all =
	    rd_kafka_topic_partition_list_new(partitions);
	const char *const set[][2] = {{"bootstrap.servers", brokers},
	                              {"group.id", "reader"},
	                              {"enable.partition.eof", "true"},
	                              {"isolation.level", "read_committed"},
	                              {"auto.offset.reset", "earliest"}};
	char text[200];
	rd_kafka_t *rk;

	for (size_t i = 0; i < ARRAY_LEN(set); i++)
		ck_assert_int_eq(rd_kafka_conf_set(c, set[i][0], set[i][1],
		                                   text, sizeof text),
		                 RD_KAFKA_CONF_OK);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, c, text, sizeof text);
	ck_assert_ptr_nonnull(rk);
	for (int p = 0; p < partitions; p++)
		rd_kafka_topic_partition_list_add(all, topic, p)->offset =
		    RD_KAFKA_OFFSET_BEGINNING;
	ck_assert_int_eq(rd_kafka_assign(rk, all), 0);
	rd_kafka_topic_partition_list_destroy(all);
	return rk;
}

/* Give each message to on_message.  Returns the number of messages. */
static int
read_all(int partitions, void (*on_message)(rd_kafka_message_t *))
{
	rd_kafka_t *rk = consumer(partitions);
	uint64_t until = clock_mono_ms() + 20000;
	int ends = 0, n = 0;

	while (ends < partitions) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 1000);

		ck_assert_uint_lt(clock_mono_ms(), until);
		if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			ends++;
		} else if (m && !m->err) {
			if (on_message)
				on_message(m);
			n++;
		}
		if (m)
			rd_kafka_message_destroy(m);
	}
	ck_assert_int_eq(rd_kafka_consumer_close(rk), 0);
	rd_kafka_destroy(rk);
	return n;
}

static int seen[EVENTS];

static void
check_message(rd_kafka_message_t *m)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t bytes;
	char want[400], when[28];
	uint64_t i;

	ck_assert_int_eq(rd_kafka_message_headers(m, &headers), 0);
	ck_assert_int_eq(
	    rd_kafka_header_get_last(headers, "leat-stream", &value, &bytes),
	    0);
	ck_assert_uint_eq(bytes, strlen(STREAM));
	ck_assert_mem_eq(value, STREAM, bytes);
	ck_assert_int_eq(
	    rd_kafka_header_get_last(headers, "leat-offset", &value, &bytes),
	    0);
	i = strtoull(value, NULL, 10); /* librdkafka adds a NUL */
	ck_assert_uint_lt(i, EVENTS);
	seen[i]++;
	clock_format_us(events[i].created_at_us, when);
	(void)snprintf(
	    want, sizeof want,
	    "{\"id\":\"id-%d\",\"type\":\"click\",\"user_id\":\"%s\","
	    "\"payload\":{\"n\": 1.50},\"created_at\":\"%s\","
	    "\"received_at\":\"2023-11-14T22:13:20.999999Z\"}",
	    (int)i, i % 2 ? "ann" : "bob", when);
	ck_assert_uint_eq(m->len, strlen(want));
	ck_assert_mem_eq(m->payload, want, m->len);
	ck_assert_uint_eq(m->key_len, 3);
	ck_assert_mem_eq(m->key, events[i].user_id.data, 3);
	ck_assert_int_eq(rd_kafka_message_timestamp(m, NULL), 1700000000123);
}

TEST_CASE(mock, .setup = setup, .teardown = teardown);

TEST(stores_events_with_their_position)
{
	check_position(&state, false, 0);
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	ck_assert_int_eq(write_range(&state, 5, EVENTS), SINK_DONE);
	check_kept(EVENTS);
	memset(seen, 0, sizeof seen);
	ck_assert_int_eq(read_all(2, check_message), EVENTS);
	for (int i = 0; i < EVENTS; i++)
		ck_assert_int_eq(seen[i], 1);
}

/* The headers name the event's origin, even if it was dead-lettered before. */
TEST(a_retried_dead_letter_keeps_its_headers)
{
	struct origin origins[EVENTS];
	struct batch b = {.stream = "dead-0123456789abcdef",
	                  .position = 0,
	                  .offset = 0,
	                  .next_offset = EVENTS,
	                  .events = events,
	                  .count = EVENTS,
	                  .origins = origins};

	for (int i = 0; i < EVENTS; i++) {
		/* Offsets differ from line numbers. */
		origins[i] = (struct origin){slice_of(STREAM), EVENTS - 1 - i};
	}
	for (int i = 0; i < EVENTS / 2; i++) {
		struct event e = events[i];

		events[i] = events[EVENTS - 1 - i];
		events[EVENTS - 1 - i] = e;
	}
	ck_assert_int_eq(kafka_sink.write(&state, &b, &error), SINK_DONE);
	make_events();
	memset(seen, 0, sizeof seen);
	ck_assert_int_eq(read_all(2, check_message), EVENTS);
	for (int i = 0; i < EVENTS; i++)
		ck_assert_int_eq(seen[i], 1);
}

TEST(moves_the_position_without_events)
{
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	struct batch b = {
	    .stream = STREAM, .position = 5, .offset = 9, .next_offset = 9};
	ck_assert_int_eq(kafka_sink.write(&state, &b, &error), SINK_DONE);
	check_kept(9);
}

TEST(refuses_a_position_that_is_not_its_own)
{
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	ck_assert_int_eq(write_range(&state, 6, 8), SINK_FENCED);
	ck_assert_int_eq(write_range(&state, 5, 8), SINK_DONE);
}

/* A retry of dead letters, whose batches come between those of the log. */
TEST(writes_two_streams_in_turn_with_one_producer)
{
	struct batch b = {.stream = "dead-1", .events = events, .count = 1};
	bool found = false;
	uint64_t next = 0;
	rd_kafka_t *before;

	ck_assert_int_eq(write_range(&state, 0, 3), SINK_DONE);
	before = state.rk;
	ck_assert_int_eq(
	    kafka_sink.position(&state, "dead-1", &found, &next, &error),
	    SINK_DONE);
	ck_assert(!found);
	for (size_t i = 3; i < EVENTS; i++) {
		b.position = b.offset = b.next_offset;
		b.next_offset++;
		ck_assert_int_eq(kafka_sink.write(&state, &b, &error),
		                 SINK_DONE);
		ck_assert_int_eq(write_range(&state, i, i + 1), SINK_DONE);
		/* Each has its own position. */
		ck_assert_int_eq(kafka_sink.write(&state, &b, &error),
		                 SINK_FENCED);
	}
	ck_assert_ptr_eq(state.rk, before);
	check_position(&state, true, EVENTS);
	ck_assert_int_eq(
	    kafka_sink.position(&state, "dead-1", &found, &next, &error),
	    SINK_DONE);
	ck_assert(found);
	ck_assert_uint_eq(next, b.next_offset);
	/* The next retry takes the room of the one before. */
	ck_assert_int_eq(
	    kafka_sink.position(&state, "dead-2", &found, &next, &error),
	    SINK_DONE);
	check_position(&state, true, EVENTS);
	ck_assert_ptr_eq(state.rk, before);
}

/* Errors after which librdkafka requires the call to be repeated. */
TEST(repeats_what_is_retriable)
{
	check_position(&state, false, 0);
	rd_kafka_mock_push_request_errors(
	    mock, END_TXN, 2, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
	    RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
	rd_kafka_mock_push_request_errors(
	    mock, PRODUCE, 2, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
	    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
	rd_kafka_mock_push_request_errors(
	    mock, TXN_OFFSET_COMMIT, 1,
	    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
	ck_assert_int_eq(write_range(&state, 0, EVENTS), SINK_DONE);
	check_kept(EVENTS);
}

TEST(waits_for_a_coordinator_at_the_start)
{
	rd_kafka_mock_push_request_errors(
	    mock, INIT_PRODUCER_ID, 1,
	    RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
	rd_kafka_mock_push_request_errors(
	    mock, OFFSET_FETCH, 3, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
	    RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
	    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
	check_position(&state, false, 0);
}

/*
 * One request fails.  Check the result, and that the sink continues from its
 * position after the runtime has closed and opened it.
 */
static const struct {
	int16_t request;
	rd_kafka_resp_err_t err;
	enum sink_result want;
} faults[] = {
    /* The transaction has to be aborted. */
    {TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
     SINK_MISCONFIGURED},
    {TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, SINK_UNREACHABLE},
    {ADD_OFFSETS, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
     SINK_MISCONFIGURED},
    {ADD_PARTITIONS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
     SINK_MISCONFIGURED},
    {PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SINK_MISCONFIGURED},
    {PRODUCE, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, SINK_UNREACHABLE},
    /* An event is refused. */
    {PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SINK_REJECT},
    {PRODUCE, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, SINK_REJECT},
    {PRODUCE, RD_KAFKA_RESP_ERR_INVALID_RECORD, SINK_REJECT},
    /* The producer cannot be used any more. */
    {END_TXN, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
     SINK_MISCONFIGURED},
    {ADD_PARTITIONS, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
     SINK_MISCONFIGURED},
    {END_TXN, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_UNREACHABLE},
    {END_TXN, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, SINK_UNREACHABLE},
    {PRODUCE, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_UNREACHABLE},
    {ADD_PARTITIONS, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, SINK_UNREACHABLE},
    {END_TXN, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, SINK_UNREACHABLE},
};

TEST_LOOP(tells_faults_apart_and_goes_on, ARRAY_LEN(faults))
{
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	rd_kafka_mock_push_request_errors(mock, faults[_i].request, 1,
	                                  faults[_i].err);
	ck_assert_int_eq(write_range(&state, 5, 10), faults[_i].want);
	ck_assert_uint_gt(strlen(error.text), 0);
	ck_assert_ptr_null(strstr(error.text, "click")); /* no event content */
	if (faults[_i].want != SINK_REJECT)
		reopen(&state);
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_DONE);
	check_position(&state, true, 10);
}

TEST(names_the_event_that_is_too_large)
{
	static char big[3000];
	rd_kafka_t *before;

	memset(big, ' ', sizeof big);
	big[0] = '{';
	big[sizeof big - 1] = '}';
	configure("", "message.max.bytes = 2000\n");
	events[3].payload = (struct slice){big, sizeof big};
	ck_assert_int_eq(write_range(&state, 0, EVENTS), SINK_REJECT);
	ck_assert_uint_eq(error.bad_event, 4);
	/* No new producer is needed. */
	before = state.rk;
	ck_assert_int_eq(write_range(&state, 0, 3), SINK_DONE);
	ck_assert_int_eq(write_range(&state, 3, 4), SINK_REJECT);
	ck_assert_uint_eq(error.bad_event, 1);
	ck_assert_ptr_nonnull(before);
	ck_assert_ptr_eq(state.rk, before);
	struct batch rest = {.stream = STREAM,
	                     .position = 3,
	                     .offset = 4,
	                     .next_offset = EVENTS,
	                     .events = events + 4,
	                     .count = EVENTS - 4};
	ck_assert_int_eq(kafka_sink.write(&state, &rest, &error), SINK_DONE);
	check_kept(EVENTS);
}

TEST(names_no_event_when_a_broker_refuses_them_together)
{
	configure("", "linger.ms = 200\n");
	for (int i = 0; i < EVENTS; i++)
		events[i].user_id = slice_of("ann");
	check_position(&state, false, 0);
	rd_kafka_mock_push_request_errors(mock, PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
	ck_assert_int_eq(write_range(&state, 0, EVENTS), SINK_REJECT);
	ck_assert_uint_eq(error.bad_event, 0);
	rd_kafka_mock_push_request_errors(mock, PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
	ck_assert_int_eq(write_range(&state, 0, 1), SINK_REJECT);
	ck_assert_uint_eq(error.bad_event, 1);
}

TEST(blames_no_event_for_having_no_key)
{
	static const char *const ways[] = {"key = none\n",
	                                   "key = none\ndelivery = "
	                                   "at_least_once\n"};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		configure(ways[i], "");
		reopen(&state);
		check_position(&state, false, 0);
		rd_kafka_mock_push_request_errors(
		    mock, PRODUCE, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
		ck_assert_int_eq(write_range(&state, 0, 1), SINK_MISCONFIGURED);
		ck_assert_ptr_nonnull(strstr(error.text, "requires keys"));
		ck_assert_uint_eq(error.bad_event, 0);
	}
}

TEST(is_unreachable_while_no_broker_responds)
{
	uint64_t before;

	common.timeout_ms = 1500;
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	ck_assert_int_eq(rd_kafka_mock_broker_set_down(mock, 1), 0);
	before = clock_mono_ms();
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_UNREACHABLE);
	ck_assert_uint_lt(clock_mono_ms() - before,
	                  2 * (uint64_t)common.timeout_ms + 1000);
	reopen(&state);
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_UNREACHABLE);
	ck_assert_int_eq(rd_kafka_mock_broker_set_up(mock, 1), 0);
	common.timeout_ms = 5000;
	reopen(&state);
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_DONE);
	check_position(&state, true, 10);
}

/* librdkafka alone would repeat the request for ever. */
TEST(is_unreachable_while_the_coordinator_does_not_respond)
{
	const int never_ms = 60000;
	uint64_t before;

	common.timeout_ms = 1500;
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(rd_kafka_mock_broker_push_request_error_rtts(
				     mock, 1, END_TXN, 1,
				     RD_KAFKA_RESP_ERR_NO_ERROR, never_ms),
		                 RD_KAFKA_RESP_ERR_NO_ERROR);
	before = clock_mono_ms();
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_UNREACHABLE);
	ck_assert(error.too_much);
	reopen(&state);
	ck_assert_uint_lt(clock_mono_ms() - before,
	                  2 * (uint64_t)common.timeout_ms + 1000);
	common.timeout_ms = 5000;
}

TEST(reports_at_once_that_nothing_listens)
{
	uint64_t before = clock_mono_ms();

	(void)snprintf(brokers, sizeof brokers, "127.0.0.1:1,127.0.0.1:2");
	configure("", "");
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_UNREACHABLE);
	ck_assert_uint_lt(clock_mono_ms() - before,
	                  (uint64_t)common.timeout_ms / 2);
	ck_assert_ptr_nonnull(strstr(error.text, "refused"));
}

TEST(reports_that_a_topic_does_not_exist)
{
	rd_kafka_mock_topic_set_error(mock, "nothing",
	                              RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	(void)snprintf(topic, sizeof topic, "nothing");
	configure("", "");
	ck_assert_int_eq(write_range(&state, 0, 5), SINK_MISCONFIGURED);
	ck_assert_ptr_nonnull(strstr(error.text, "create_topic"));
}

TEST(delivers_at_least_once_and_then_moves_the_position)
{
	configure("delivery = at_least_once\nkey = none\n", "");
	check_position(&state, false, 0);
	ck_assert_int_eq(write_range(&state, 0, 10), SINK_DONE);
	ck_assert_int_eq(write_range(&state, 10, EVENTS), SINK_DONE);
	reopen(&state);
	check_position(&state, true, EVENTS);
	ck_assert_int_eq(read_all(2, NULL), EVENTS);
	/* The other delivery continues from that position. */
	configure("", "");
	reopen(&state);
	check_position(&state, true, EVENTS);
}

TEST(names_the_event_without_transactions_too)
{
	configure("delivery = at_least_once\n", "");
	rd_kafka_mock_push_request_errors(mock, PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	ck_assert_int_eq(write_range(&state, 0, 1), SINK_REJECT);
	ck_assert_uint_eq(error.bad_event, 1);
	ck_assert_int_eq(write_range(&state, 0, 1), SINK_DONE);
}

static void
check_msgpack(rd_kafka_message_t *m)
{
	struct wire_reader r = {m->payload,
	                        (const uint8_t *)m->payload + m->len};
	struct slice key, id;

	ck_assert_uint_eq(*r.at++, 0x86); /* a map with six keys */
	ck_assert_int_eq(wire_str(&r, &key), 0);
	ck_assert_mem_eq(key.data, "id", 2);
	ck_assert_int_eq(wire_str(&r, &id), 0);
	ck_assert_uint_eq(m->key_len, id.bytes);
	ck_assert_mem_eq(m->key, id.data, id.bytes);
}

TEST(writes_msgpack_too)
{
	configure("format = msgpack\nkey = id\n", "");
	events[0].user_id = (struct slice){0};
	ck_assert_int_eq(write_range(&state, 0, EVENTS), SINK_DONE);
	ck_assert_int_eq(read_all(2, check_msgpack), EVENTS);
}

/*
 * murmur2 of "ann" and "bob" over 2 partitions, as a Java client computes it.
 */
static int32_t partition_of[2];

static void
note_partition(rd_kafka_message_t *m)
{
	partition_of[((const char *)m->key)[0] == 'a' ? 0 : 1] = m->partition;
}

/* Kafka's Utils.murmur2, which every client implements. */
static uint32_t
murmur2(const char *text)
{
	const uint32_t m = 0x5bd1e995;
	size_t n = strlen(text), i = 0;
	uint32_t h = UINT32_C(0x9747b28c) ^ (uint32_t)n;

	for (; i + 4 <= n; i += 4) {
		uint32_t k;

		/* little-endian, as this test assumes */
		memcpy(&k, text + i, 4);
		k *= m;
		k ^= k >> 24;
		k *= m;
		h *= m;
		h ^= k;
	}
	if (n % 4 == 3)
		h ^= (uint32_t)(uint8_t)text[i + 2] << 16;
	if (n % 4 >= 2)
		h ^= (uint32_t)(uint8_t)text[i + 1] << 8;
	if (n % 4 >= 1) {
		h ^= (uint8_t)text[i];
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	return h ^ h >> 15;
}

TEST(puts_a_key_where_java_clients_look_for_it)
{
	ck_assert_int_eq(write_range(&state, 0, EVENTS), SINK_DONE);
	ck_assert_int_eq(read_all(2, note_partition), EVENTS);
	ck_assert_int_eq(partition_of[0],
	                 (int)((murmur2("ann") & 0x7fffffff) % 2));
	ck_assert_int_eq(partition_of[1],
	                 (int)((murmur2("bob") & 0x7fffffff) % 2));
}

TEST(refuses_options_that_break_the_guarantee)
{
	static const char *const names[] = {"acks",
	                                    "enable.idempotence",
	                                    "transactional.id",
	                                    "sasl.password",
	                                    "message.timeout.ms",
	                                    "bootstrap.servers",
	                                    "retries",
	                                    "no.such.property",
	                                    "statistics.interval.ms",
	                                    "group.id",
	                                    "isolation.level",
	                                    "enable.auto.commit",
	                                    "plugin.library.paths"};
	struct options o = {0};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_ptr_nonnull(options_add(&o, names[i], "1"));
	ck_assert_ptr_nonnull(options_add(&o, "max.in.flight", "6"));
	ck_assert_ptr_nonnull(options_add(&o, "linger.ms", "soon"));
	ck_assert_uint_eq(o.used, 0);
	ck_assert_ptr_null(options_add(&o, "max.in.flight", "5"));
	ck_assert_ptr_null(options_add(&o, "compression.codec", "none"));
}

TEST(an_offset_set_counts_what_is_there_once)
{
	struct offset_set set = {.count = 0};
	bool there;

	/* Two chunks and a part of a third, in an odd order, but for one. */
	for (uint64_t i = 0; i < 2 * OFFSET_CHUNK + 100; i++) {
		uint64_t offset = i ^ 1;

		if (offset == 70000)
			continue;
		ck_assert_int_eq(offset_set_add(&set, offset, &there), 0);
		ck_assert(!there);
	}
	ck_assert_int_eq(offset_set_add(&set, 5, &there), 0);
	ck_assert(there);
	ck_assert_int_eq(offset_set_add(&set, 70001, &there), 0);
	ck_assert(there);
	ck_assert_uint_eq(set.partial, 2); /* the first one is full */
	ck_assert_uint_eq(offset_set_count(&set, 0, 70001), 70000);
	ck_assert_uint_eq(offset_set_count(&set, 70000, 70001), 0);
	ck_assert_uint_eq(offset_set_count(&set, 100, UINT64_C(1) << 40),
	                  2 * OFFSET_CHUNK - 1);
	ck_assert_uint_eq(offset_set_count(&set, 9, 9), 0);
	/* What a foreign header may contain takes no memory. */
	ck_assert_int_eq(offset_set_add(&set, UINT64_MAX, &there), -EOVERFLOW);
	offset_set_free(&set);
}

TEST_CASE(broker, .setup = setup, .teardown = teardown,
          .only_with = "LEAT_KAFKA_BROKERS");

TEST(a_stale_twin_is_fenced_and_never_doubles)
{
	static struct kafka twin;

	ck_assert_int_eq(write_range(&state, 0, 5), SINK_DONE);
	open_sink(&twin);
	check_position(&twin, true, 5);
	/* The older producer is fenced, and nothing that it sent is stored. */
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_UNREACHABLE);
	ck_assert_int_eq(write_range(&twin, 5, 12), SINK_DONE);
	/* When it is opened again, it finds that another writer was there. */
	reopen(&state);
	ck_assert_int_eq(write_range(&state, 5, 10), SINK_FENCED);
	/* That fenced the twin once; the twin continues from its position. */
	ck_assert_int_eq(write_range(&twin, 12, 15), SINK_UNREACHABLE);
	reopen(&twin);
	ck_assert_int_eq(write_range(&twin, 12, EVENTS), SINK_DONE);
	kafka_sink.close(&twin);
	memset(seen, 0, sizeof seen);
	ck_assert_int_eq(read_all(2, check_message), EVENTS);
	for (int i = 0; i < EVENTS; i++)
		ck_assert_int_eq(seen[i], 1);
}
