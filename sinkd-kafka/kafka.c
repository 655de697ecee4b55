/* kafka - see kafka.h. */
#include "sinkd-kafka/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "libbase/clock.h"
#include "libbase/secret.h"
#include "sinkd-kafka/message.h"
#include "sinkd-kafka/producer.h"
#include "sinkd-kafka/transaction.h"

#define SECTION "sinkd-kafka.rdkafka"

static const char *const key_names[] = {"user_id", "id", "none", NULL};
static const char *const format_names[] = {"json", "msgpack", NULL};
static const char *const delivery_names[] = {"exactly_once", "at_least_once",
                                             NULL};

#define FIELD(field)                                                           \
	.name = #field, .offset = offsetof(struct kafka_conf, field)

static const struct conf_key keys[] = {
    {FIELD(brokers), .type = CONF_TEXT, .initial = "127.0.0.1:9092", .min = 1,
     .max = 2000,
     .help = "Brokers to start from: host:port, separated by commas."},
    {FIELD(topic), .type = CONF_TEXT, .initial = "events", .min = 1, .max = 249,
     .help = "The topic that the events go to."},
    {FIELD(key), .type = CONF_CHOICE, .initial = "user_id",
     .choices = key_names,
     .help = "Key of a message: events of one key keep their order."},
    {FIELD(format), .type = CONF_CHOICE, .initial = "json",
     .choices = format_names, .help = "How a message's value is written."},
    {FIELD(delivery), .type = CONF_CHOICE, .initial = "exactly_once",
     .choices = delivery_names,
     .help = "exactly_once: a transaction for each batch; at_least_once: "
             "none, lower latency."},
    {FIELD(create_topic), .type = CONF_BOOL, .initial = "no",
     .help = "Create the topic when it does not exist."},
    {FIELD(partitions), .type = CONF_INT, .initial = "6", .min = 1,
     .max = 10000, .help = "Partitions of a topic created here."},
    {FIELD(replication), .type = CONF_INT, .initial = "1", .min = 1, .max = 100,
     .help = "Copies of each partition of a topic created here."},
    {FIELD(password_file), .type = CONF_TEXT, .initial = "", .min = 0,
     .max = 1000,
     .help = "File with the SASL password; without one, the environment's "
             "LEAT_KAFKA_PASSWORD."},
    {0},
};

static const char *
on_option(void *into, const char *name, const char *value)
{
	struct kafka_conf *conf = into;

	return options_add(&conf->options, name, value);
}

static const struct conf_table more[] = {
    {.section = SECTION, .on_pair = on_option, .whole_values = true},
};

/* Whether a property has this value; librdkafka ignores the case. */
static bool
has_option(const struct kafka_conf *c, const char *name, const char *value)
{
	const char *given = options_value(&c->options, name);

	return given && strcasecmp(given, value) == 0;
}

static int
kafka_check(const void *conf)
{
	static const char *const files[] = {
	    "ssl.key.location", "ssl.keystore.location", "sasl.kerberos.keytab",
	    "sasl.oauthbearer.assertion.file",
	    "sasl.oauthbearer.assertion.private.key.file"};
	const struct kafka_conf *c = conf;
	const char *url =
	    options_value(&c->options, "sasl.oauthbearer.token.endpoint.url");

	secret_check_file("sinkd-kafka", "password_file", c->password_file);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		secret_check_file(SECTION, files[i],
		                  options_value(&c->options, files[i]));
	if (has_option(c, "security.protocol", "sasl_plaintext") &&
	    !secret_stays_here(c->brokers))
		log_warn("the password is sent over a connection that is not "
		         "encrypted; set security.protocol = sasl_ssl "
		         "section=" SECTION);
	if (url && strncasecmp(url, "https://", 8) != 0)
		log_warn("the client's secret is sent over a connection that "
		         "is not encrypted; use https:// section=" SECTION
		         " key=sasl.oauthbearer.token.endpoint.url");
	if (has_option(c, "enable.ssl.certificate.verification", "false") ||
	    has_option(c, "enable.ssl.certificate.verification", "f") ||
	    has_option(c, "enable.ssl.certificate.verification", "0"))
		log_warn("the broker's certificate is not checked: another "
		         "could pose as it section=" SECTION
		         " key=enable.ssl.certificate.verification");
	if (has_option(c, "ssl.endpoint.identification.algorithm", "none"))
		log_warn(
		    "the broker's host name is not checked: any owner of a "
		    "certificate could pose as it section=" SECTION
		    " key=ssl.endpoint.identification.algorithm");
	return 0;
}

static enum sink_result
kafka_open(void *state, const struct sink_common *common, const void *conf,
           struct sink_error *error)
{
	struct kafka *k = state;

	(void)error;
	k->common = common;
	k->conf = conf;
	k->log_limit.interval_ms = 60000;
	k->log_limit.burst = 5;
	buf_init(&k->value, MESSAGE_MAX);
	if (!k->log_ready)
		(void)pthread_mutex_init(&k->log_lock, NULL);
	k->log_ready = true;
	return SINK_DONE;
}

static uint64_t
deadline(const struct kafka *k)
{
	return clock_mono_ms() + (uint64_t)k->common->timeout_ms;
}

static enum sink_result
kafka_position(void *state, const char *stream, bool *found,
               uint64_t *next_offset, struct sink_error *error)
{
	struct kafka *k = state;
	enum sink_result result = producer_ready(k, stream, deadline(k), error);

	if (result == SINK_DONE && k->found) {
		*found = true;
		*next_offset = k->position;
	}
	return result;
}

static enum sink_result
kafka_write(void *state, const struct batch *batch, struct sink_error *error)
{
	struct kafka *k = state;
	/* One for both: a new producer takes from the batch's time. */
	uint64_t until = deadline(k);
	enum sink_result result =
	    producer_ready(k, batch->stream, until, error);

	if (result != SINK_DONE)
		return result;
	/* I9: the position moves only from the value that the sink knows. */
	if (k->found && k->position != batch->position) {
		(void)snprintf(error->text, sizeof error->text,
		               "group %s has position %" PRIu64
		               " instead of %" PRIu64,
		               k->name, k->position, batch->position);
		return SINK_FENCED;
	}
	if (k->conf->delivery == AT_LEAST_ONCE)
		return transaction_none(k, batch, until, error);
	return transaction_write(k, batch, until, error);
}

static void
kafka_close(void *state)
{
	struct kafka *k = state;

	producer_close(k); /* ends librdkafka's threads, which log */
	buf_fini(&k->value);
	if (k->log_ready)
		(void)pthread_mutex_destroy(&k->log_lock);
	k->log_ready = false;
}

const struct sink kafka_sink = {
    .name = "kafka",
    .summary = "carries events from batchd to a Kafka topic",
    .keys = keys,
    .more = more,
    .more_count = ARRAY_LEN(more),
    .conf_bytes = sizeof(struct kafka_conf),
    .state_bytes = sizeof(struct kafka),
    .batch_events = "50000",
    .batch_wait_ms = "10",
    .position_fences = true,
    .check = kafka_check,
    .open = kafka_open,
    .position = kafka_position,
    .write = kafka_write,
    .close = kafka_close,
};
