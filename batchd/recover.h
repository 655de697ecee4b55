/*
 * recover - from the files in a directory to a log that can be appended to.
 *
 * There is no special start after a crash: every start does the same
 * (docs/log-format.md).  The last segment is synced and then read back from the
 * disk, because pages that were written but not synced before a crash of
 * batchd look valid only until the power fails.  Its valid records are kept,
 * its torn tail is cut, and the log continues in a new segment.  Nothing is
 * ever appended where a tail was cut.
 */
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
