/*
 * check_settings - the first part of `leat check`: all sections of the settings
 * file.
 *
 * Only the program that owns a section can check it, and a sink may not be part
 * of leat at all.  Therefore each installed program is run with --check, and
 * their findings are merged.
 */
#ifndef LEAT_CHECK_SETTINGS_H
#define LEAT_CHECK_SETTINGS_H

#include "libbase/base.h"

/*
 * Check the settings file with ingestd, batchd, and the sinks that the file
 * names or has a section for.  Files are read, but stores are not contacted.
 * Findings go to standard error, the result to standard output.
 * Returns the exit status: EXIT_SUCCESS without errors, even if there are
 * warnings; EXIT_CONFIG with errors; EXIT_FAILURE when a program could not be
 * run.
 */
MUST_USE int check_settings(const char *path);

#endif
