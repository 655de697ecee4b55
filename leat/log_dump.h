/*
 * log_dump - `leat log dump`: print the events of the log on disk.
 *
 * A line of JSON for each event, as `leat tail` prints them, without batchd.
 * It takes no lock.  Events that cannot be read are counted on standard error,
 * and the dump goes on after them.  The exit status is then EXIT_NOT_WELL; it
 * is EXIT_FAILURE when the log cannot be read.
 */
#ifndef LEAT_LOG_DUMP_H
#define LEAT_LOG_DUMP_H

#include <stdint.h>
#include <stdio.h>

#include "batchd/disk.h"
#include "leat/verb.h"

extern const struct verb log_dump_verb;

/*
 * Print the events from the offset `from` on and before `to`.  *lost is set to
 * the number of those that cannot be read.  Returns 0, -ENOENT when there is no
 * log, ERR_DAMAGED_HEADER when no segment has a readable header, or another
 * negative error.  An error of `out` is left in it.
 */
MUST_USE int log_dump(struct disk *disk, uint64_t from, uint64_t to, FILE *out,
                      uint64_t *lost);

#endif
