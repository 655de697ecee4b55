/*
 * fd_limit - how many file descriptors this process may have.
 */
#ifndef LIBBASE_FD_LIMIT_H
#define LIBBASE_FD_LIMIT_H

#include <stdint.h>

#include "libbase/base.h"

/*
 * Raise the soft limit to `want` descriptors if it is lower.  Returns `want`,
 * or the limit that is in force if the hard limit does not allow as many.
 */
MUST_USE uint64_t fd_limit_raise(uint64_t want);

#endif
