/*
 * options - the properties of librdkafka in the section [sinkd-kafka.rdkafka],
 * except those that would break the sink's guarantees.
 */
#ifndef SINKD_KAFKA_OPTIONS_H
#define SINKD_KAFKA_OPTIONS_H

#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "libbase/base.h"

#define OPTIONS_BYTES (8 * KIB)

/* All zeros is an empty set. */
struct options {
	size_t used;
	char pairs[OPTIONS_BYTES]; /* name, NUL, value, NUL, ... */
};

/*
 * Add one pair.  librdkafka checks the name and the form of the value.  Returns
 * NULL, or why the pair is refused, as static text.
 */
const char *options_add(struct options *o, const char *name, const char *value);

/*
 * Return the value of a property, or NULL if it is not set.  If it is set
 * twice, the last value is used.
 */
const char *options_value(const struct options *o, const char *name);

/*
 * Set all pairs in rk_conf.  Returns 0, or -EINVAL with librdkafka's message in
 * `text`.
 */
MUST_USE int options_apply(const struct options *o, rd_kafka_conf_t *rk_conf,
                           char *text, size_t text_bytes);

#endif
