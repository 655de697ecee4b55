/* check - what `leat check` wants to know of a ClickHouse server. */
#ifndef SINKD_CLICKHOUSE_CHECK_H
#define SINKD_CLICKHOUSE_CHECK_H

#include "libsink/sink.h"

/*
 * Implements struct sink's check_store.  Each server of the list is checked,
 * only with SELECT and SHOW.
 */
void clickhouse_check_store(void *state, const struct sink_common *common,
                            const void *conf, const char *stream);

#endif
