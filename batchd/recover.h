/* recover - from the files in a directory to a log that can be appended to. */
#ifndef BATCHD_RECOVER_H
#define BATCHD_RECOVER_H

#include "batchd/store_state.h"

/*
 * Find the segments of the log, cut the torn tail of the last one, and set
 * next_offset.  In an empty directory, begin a new log.  Returns 0; -errno; or
 * ERR_OPERATOR_NEEDED after logging what an operator must decide.
 */
MUST_USE int recover_log(struct store *s);

#endif
