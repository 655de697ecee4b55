/*
 * fds - how many descriptors a process may have.
 */
#ifndef LIBBASE_FDS_H
#define LIBBASE_FDS_H

#include <stdint.h>

#include "libbase/base.h"

/*
 * See that there can be `want` descriptors, raising the soft limit if that is
 * lower.  Returns how many there can be: less than `want` where the hard limit
 * is.
 */
MUST_USE uint64_t fds_want(uint64_t want);

#endif
