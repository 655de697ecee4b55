/* segment_pool - what store.c and retention.c share, beyond store.h. */
#ifndef BATCHD_SEGMENT_POOL_H
#define BATCHD_SEGMENT_POOL_H

#include "batchd/store.h"

/* The next segment, until it gets its name. */
#define SPARE_NAME "spare.tmp"

/* The spare is now the segment that the filling group starts. */
void segment_pool_claim(struct store *s);

#endif
