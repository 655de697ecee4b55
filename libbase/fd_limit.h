/*
 * fd_limit - how many file descriptors this process may have, and what to do
 * when there are none.
 */
#ifndef LIBBASE_FD_LIMIT_H
#define LIBBASE_FD_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

/*
 * Raise the soft limit to `want` descriptors if it is lower.  Returns `want`,
 * or the limit that is in force if the hard limit does not allow as many.
 */
MUST_USE uint64_t fd_limit_raise(uint64_t want);

/*
 * Return true if accept(2) has failed with this errno because this process or
 * the system is out of descriptors or memory.  The caller must not watch the
 * listener for a while, as it would stay readable and keep the loop busy.
 * Other errors concern one connection, which is gone.
 */
bool fd_limit_stops_accept(int err);

#endif
