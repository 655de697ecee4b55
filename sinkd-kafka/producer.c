/* producer - see producer.h. */
#include "sinkd-kafka/producer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libbase/clock.h"
#include "sinkd-kafka/admin.h"
#include "sinkd-kafka/fault.h"
#include "sinkd-kafka/message.h"

/* What librdkafka may hold of a batch that is on its way, by default. */
#define QUEUE_KIB "16384"

int
producer_left_ms(uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();

	return now < deadline_ms ? (int)(deadline_ms - now) : 0;
}

static void
keep_fault(struct kafka_fault *fault, rd_kafka_resp_err_t err, size_t event,
           const char *text)
{
	fault->err = err;
	fault->event = event;
	(void)snprintf(fault->text, sizeof fault->text, "%s", text);
}

/* In the thread that polls, as on_delivered. */
static void
on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	struct kafka *k = opaque;

	(void)rk;
	/* "All brokers are down" hides why, which came before it. */
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && k->broker.err)
		return;
	/* A refused password is followed by mere disconnections. */
	if (fault_class(k->broker.err) == SINK_SETUP)
		return;
	keep_fault(&k->broker, (rd_kafka_resp_err_t)err, 0, reason);
}

static void
on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	struct kafka *k = opaque;
	rd_kafka_resp_err_t err = message->err;

	(void)rk;
	/* Purged: another message's failure ended the transaction. */
	if (!err || err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
	    err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		return;
	if (k->failed.err && fault_class(err) != SINK_REJECT)
		return;
	if (fault_class(k->failed.err) == SINK_REJECT && k->failed.err)
		return;
	/* rd_kafka_message_errstr would give a producer the event's text. */
	keep_fault(&k->failed, err, (size_t)(uintptr_t)message->_private,
	           rd_kafka_err2str(err));
}

/* In any of librdkafka's threads. */
static void
on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
	struct kafka *k = rd_kafka_opaque(rk);
	enum log_level to = level <= 4 ? LOG_WARN : LOG_INFO;
	unsigned suppressed = 0;
	bool allowed;

	if (level >= 7)
		to = LOG_DEBUG;
	(void)pthread_mutex_lock(&k->log_lock);
	allowed = log_allow(&k->log_limit, &suppressed);
	(void)pthread_mutex_unlock(&k->log_lock);
	if (allowed)
		log_write(to, "librdkafka fac=%s text=%s not_logged=%u", fac,
		          log_quote(text), suppressed);
}

/* Returns 0, or -EINVAL with librdkafka's words in text. */
static int
set(rd_kafka_conf_t *rc, const char *name, const char *value, char *text,
    size_t text_bytes)
{
	if (rd_kafka_conf_set(rc, name, value, text, text_bytes) ==
	    RD_KAFKA_CONF_OK)
		return 0;
	return -EINVAL;
}

/* A file is read each time, so that it can be changed under a running sink. */
static int
set_password(struct kafka *k, rd_kafka_conf_t *rc, char *text,
             size_t text_bytes)
{
	const char *path = k->conf->password_file;

	if (path[0] || !k->password_read) {
		int n = conf_secret(path, "LEAT_KAFKA_PASSWORD", k->password,
		                    sizeof k->password);

		if (n < 0) {
			(void)snprintf(text, text_bytes, "password_file %s: %s",
			               path, strerror(-n));
			return n;
		}
		if (n == 0)
			k->password[0] = '\0';
		k->password_read = true;
	}
	if (!k->password[0])
		return 0;
	return set(rc, "sasl.password", k->password, text, text_bytes);
}

static int
set_all(struct kafka *k, rd_kafka_conf_t *rc, char *text, size_t text_bytes)
{
	bool once = k->conf->delivery == EXACTLY_ONCE;
	char timeout[24];
	/* The section of free pairs may change these ... */
	const char *const defaults[][2] = {
	    {"client.id", "leat"},
	    {"partitioner", "murmur2_random"},
	    {"compression.codec", "lz4"},
	    {"linger.ms", "1"},
	    {"queue.buffering.max.kbytes", QUEUE_KIB},
	    {"log.connection.close", "false"},
	};
	/* ... and not these: options.c refuses them. */
	const char *const fixed[][2] = {
	    {"bootstrap.servers", k->conf->brokers},
	    {"enable.idempotence", "true"},
	    {once ? "transaction.timeout.ms" : "message.timeout.ms", timeout},
	    {"transactional.id", k->name},
	};
	size_t n = ARRAY_LEN(fixed) - (once ? 0 : 1);
	int err = 0;

	(void)snprintf(timeout, sizeof timeout, "%" PRId64,
	               k->common->timeout_ms);
	for (size_t i = 0; err == 0 && i < ARRAY_LEN(defaults); i++)
		err = set(rc, defaults[i][0], defaults[i][1], text, text_bytes);
	if (err == 0)
		err = options_apply(&k->conf->options, rc, text, text_bytes);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = set(rc, fixed[i][0], fixed[i][1], text, text_bytes);
	return err == 0 ? set_password(k, rc, text, text_bytes) : err;
}

