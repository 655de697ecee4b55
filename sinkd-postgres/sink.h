/*
 * sink - what libsink calls: connect, read the position, write, and close.
 */
#ifndef SINKD_POSTGRES_SINK_H
#define SINKD_POSTGRES_SINK_H

#include "libsink/sink.h"

extern const struct sink postgres_sink;

#endif
