/* directory - make directories that outlast a power cut. */
#ifndef LIBBASE_DIRECTORY_H
#define LIBBASE_DIRECTORY_H

#include "libbase/base.h"

/*
 * Make a folder (mode 0750) unless it is there.  A new one is durable when
 * this returns: what it lies in was synced, too.  Returns 0 or -errno.
 */
MUST_USE int directory_make(const char *path);

/* Make the names in a folder durable.  Returns 0 or -errno. */
MUST_USE int directory_sync(const char *path);

#endif
