/* client - see client.h. */
#include "sinkd-kafka/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/secret.h"
#include "sinkd-kafka/error_class.h"
#include "sinkd-kafka/message.h"

/* Default limit on what librdkafka holds of a batch in flight. */
#define QUEUE_KIB "8192"

/*
 * The largest response of a broker that librdkafka accepts.  It allocates as
 * much as the header of a response asks for, and by default up to 100 MB.  The
 * largest response of an honest broker is the metadata of the topic, which
 * takes about 0.5 MB for 10,000 partitions with three replicas each.
 */
#define ANSWER_BYTES "1048576"

void
client_init(struct kafka *k, const struct sink_common *common,
            const struct kafka_conf *conf)
{
	k->common = common;
	k->conf = conf;
	k->log_limit.interval_ms = 60000;
	k->log_limit.burst = 5;
	buf_init(&k->value, MESSAGE_MAX);
	if (!k->log_ready)
		(void)pthread_mutex_init(&k->log_lock, NULL);
	k->log_ready = true;
}

static void
keep_error(struct kafka_error *into, rd_kafka_resp_err_t err, size_t event,
           const char *text)
{
	into->err = err;
	into->event = event;
	into->unsent = false;
	(void)snprintf(into->text, sizeof into->text, "%s", text);
}

void
client_note_error(struct kafka *k, rd_kafka_resp_err_t err, const char *reason)
{
	/*
	 * With TLS 1.3 a client that was refused learns it only after the
	 * handshake, when the broker closes the connection with an alert.
	 */
	if (err == RD_KAFKA_RESP_ERR__TRANSPORT &&
	    strstr(reason, KAFKA_TLS_ALERT))
		err = RD_KAFKA_RESP_ERR__SSL;
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		k->all_down = true;
	/*
	 * This error is only the consequence of one reported before, which has
	 * the reason.
	 */
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && k->broker.err)
		return;
	/* After a refused password librdkafka reports mere disconnections. */
	if (kafka_error_class(k->broker.err) == SINK_MISCONFIGURED)
		return;
	keep_error(&k->broker, err, 0, reason);
}

/* Called in the thread that calls rd_kafka_poll, as is librdkafka_on_delivered.
 */
static void
librdkafka_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	(void)rk;
	client_note_error(opaque, (rd_kafka_resp_err_t)err, reason);
}

static void
librdkafka_on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message,
                        void *opaque)
{
	struct kafka *k = opaque;
	rd_kafka_resp_err_t err = message->err;

	(void)rk;
	/*
	 * The message was purged because the failure of another message ended
	 * the transaction.
	 */
	if (!err || err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
	    err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		return;
	if (k->failed.err && kafka_error_class(err) != SINK_REJECT)
		return;
	if (k->failed.err && kafka_error_class(k->failed.err) == SINK_REJECT) {
		/*
		 * A broker refuses all messages of one request together and
		 * does not report which of them is at fault, so the index of
		 * the first one is no hint.
		 */
		k->failed.event = 0;
		k->failed.unsent = false;
		return;
	}
	/* For a producer, rd_kafka_message_errstr would return the payload. */
	keep_error(&k->failed, err, (size_t)(uintptr_t)message->_private,
	           rd_kafka_err2str(err));
}

/* Called in any thread of librdkafka. */
static void
librdkafka_on_log(const rd_kafka_t *rk, int level, const char *fac,
                  const char *text)
{
	struct kafka *k = rd_kafka_opaque(rk);
	enum log_level to = level <= 4 ? LOG_WARN : LOG_INFO;
	unsigned suppressed = 0;
	bool allowed;

	/*
	 * The reader of positions gets the same options as the producer and
	 * warns of those that only a producer has.
	 */
	if (level >= 7 || (rd_kafka_type(rk) == RD_KAFKA_CONSUMER &&
	                   strcmp(fac, "CONFWARN") == 0))
		to = LOG_DEBUG;
	(void)pthread_mutex_lock(&k->log_lock);
	allowed = log_allow(&k->log_limit, &suppressed);
	(void)pthread_mutex_unlock(&k->log_lock);
	if (allowed)
		log_write(to, "librdkafka fac=%s text=%s suppressed=%u", fac,
		          log_quote(text), suppressed);
}

/* The configuration of a new handle. */
struct properties {
	rd_kafka_conf_t *conf;
	char why[256]; /* if a property cannot be set: the reason */
};

/* Each of the functions that set properties returns 0 or -errno. */
static int
set_pair(struct properties *p, const char *name, const char *value)
{
	if (rd_kafka_conf_set(p->conf, name, value, p->why, sizeof p->why) ==
	    RD_KAFKA_CONF_OK)
		return 0;
	return -EINVAL;
}

static int
set_password(struct kafka *k, struct properties *p)
{
	const char *path = k->conf->password_file;
	int err = secret_refresh(path, "LEAT_KAFKA_PASSWORD", k->password,
	                         sizeof k->password, &k->password_known);

	if (err < 0) {
		(void)snprintf(p->why, sizeof p->why, "password_file %s: %s",
		               path, strerror(-err));
		return err;
	}
	return k->password[0] ? set_pair(p, "sasl.password", k->password) : 0;
}

/* Set the pairs in their order. */
static int
set_pairs(struct properties *p, const char *const (*pairs)[2], size_t n)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++)
		err = set_pair(p, pairs[i][0], pairs[i][1]);
	return err;
}

