/*
 * dead_file - the dead letters of a sink, as they are on disk.
 */
#ifndef LEAT_DEAD_FILE_H
#define LEAT_DEAD_FILE_H

#include <limits.h>

#include "libproto/dlq_filter.h"

/*
 * Find the directory, and the file, of a sink's dead letters by the settings
 * file at `settings`.  Both return 0, or -errno after logging the reason.
 */
MUST_USE int dead_file_directory(const char *settings, const char *sink,
                                 char out[PATH_MAX]);
MUST_USE int dead_file_path(const char *settings, const char *sink,
                            char out[PATH_MAX]);

/*
 * Called for a dead letter that matches.  `line` is its text as in the file.
 * Returns 0 to go on.
 */
typedef int (*dead_file_on_record)(void *arg, const struct dlq_record *record,
                                   struct slice line);

/*
 * Read the file at path, of which a missing one has no dead letters, up to the
 * limit of the filter.  *damaged is set to the number of lines that are no dead
 * letters.  Returns 0; what f returned; or -errno after logging the reason.
 */
MUST_USE int dead_file_read(const char *path, const struct dlq_filter *filter,
                            dead_file_on_record f, void *arg,
                            uint64_t *damaged);

#endif
