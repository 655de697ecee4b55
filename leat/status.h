/* status - `leat status`: show the status of the log, daemons and sinks. */
#ifndef LEAT_STATUS_H
#define LEAT_STATUS_H

#include <stdbool.h>

#include "libbase/base.h"

/* The exit status when batchd answers and reports problems. */
#define STATUS_NOT_WELL 3

/*
 * Print the status of the batchd at `socket`, as JSON or as text for an
 * operator.  The text names the files of dead letters as the settings at `path`
 * set them. Returns the exit status: EXIT_SUCCESS when batchd reports no
 * problem, STATUS_NOT_WELL when it does, EXIT_FAILURE when it does not answer.
 */
MUST_USE int status_print(const char *socket, const char *path, bool json);

#endif
