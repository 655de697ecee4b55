/* folder - make folders that outlast a power cut. */
#ifndef LIBBASE_FOLDER_H
#define LIBBASE_FOLDER_H

#include "libbase/base.h"

/*
 * Make a folder (mode 0750) unless it is there.  A new one is durable when
 * this returns: what it lies in was synced, too.  Returns 0 or -errno.
 */
MUST_USE int folder_make(const char *path);

/* Make the names in a folder durable.  Returns 0 or -errno. */
MUST_USE int folder_sync(const char *path);

#endif