/*
 * Defaults, which the section [sinkd-kafka.rdkafka] may change.  librdkafka's
 * own reconnect.backoff.max.ms is ten seconds; the sink would lag for that long
 * after the broker is back.
 */
static const char *const defaults[][2] = {
    {"client.id", "leat"},
    {"reconnect.backoff.max.ms", "1000"},
    {"receive.message.max.bytes", ANSWER_BYTES},
    {"log.connection.close", "false"},
};
static const char *const producer_defaults[][2] = {
    {"partitioner", "murmur2_random"},
    {"compression.codec", "lz4"},
    {"linger.ms", "1"},
    {"queue.buffering.max.kbytes", QUEUE_KIB},
    /*
     * A coordinator that is still completing a transaction makes the position
     * of the next one wait.  librdkafka's default pause of 100 ms is longer
     * than most batches take.
     */
    {"retry.backoff.ms", "10"},
};

static int
set_producer(const struct kafka *k, struct properties *p)
{
	bool once = k->conf->delivery == EXACTLY_ONCE;
	char timeout[24];
	const char *const pairs[][2] = {
	    {"enable.idempotence", "true"},
	    {once ? "transaction.timeout.ms" : "message.timeout.ms", timeout},
	    {"transactional.id", k->name},
	};

	(void)snprintf(timeout, sizeof timeout, "%" PRId64,
	               k->common->timeout_ms);
	rd_kafka_conf_set_dr_msg_cb(p->conf, librdkafka_on_delivered);
	return set_pairs(p, pairs, ARRAY_LEN(pairs) - (once ? 0 : 1));
}

/*
 * For reading the messages themselves.  A broker sends a batch in one piece,
 * whatever its size; the other limits bound the memory.
 */
static const char *const counting[][2] = {
    {"receive.message.max.bytes", "104857600"},
    {"fetch.max.bytes", "8388608"},
    {"queued.max.messages.kbytes", "16384"},
    {"enable.partition.eof", "true"},
};

static int
set_reader(const struct kafka *k, struct properties *p)
{
	const char *const pairs[][2] = {
	    {"group.id", k->stream->name},
	    {"enable.auto.commit", "false"},
	    /*
	     * The position must not come from a transaction that may still be
	     * aborted.
	     */
	    {"isolation.level", "read_committed"},
	    /*
	     * The reader receives positions and no messages.  Nevertheless
	     * librdkafka requires receive.message.max.bytes to have room for a
	     * message of the maximum size.
	     */
	    {"message.max.bytes", "1000000"},
	    {"fetch.max.bytes", "1000000"},
	};

	int err = set_pairs(p, pairs, ARRAY_LEN(pairs));

	if (err == 0 && k->counting)
		err = set_pairs(p, counting, ARRAY_LEN(counting));
	return err;
}

/*
 * From version 2.5 on, librdkafka sends metrics about itself to a broker that
 * asks for them (KIP-714).  When it is destroyed it waits until the last of
 * them are sent, by the wall clock, which may be set back.  Earlier versions do
 * not have this option.
 */
