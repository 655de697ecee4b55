/* check - what `leat check` wants to know of a PostgreSQL server. */
#ifndef SINKD_POSTGRES_CHECK_H
#define SINKD_POSTGRES_CHECK_H

#include "libsink/sink.h"

/* Implements struct sink's check_store. */
void postgres_check_store(void *state, const struct sink_common *common,
                          const void *conf, const char *stream);

#endif
