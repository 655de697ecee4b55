/*
 * settings - the section [sinkd-kafka]: its keys and their checks.
 */
#ifndef SINKD_KAFKA_SETTINGS_H
#define SINKD_KAFKA_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/conf.h"
#include "libbase/conf_source.h"
#include "sinkd-kafka/options.h"

#define KAFKA_PASSWORD_MAX 1024

enum kafka_key { KEY_USER_ID, KEY_ID, KEY_NONE };
enum kafka_format { FORMAT_JSON, FORMAT_MSGPACK };
enum kafka_delivery { EXACTLY_ONCE, AT_LEAST_ONCE };

struct kafka_conf {
	char *brokers;
	char *topic;
	int key;      /* enum kafka_key */
	int format;   /* enum kafka_format */
	int delivery; /* enum kafka_delivery */
	bool create_topic;
	int64_t partitions;
	int64_t replication;
	char *password_file;
	struct options options; /* [sinkd-kafka.rdkafka] */
};

/* The keys of the section, into struct kafka_conf. */
extern const struct conf_key kafka_keys[];

/* The section [sinkd-kafka.rdkafka], into struct kafka_conf as well. */
#define KAFKA_SECTIONS 1
extern const struct conf_table kafka_sections[KAFKA_SECTIONS];

/* Implements struct sink's check. */
int kafka_check(const struct conf_source *source, const void *conf);

#endif
