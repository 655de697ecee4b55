/*
 * postgres - the sink that COPYs each batch into a table, in one transaction
 * with the row of leat_position that says how far it is (I9).
 */
#ifndef SINKD_POSTGRES_POSTGRES_H
#define SINKD_POSTGRES_POSTGRES_H

#include "libsink/sink.h"

extern const struct sink postgres_sink;

#endif
