/* settings - see settings.h. */
#include "sinkd-kafka/settings.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "libbase/secret.h"

#define SECTION "sinkd-kafka"
#define RDKAFKA SECTION ".rdkafka"

static const char *const key_names[] = {"user_id", "id", "none", NULL};
static const char *const format_names[] = {"json", "msgpack", NULL};
static const char *const delivery_names[] = {"exactly_once", "at_least_once",
                                             NULL};

#define FIELD(field)                                                           \
	.name = #field, .offset = offsetof(struct kafka_conf, field)

const struct conf_key kafka_keys[] = {
    {FIELD(brokers), .type = CONF_TEXT, .initial = "127.0.0.1:9092", .min = 1,
     .max = 2000,
     .help = "Brokers to connect to first: host:port, separated by commas."},
    {FIELD(topic), .type = CONF_TEXT, .initial = "events", .min = 1, .max = 249,
     .help = "Topic for the events."},
    {FIELD(key), .type = CONF_CHOICE, .initial = "user_id",
     .choices = key_names,
     .help = "Key of a message: events with the same key keep their order."},
    {FIELD(format), .type = CONF_CHOICE, .initial = "json",
     .choices = format_names, .help = "Format of a message's value."},
    {FIELD(delivery), .type = CONF_CHOICE, .initial = "exactly_once",
     .choices = delivery_names,
     .help = "exactly_once: one transaction per batch; at_least_once: no "
             "transactions, lower latency."},
    {FIELD(create_topic), .type = CONF_BOOL, .initial = "no",
     .help = "Create the topic if it does not exist."},
    {FIELD(partitions), .type = CONF_INT, .initial = "6", .min = 1,
     .max = 10000, .help = "Partitions of a topic that the sink creates."},
    {FIELD(replication), .type = CONF_INT, .initial = "1", .min = 1, .max = 100,
     .help = "Copies of each partition of a topic that the sink creates."},
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

const struct conf_table kafka_sections[] = {
    {.section = RDKAFKA, .on_pair = on_option, .whole_values = true},
};

/* Return true if a property has this value. librdkafka ignores the case. */
static bool
has_option(const struct kafka_conf *c, const char *name, const char *value)
{
	const char *given = options_value(&c->options, name);

	return given && strcasecmp(given, value) == 0;
}

/* Return true for a name by Kafka's rules. */
static bool
is_topic(const char *topic)
{
	return strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0 &&
	       topic[strspn(topic, "abcdefghijklmnopqrstuvwxyz"
	                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "0123456789._-")] == '\0';
}

/* Check one broker of n bytes, such as db.example:9092 or SSL://[::1]:9092. */
static bool
is_broker(const char *text, size_t n)
{
	const char *end = text + n, *protocol = memmem(text, n, "://", 3);
	const char *host = protocol ? protocol + 3 : text, *port;

	if (host < end && *host == '[') {
		port = memchr(host, ']', (size_t)(end - host));
		if (!port)
			return false;
		port++;
	} else {
		port = memchr(host, ':', (size_t)(end - host));
	}
	if (port == host || host == end || strcspn(text, " \t") < n)
		return false;
	if (!port || port == end)
		return true;
	return *port == ':' && conf_is_port(port + 1, (size_t)(end - port - 1));
}

static bool
are_brokers(const char *list)
{
	for (;;) {
		size_t n = strcspn(list, ","), used;

		used = strspn(list, " \t");
		used = used > n ? n : used;
		while (n > used && (list[n - 1] == ' ' || list[n - 1] == '\t'))
			n--;
		if (!is_broker(list + used, n - used))
			return false;
		list += strcspn(list, ",");
		if (list[0] == '\0')
			return true;
		list++;
	}
}

/* Check the files that librdkafka reads when the sink connects. */
static int
kafka_check_files(const struct conf_source *source, const struct kafka_conf *c)
{
	static const struct {
		const char *name;
		int (*check)(const struct conf_source *, const char *,
		             const char *, const char *);
	} files[] = {
	    {"ssl.certificate.location", conf_check_file},
	    {"ssl.crl.location", conf_check_file},
	    {"ssl.key.location", secret_check_file},
	    {"ssl.keystore.location", secret_check_file},
	    {"sasl.kerberos.keytab", secret_check_file},
	    {"sasl.oauthbearer.assertion.file", secret_check_file},
	    {"sasl.oauthbearer.assertion.private.key.file", secret_check_file},
	};
	static const char authorities[] = "ssl.ca.location";
	const char *ca = options_value(&c->options, authorities);
	struct stat st;
	int rc = secret_check_password(source, SECTION, c->password_file,
	                               KAFKA_PASSWORD_MAX);

	/*
	 * This one may also be a directory, or a word that librdkafka defines.
	 */
	if (ca && strcmp(ca, "probe") != 0 &&
	    (stat(ca, &st) < 0 || !S_ISDIR(st.st_mode)) &&
	    conf_check_file(source, RDKAFKA, authorities, ca) < 0)
		rc = -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const char *path = options_value(&c->options, files[i].name);

		if (files[i].check(source, RDKAFKA, files[i].name, path) < 0)
			rc = -EINVAL;
	}
	return rc;
}

static void
kafka_warn_of_settings(const struct conf_source *source,
                       const struct kafka_conf *c)
{
	static const char certificates[] =
	    "enable.ssl.certificate.verification";
	const char *url =
	    options_value(&c->options, "sasl.oauthbearer.token.endpoint.url");

	if (has_option(c, "security.protocol", "sasl_plaintext") &&
	    !secret_stays_local(c->brokers))
		conf_warn(source, RDKAFKA, "security.protocol",
		          "sasl_plaintext",
		          "the password is sent over a connection that is not "
		          "encrypted; set security.protocol = sasl_ssl");
	if (url && strncasecmp(url, "https://", 8) != 0)
		conf_warn(source, RDKAFKA,
		          "sasl.oauthbearer.token.endpoint.url", NULL,
		          "the client's secret is sent over a connection that "
		          "is not encrypted; use https://");
	if (has_option(c, certificates, "false") ||
	    has_option(c, certificates, "f") ||
	    has_option(c, certificates, "0"))
		conf_warn(source, RDKAFKA, certificates, NULL,
		          "the broker's certificate is not checked: another "
		          "could pose as it");
	if (has_option(c, "ssl.endpoint.identification.algorithm", "none"))
		conf_warn(source, RDKAFKA,
		          "ssl.endpoint.identification.algorithm", NULL,
		          "the broker's host name is not checked: any owner of "
		          "a certificate could pose as it");
}

int
kafka_check(const struct conf_source *source, const void *conf)
{
	const struct kafka_conf *c = conf;
	int rc = 0;

	if (!is_topic(c->topic))
		rc = conf_refuse(source, SECTION, "topic", c->topic,
		                 "must be a name of a-z, A-Z, 0-9, '.', '_' "
		                 "and '-'");
	if (!are_brokers(c->brokers))
		rc = conf_refuse(source, SECTION, "brokers", c->brokers,
		                 "must be host:port, with commas between "
		                 "several, and a port from 1 to 65535");
	else
		conf_warn_quotes(source, SECTION, "brokers", c->brokers);
	if (kafka_check_files(source, c) < 0)
		rc = -EINVAL;
	kafka_warn_of_settings(source, c);
	return rc;
}
