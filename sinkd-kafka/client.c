/* client - see client.h. */
#include "sinkd-kafka/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/secret.h"
#include "sinkd-kafka/error_class.h"

/* What librdkafka may hold of a batch that is on its way, by default. */
#define QUEUE_KIB "8192"

/*
 * Largest answer of a broker.  librdkafka makes room for one as its header
 * says, and would believe 100 MB.  The largest honest one is the metadata of
 * the topic: for 10,000 partitions with three copies each about 0.5 MB.
 */
#define ANSWER_BYTES "1048576"

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
	/* With TLS 1.3 a refused client hears of it on the open connection. */
	if (err == RD_KAFKA_RESP_ERR__TRANSPORT &&
	    strstr(reason, KAFKA_TLS_ALERT))
		err = RD_KAFKA_RESP_ERR__SSL;
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		k->all_down = true;
	/* That hides why, which came before it. */
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && k->broker.err)
		return;
	/* A refused password is followed by mere disconnections. */
	if (kafka_error_class(k->broker.err) == SINK_MISCONFIGURED)
		return;
	keep_error(&k->broker, err, 0, reason);
}

/* In the thread that polls, as client_on_delivered. */
static void
client_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	(void)rk;
	client_note_error(opaque, (rd_kafka_resp_err_t)err, reason);
}

static void
client_on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message,
                    void *opaque)
{
	struct kafka *k = opaque;
	rd_kafka_resp_err_t err = message->err;

	(void)rk;
	/* Purged: another message's failure ended the transaction. */
	if (!err || err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
	    err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		return;
	if (k->failed.err && kafka_error_class(err) != SINK_REJECT)
		return;
	if (k->failed.err && kafka_error_class(k->failed.err) == SINK_REJECT) {
		/* A broker refuses messages that came together together. */
		k->failed.event = 0;
		k->failed.unsent = false;
		return;
	}
	/* rd_kafka_message_errstr would give a producer the event's text. */
	keep_error(&k->failed, err, (size_t)(uintptr_t)message->_private,
	           rd_kafka_err2str(err));
}

/* In any of librdkafka's threads. */
static void
client_on_log(const rd_kafka_t *rk, int level, const char *fac,
              const char *text)
{
	struct kafka *k = rd_kafka_opaque(rk);
	enum log_level to = level <= 4 ? LOG_WARN : LOG_INFO;
	unsigned suppressed = 0;
	bool allowed;

	/* The reader of positions is told the producer's options, too. */
	if (level >= 7 || (rd_kafka_type(rk) == RD_KAFKA_CONSUMER &&
	                   strcmp(fac, "CONFWARN") == 0))
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
set_pair(rd_kafka_conf_t *rc, const char *name, const char *value, char *text,
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
		int n = secret_read(path, "LEAT_KAFKA_PASSWORD", k->password,
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
	return set_pair(rc, "sasl.password", k->password, text, text_bytes);
}

/* One pair after the other. */
static int
set_pairs(rd_kafka_conf_t *rc, const char *const (*pairs)[2], size_t n,
          char *text, size_t text_bytes)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++)
		err = set_pair(rc, pairs[i][0], pairs[i][1], text, text_bytes);
	return err;
}

/*
 * What the section of free pairs may change.  librdkafka itself would come
 * back up to ten seconds after the broker did.
 */
static const char *const producer_defaults[][2] = {
    {"client.id", "leat"},
    {"reconnect.backoff.max.ms", "1000"},
    {"partitioner", "murmur2_random"},
    {"compression.codec", "lz4"},
    {"linger.ms", "1"},
    {"queue.buffering.max.kbytes", QUEUE_KIB},
    /*
     * A coordinator that still ends the transaction before answers "not
     * yet" to the next position: librdkafka's 100 ms are most of a batch.
     */
    {"retry.backoff.ms", "10"},
    {"receive.message.max.bytes", ANSWER_BYTES},
    {"log.connection.close", "false"},
};
static const char *const reader_defaults[][2] = {
    {"client.id", "leat"},
    {"reconnect.backoff.max.ms", "1000"},
    {"receive.message.max.bytes", ANSWER_BYTES},
    {"log.connection.close", "false"},
};

static int
set_producer(const struct kafka *k, rd_kafka_conf_t *rc, char *text,
             size_t text_bytes)
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
	rd_kafka_conf_set_dr_msg_cb(rc, client_on_delivered);
	return set_pairs(rc, pairs, ARRAY_LEN(pairs) - (once ? 0 : 1), text,
	                 text_bytes);
}

