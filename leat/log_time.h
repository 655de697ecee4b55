/*
 * log_time - find the offset at which a time begins in the log on disk.
 *
 * batchd's loop reads nothing for this.  The command finds the segment by the
 * times in the segments' headers, and the offset by the times in its records
 * (docs/log-format.md).  It takes no lock, as `leat log verify`.
 */
#ifndef LEAT_LOG_TIME_H
#define LEAT_LOG_TIME_H

#include <stdint.h>

#include "batchd/disk.h"

/*
 * Set *offset to that of the first event that batchd appended at or after
 * at_us, by batchd's wall clock, or to the end of the log if there is none.  If
 * the clock was set back, a time can occur more than once in the log; the
 * search then begins in the newest segment that was begun at or before at_us.
 * Returns 0; -ENOENT when there is no log; ERR_DAMAGED_HEADER when no segment
 * has a readable header; or another -errno when a file cannot be read.
 */
MUST_USE int log_time_find(struct disk *disk, int64_t at_us, uint64_t *offset);

/*
 * Find the offset in the log in the directory dir.  Returns 0, or a negative
 * error after logging it and what the operator can do.
 */
MUST_USE int log_time_find_in(const char *dir, int64_t at_us, uint64_t *offset);

#endif
