/* gzip - compress the body of a request for Content-Encoding: gzip. */
#ifndef SINKD_CLICKHOUSE_GZIP_H
#define SINKD_CLICKHOUSE_GZIP_H

#include "libbase/base.h"
#include "libbase/buf.h"

/* Append n bytes, compressed, to out.  Returns as buf_add. */
MUST_USE int ch_gzip_add(struct buf *out, const void *bytes, size_t n);

#endif
