/*
 * heads - which event each letter of a file is of, whatever the file holds.
 */
#ifndef LIBSINK_HEADS_H
#define LIBSINK_HEADS_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/*
 * Called for each whole line; stream is NULL when it is no letter.  Returns
 * 0, or -errno to end.
 */
typedef int (*on_head)(void *arg, const struct slice *stream, uint64_t offset);

/*
 * Read fd from where it is to its end, in little memory.  Returns 0, -errno,
 * or what f ended with.
 */
MUST_USE int heads_read(int fd, on_head f, void *arg);

#endif
