/*
 * check - `leat check`: whether the settings file is right in all of its
 * sections.
 *
 * Each program knows its own sections alone, and a sink may be somebody
 * else's.  So each program that is installed is run with --check, and what
 * they say is put together.
 */
#ifndef LEAT_CHECK_H
#define LEAT_CHECK_H

#include "libbase/base.h"

/*
 * Check the settings file with ingestd, batchd and the sinks that the file
 * names or has a section for.  Only files are looked at, no stores.  Returns
 * the exit status: EXIT_SUCCESS also with warnings, EXIT_CONFIG with errors,
 * EXIT_FAILURE when a check could not be made.
 */
MUST_USE int check_print(const char *path);

#endif
