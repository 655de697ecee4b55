/*
 * sink - what libsink calls: connect, read the position, write, and close.
 */
#ifndef SINKD_CLICKHOUSE_SINK_H
#define SINKD_CLICKHOUSE_SINK_H

#include "libsink/sink.h"

extern const struct sink clickhouse_sink;

#endif
