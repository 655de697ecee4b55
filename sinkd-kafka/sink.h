/*
 * sink - what libsink calls: connect, read the position, write, and close.
 */
#ifndef SINKD_KAFKA_SINK_H
#define SINKD_KAFKA_SINK_H

#include "libsink/sink.h"

extern const struct sink kafka_sink;

#endif
