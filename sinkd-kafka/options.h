/*
 * options - librdkafka's own properties, as they stand in a section of free
 * pairs, but for those that would break what the sink promises.
 */
#ifndef SINKD_KAFKA_OPTIONS_H
#define SINKD_KAFKA_OPTIONS_H

#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "libbase/base.h"

#define OPTIONS_BYTES (8 * KIB)

/* All zeros is empty. */
struct options {
	size_t used;
	char pairs[OPTIONS_BYTES]; /* name, NUL, value, NUL, ... */
};

/*
 * Keep one pair.  Returns NULL, or why it is refused: static text.  The name
 * and the form of the value are checked with librdkafka.
 */
const char *options_add(struct options *o, const char *name, const char *value);

/* The value of a property, the last if it is given twice; NULL if it is not. */
const char *options_value(const struct options *o, const char *name);

/*
 * Set all pairs in rk_conf.  Returns 0, or -EINVAL with librdkafka's words
 * in text.
 */
MUST_USE int options_apply(const struct options *o, rd_kafka_conf_t *rk_conf,
                           char *text, size_t text_bytes);

#endif