static int
set_reader(const struct kafka *k, rd_kafka_conf_t *rc, char *text,
           size_t text_bytes)
{
	const char *const pairs[][2] = {
	    {"group.id", k->name},
	    {"enable.auto.commit", "false"},
	    /* Never an offset whose transaction may still be aborted. */
	    {"isolation.level", "read_committed"},
	    /*
	     * It reads positions and no messages.  librdkafka wants room for
	     * an answer with the largest message all the same.
	     */
	    {"message.max.bytes", "1000000"},
	    {"fetch.max.bytes", "1000000"},
	};

	return set_pairs(rc, pairs, ARRAY_LEN(pairs), text, text_bytes);
}

/*
 * From version 2.5 on librdkafka sends figures about itself to a broker that
 * asks for them (KIP-714), and at its end waits for the last of them by the
 * clock of the wall, which may be set back.  Earlier versions know no such
 * option.
 */
static int
push_no_metrics(rd_kafka_conf_t *rc, char *text, size_t text_bytes)
{
	rd_kafka_conf_res_t res = rd_kafka_conf_set(rc, "enable.metrics.push",
	                                            "false", text, text_bytes);

	return res == RD_KAFKA_CONF_INVALID ? -EINVAL : 0;
}

static int
set_all(struct kafka *k, rd_kafka_type_t type, rd_kafka_conf_t *rc, char *text,
        size_t text_bytes)
{
	bool producer = type == RD_KAFKA_PRODUCER;
	int err;

	rd_kafka_conf_set_opaque(rc, k);
	rd_kafka_conf_set_error_cb(rc, client_on_error);
	rd_kafka_conf_set_log_cb(rc, client_on_log);
	if (producer)
		err = set_pairs(rc, producer_defaults,
		                ARRAY_LEN(producer_defaults), text, text_bytes);
	else
		err = set_pairs(rc, reader_defaults, ARRAY_LEN(reader_defaults),
		                text, text_bytes);
	if (err == 0)
		err = push_no_metrics(rc, text, text_bytes);
	if (err == 0)
		err = options_apply(&k->conf->options, rc, text, text_bytes);
	/* What is set from here on, options.c refuses. */
	if (err == 0)
		err = set_pair(rc, "bootstrap.servers", k->conf->brokers, text,
		               text_bytes);
	if (err == 0)
		err = producer ? set_producer(k, rc, text, text_bytes)
		               : set_reader(k, rc, text, text_bytes);
	return err == 0 ? set_password(k, rc, text, text_bytes) : err;
}

enum sink_result
client_new(struct kafka *k, rd_kafka_type_t type, rd_kafka_t **out,
           struct sink_error *error)
{
	rd_kafka_conf_t *rc = rd_kafka_conf_new();
	rd_kafka_t *rk = NULL;
	char text[256] = "";

	if (set_all(k, type, rc, text, sizeof text) == 0)
		rk = rd_kafka_new(type, rc, text, sizeof text);
	if (!rk) {
		rd_kafka_conf_destroy(rc);
		/* Settings that do not go together, or an unreadable file. */
		return kafka_error_report(error, "cannot make a client",
		                          RD_KAFKA_RESP_ERR__INVALID_ARG, text);
	}
	*out = rk;
	return SINK_DONE;
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
		(void)rd_kafka_poll(k->rk, 0); /* those of the past */
	k->failed = (struct kafka_error){0};
	k->broker = (struct kafka_error){0};
	k->all_down = false;
}

enum sink_result
client_error(struct kafka *k, const char *what, rd_kafka_resp_err_t err,
             const char *text, struct sink_error *error)
{
	const struct kafka_error *why = NULL;

	(void)rd_kafka_poll(k->rk, 0); /* errors that wait to be told */
	/* What the brokers said first, unless the matter is a message's. */
	if (k->failed.err)
		why = &k->failed;
	if (k->broker.err &&
	    kafka_error_class(why ? why->err : err) == SINK_UNREACHABLE)
		why = &k->broker;
	if (why) {
		err = why->err;
		text = why->text;
	}
	/* No message would have a key: that is no event's fault. */
	if (err == RD_KAFKA_RESP_ERR_INVALID_RECORD &&
	    k->conf->key == KEY_NONE) {
		(void)kafka_error_report(
		    error, what, err,
		    "the topic wants keys (is it compacted?): "
		    "set key, or its cleanup.policy = delete");
		return SINK_MISCONFIGURED;
	}
	/* The transaction may have failed before the message was reported. */
	if (why == &k->failed)
		error->bad_event = why->event;
	/* All that a broker says is that it failed to validate the record. */
	if (err == RD_KAFKA_RESP_ERR_INVALID_RECORD && k->keyless)
		return kafka_error_report(
		    error, what, err,
		    "the event has no user_id, so its message "
		    "has no key, and the topic wants keys (is "
		    "it compacted?)");
	return kafka_error_report(error, what, err, text);
}