static enum sink_result
create(struct kafka *k, struct sink_error *error)
{
	rd_kafka_conf_t *rc = rd_kafka_conf_new();
	char text[256] = "";
	int err;

	rd_kafka_conf_set_opaque(rc, k);
	rd_kafka_conf_set_error_cb(rc, on_error);
	rd_kafka_conf_set_dr_msg_cb(rc, on_delivered);
	rd_kafka_conf_set_log_cb(rc, on_log);
	err = set_all(k, rc, text, sizeof text);
	if (err == 0)
		k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, text, sizeof text);
	if (!k->rk) {
		rd_kafka_conf_destroy(rc);
		/* Settings that do not go together, or an unreadable file. */
		return fault_report(error, "cannot make a producer",
		                    RD_KAFKA_RESP_ERR__INVALID_ARG, text);
	}
	k->offsets = rd_kafka_topic_partition_list_new(1);
	(void)rd_kafka_topic_partition_list_add(k->offsets, k->conf->topic, 0);
	k->group = rd_kafka_consumer_group_metadata_new(k->name);
	return SINK_DONE;
}

/* Ends the transaction of any earlier producer of this name, and fences it. */
static enum sink_result
init_transactions(struct kafka *k, uint64_t deadline_ms,
                  struct sink_error *error)
{
	for (;;) {
		int left = producer_left_ms(deadline_ms);
		rd_kafka_error_t *e = rd_kafka_init_transactions(k->rk, left);
		enum sink_result result;

		if (!e)
			return SINK_DONE;
		if (rd_kafka_error_is_retriable(e) && left > 0) {
			rd_kafka_error_destroy(e);
			/* Returns as soon as librdkafka has news. */
			(void)rd_kafka_poll(k->rk, left < 100 ? left : 100);
			continue;
		}
		result = producer_fault(k, "init_transactions",
		                        rd_kafka_error_code(e),
		                        rd_kafka_error_string(e), error);
		rd_kafka_error_destroy(e);
		return result == SINK_REJECT ? SINK_SETUP : result;
	}
}

static enum sink_result
start(struct kafka *k, struct sink_error *error)
{
	uint64_t deadline = clock_mono_ms() + (uint64_t)k->common->timeout_ms;
	enum sink_result result = create(k, error);

	if (result == SINK_DONE)
		result = admin_topic(k, deadline, error);
	if (result == SINK_DONE && k->conf->delivery == EXACTLY_ONCE)
		result = init_transactions(k, deadline, error);
	if (result == SINK_DONE)
		result = admin_position(k, deadline, error);
	return result;
}

enum sink_result
producer_ready(struct kafka *k, const char *stream, struct sink_error *error)
{
	char name[KAFKA_NAME_MAX];
	enum sink_result result;
	int n;

	n = snprintf(name, sizeof name, "leat-%s-%s", kafka_sink.name, stream);
	assert(n > 0 && (size_t)n < sizeof name);
	if (k->rk && strcmp(name, k->name) == 0)
		return SINK_DONE;
	producer_close(k);
	memcpy(k->name, name, sizeof name);
	result = start(k, error);
	if (result != SINK_DONE)
		producer_close(k);
	return result;
}

void
producer_close(struct kafka *k)
{
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
		(void)rd_kafka_poll(k->rk, 0); /* takes what was purged */
		rd_kafka_destroy(k->rk);
	}
	k->rk = NULL;
	k->found = false;
	k->position = 0;
	k->failed = (struct kafka_fault){0};
	k->broker = (struct kafka_fault){0};
}

enum sink_result
producer_fault(struct kafka *k, const char *what, rd_kafka_resp_err_t err,
               const char *text, struct sink_error *error)
{
	const struct kafka_fault *why = NULL;

	(void)rd_kafka_poll(k->rk, 0); /* errors that wait to be told */
	if (k->failed.err)
		why = &k->failed;
	else if (k->broker.err && fault_class(err) == SINK_AWAY)
		why = &k->broker;
	if (!why)
		return fault_report(error, what, err, text);
	if (why == &k->failed)
		error->bad_event = why->event;
	return fault_report(error, what, why->err, why->text);
}