static int
push_no_metrics(struct properties *p)
{
	rd_kafka_conf_res_t res = rd_kafka_conf_set(
	    p->conf, "enable.metrics.push", "false", p->why, sizeof p->why);

	return res == RD_KAFKA_CONF_INVALID ? -EINVAL : 0;
}

static int
set_all(struct kafka *k, rd_kafka_type_t type, struct properties *p)
{
	bool producer = type == RD_KAFKA_PRODUCER;
	int err;

	rd_kafka_conf_set_opaque(p->conf, k);
	rd_kafka_conf_set_error_cb(p->conf, librdkafka_on_error);
	rd_kafka_conf_set_log_cb(p->conf, librdkafka_on_log);
	err = set_pairs(p, defaults, ARRAY_LEN(defaults));
	if (err == 0 && producer)
		err = set_pairs(p, producer_defaults,
		                ARRAY_LEN(producer_defaults));
	if (err == 0)
		err = push_no_metrics(p);
	if (err == 0)
		err = options_apply(&k->conf->options, p->conf, p->why,
		                    sizeof p->why);
	/* options.c refuses the properties that are set from here on. */
	if (err == 0)
		err = set_pair(p, "bootstrap.servers", k->conf->brokers);
	if (err == 0)
		err = producer ? set_producer(k, p) : set_reader(k, p);
	return err == 0 ? set_password(k, p) : err;
}

enum sink_result
client_new(struct kafka *k, rd_kafka_type_t type, rd_kafka_t **out,
           struct sink_error *error)
{
	struct properties p = {.conf = rd_kafka_conf_new()};
	rd_kafka_t *rk = NULL;

	if (set_all(k, type, &p) == 0)
		rk = rd_kafka_new(type, p.conf, p.why, sizeof p.why);
	if (!rk) {
		rd_kafka_conf_destroy(p.conf);
		/*
		 * Some settings contradict each other, or a file cannot be
		 * read.
		 */
		return kafka_error_report(error, "cannot create a client",
		                          RD_KAFKA_RESP_ERR__INVALID_ARG,
		                          p.why);
	}
	*out = rk;
	return SINK_DONE;
}

uint64_t
client_deadline_ms(const struct kafka *k)
{
	return clock_mono_ms() + (uint64_t)k->common->timeout_ms;
}

int
client_left_ms(uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();

	return now < deadline_ms ? (int)(deadline_ms - now) : 0;
}

void
client_clear_errors(struct kafka *k)
{
	if (k->rk)
		/* process earlier events first */
		(void)rd_kafka_poll(k->rk, 0);
	k->failed = (struct kafka_error){0};
	k->broker = (struct kafka_error){0};
	k->all_down = false;
}

enum sink_result
client_error(struct kafka *k, const char *what, rd_kafka_resp_err_t err,
             const char *text, struct sink_error *error)
{
	const struct kafka_error *why = NULL;

	(void)rd_kafka_poll(k->rk, 0); /* process errors in the queue */
	/*
	 * Prefer the error that a broker reported before, unless the error
	 * blames a message.
	 */
	if (k->failed.err)
		why = &k->failed;
	if (k->broker.err &&
	    kafka_error_class(why ? why->err : err) == SINK_UNREACHABLE)
		why = &k->broker;
	if (why) {
		err = why->err;
		text = why->text;
	}
	/*
	 * With key = none every message lacks a key, so no event is at fault.
	 */
	if (err == RD_KAFKA_RESP_ERR_INVALID_RECORD &&
	    k->conf->key == KEY_NONE) {
		(void)kafka_error_report(
		    error, what, err,
		    "the topic requires keys (is it compacted?); set key, or "
		    "set cleanup.policy = delete for the topic");
		return SINK_MISCONFIGURED;
	}
	/*
	 * If the transaction fails before the message is reported, bad_event
	 * stays 0.
	 */
	if (why == &k->failed)
		error->bad_event = why->event;
	/* The broker reports only that it failed to validate the record. */
	if (err == RD_KAFKA_RESP_ERR_INVALID_RECORD && k->keyless)
		return kafka_error_report(
		    error, what, err,
		    "the event has no user_id, so its message "
		    "has no key, and the topic requires keys (is it "
		    "compacted?)");
	return kafka_error_report(error, what, err, text);
}
