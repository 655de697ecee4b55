/*
 * fd_limit - how many descriptors a process may have.
 */
#ifndef LIBBASE_FD_LIMIT_H
#define LIBBASE_FD_LIMIT_H

#include <stdint.h>

#include "libbase/base.h"

/*
 * See that there can be `want` descriptors, raising the soft limit if that is
 * lower.  Returns how many there can be: less than `want` where the hard limit
 * is.
 */
MUST_USE uint64_t fd_limit_raise(uint64_t want);

#endif
