/* status - the verb that shows how leat is. */
#ifndef LEAT_STATUS_H
#define LEAT_STATUS_H

#include <stdbool.h>

#include "libbase/base.h"

/* Exit status when batchd answers and something is not well. */
#define STATUS_NOT_WELL 3

/*
 * Print the status of the batchd at `socket`, as JSON or for people.
 * Returns the exit status: EXIT_SUCCESS when the status lists no problems,
 * STATUS_NOT_WELL when it does, EXIT_FAILURE when batchd does not answer.
 */
MUST_USE int status_print(const char *socket, bool json);

#endif
