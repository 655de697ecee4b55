/* options - see options.h. */
#include "sinkd-kafka/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT_MAX 5 /* the limit of an idempotent producer */

/* Properties that leat sets itself, or that would break its guarantees. */
static const struct {
	const char *name, *why;
} refused[] = {
    {"bootstrap.servers", "is set by brokers in [sinkd-kafka]"},
    {"metadata.broker.list", "is set by brokers in [sinkd-kafka]"},
    {"enable.idempotence",
     "is always on: without it a retry can store an event twice or out of "
     "order"},
    {"transactional.id",
     "is made from sink and stream: it is what fences a stale twin"},
    {"acks", "is always all: fewer would lose events with a broker"},
    {"request.required.acks",
     "is always all: fewer would lose events with a broker"},
    {"retries", "is never limited: a retry is bounded by timeout_ms"},
    {"message.send.max.retries",
     "is never limited: a retry is bounded by timeout_ms"},
    {"transaction.timeout.ms", "follows timeout_ms in [sinkd-kafka]"},
    {"message.timeout.ms", "follows timeout_ms in [sinkd-kafka]"},
    {"delivery.timeout.ms", "follows timeout_ms in [sinkd-kafka]"},
    {"enable.gapless.guarantee",
     "would stop the sink at the first event that a broker refuses"},
    {"queuing.strategy", "must stay fifo: idempotence needs the order"},
    {"delivery.report.only.error",
     "must stay off: the sink waits for delivery reports"},
    {"sasl.password",
     "belongs in password_file in [sinkd-kafka] or in LEAT_KAFKA_PASSWORD"},
    {"group.id", "is made from sink and stream: it holds the position"},
    {"isolation.level",
     "is always read_committed: a position may still be aborted"},
    {"enable.auto.commit", "is always off: the position goes with its batch"},
    {"statistics.interval.ms",
     "is of no use: leat does not read the statistics, and an idle sink would "
     "accumulate them"},
    {"log.queue",
     "must stay off: leat does not read log lines from a queue, and they would "
     "accumulate"},
    {"internal.termination.signal",
     "would have librdkafka send that signal to this process"},
    {"plugin.library.paths",
     "would load code that can undo all that is refused here"},
    {"ssl.engine.location",
     "would load code that can undo all that is refused here"},
    {"sasl.kerberos.kinit.cmd",
     "would run a command of a shell; set sasl.kerberos.keytab and "
     "sasl.kerberos.principal"},
    {"test.mock.num.brokers", "would send the events nowhere"},
};

/* librdkafka puts these into a command line that a shell runs. */
static const char *const in_command[] = {
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
};

/*
 * Providers that are part of OpenSSL.  For any other name OpenSSL loads a file.
 */
static bool
are_own_providers(const char *value)
{
	static const char *const own[] = {"default", "legacy", "base", "fips"};
	bool all = true;

	while (all && *value) {
		size_t n = strcspn(value, ", ");

		all = n == 0;
		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			all |= strlen(own[i]) == n &&
			       memcmp(value, own[i], n) == 0;
		value += n;
		value += strspn(value, ", ");
	}
	return all;
}

static bool
is_plain_word(const char *value)
{
	return value[strspn(value, "abcdefghijklmnopqrstuvwxyz"
	                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "0123456789_.,:=+@/-")] == '\0';
}

static const char *
check_pair(const char *name, const char *value)
{
	rd_kafka_conf_t *probe;
	rd_kafka_conf_res_t res;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		if (strcmp(refused[i].name, name) == 0)
			return refused[i].why;
	}
	for (size_t i = 0; i < ARRAY_LEN(in_command); i++) {
		if (strcmp(in_command[i], name) == 0 && !is_plain_word(value))
			return "must be letters, digits and _.,:=+@/- only: "
			       "librdkafka puts it into a command of a shell";
	}
	if (strcmp(name, "ssl.providers") == 0 && !are_own_providers(value))
		return "must be of default, legacy, base and fips: another "
		       "would load code that can undo all that is refused here";
	if ((strcmp(name, "max.in.flight") == 0 ||
	     strcmp(name, "max.in.flight.requests.per.connection") == 0) &&
	    strtol(value, NULL, 0) > IN_FLIGHT_MAX) /* includes 0x10 */
		return "must be at most 5: idempotence needs it";
	probe = rd_kafka_conf_new();
	res = rd_kafka_conf_set(probe, name, value, NULL, 0);
	rd_kafka_conf_destroy(probe);
	if (res == RD_KAFKA_CONF_UNKNOWN)
		return "librdkafka has no such property";
	if (res != RD_KAFKA_CONF_OK)
		return "librdkafka does not take this value";
	return NULL;
}

const char *
options_add(struct options *o, const char *name, const char *value)
{
	size_t name_bytes = strlen(name) + 1, value_bytes = strlen(value) + 1;
	const char *why = check_pair(name, value);

	if (why)
		return why;
	if (name_bytes + value_bytes > sizeof o->pairs - o->used)
		return "the section is longer than 8 KiB";
	memcpy(o->pairs + o->used, name, name_bytes);
	memcpy(o->pairs + o->used + name_bytes, value, value_bytes);
	o->used += name_bytes + value_bytes;
	return NULL;
}

const char *
options_value(const struct options *o, const char *wanted)
{
	const char *at = o->pairs, *end = o->pairs + o->used, *found = NULL;

	while (at < end) {
		const char *name = at, *value = at + strlen(at) + 1;

		if (strcmp(name, wanted) == 0)
			found = value;
		at = value + strlen(value) + 1;
	}
	return found;
}

int
options_apply(const struct options *o, rd_kafka_conf_t *rk_conf, char *text,
              size_t text_bytes)
{
	const char *at = o->pairs, *end = o->pairs + o->used;

	while (at < end) {
		const char *name = at, *value = at + strlen(at) + 1;

		if (rd_kafka_conf_set(rk_conf, name, value, text, text_bytes) !=
		    RD_KAFKA_CONF_OK)
			return -EINVAL;
		at = value + strlen(value) + 1;
	}
	return 0;
}
