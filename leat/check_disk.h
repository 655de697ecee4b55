/*
 * check_disk - the part of `leat check` about the directories of the log and of
 * the dead letters: who may use them, and whether the log's disk is fast and
 * large enough.
 */
#ifndef LEAT_CHECK_DISK_H
#define LEAT_CHECK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

struct check_disk {
	const char *dir; /* of the log */
	int64_t max_bytes, min_free_bytes;
};

/*
 * Measure the disk of the log with a temporary file that has no name, if this
 * process may write there, and compare its free space with max_bytes.  Prints
 * two lines.
 */
void check_disk(const struct check_disk *settings);

/*
 * Check that only the daemons' user may change what is in a directory.  `what`
 * is the setting that names the directory.  Returns true if it is so, or prints
 * a line.
 */
MUST_USE bool check_directory(const char *what, const char *path);

#endif
