/* directory - create directories that survive a power failure. */
#ifndef LIBBASE_DIRECTORY_H
#define LIBBASE_DIRECTORY_H

#include <stdbool.h>

#include "libbase/base.h"

/*
 * Create a directory with mode 0750, unless it exists.  A new one is durable
 * when this returns, because its parent was synced.  Returns 0 or -errno.
 */
MUST_USE int directory_make(const char *path);

/* Make the names in a directory durable.  Returns 0 or -errno. */
MUST_USE int directory_sync(const char *path);

/*
 * Shorten a path to that of the directory that contains it, as dirname(3) does,
 * in place: "a" becomes ".", for which the path needs room for 2 bytes.
 * Returns false, and leaves the path as it is, if it is "/" or ".".
 */
bool directory_parent(char *path);

#endif
