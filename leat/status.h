/* status - the verb that shows how leat is. */
#ifndef LEAT_STATUS_H
#define LEAT_STATUS_H

#include <stdbool.h>

#include "libbase/base.h"

/*
 * Print the status of the batchd at `socket`, as JSON or for people.
 * Returns the exit status: EXIT_FAILURE when batchd is away.
 */
MUST_USE int status_print(const char *socket, bool json);

#endif
