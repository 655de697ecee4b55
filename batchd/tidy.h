/* tidy - what store.c and tidy.c share, beyond store.h. */
#ifndef BATCHD_TIDY_H
#define BATCHD_TIDY_H

#include "batchd/store.h"

/* The next segment, until it gets its name. */
#define SPARE_NAME "spare.tmp"

/* The spare is now the segment that the filling group starts. */
void store_claim_spare(struct store *s);

#endif
