/*
 * dlq_scan - which event each letter of a file is of, whatever the file holds.
 */
#ifndef LIBSINK_DLQ_SCAN_H
#define LIBSINK_DLQ_SCAN_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/*
 * Called for each whole line; stream is NULL when it is no letter.  Returns
 * 0, or -errno to end.
 */
typedef int (*dlq_on_key)(void *arg, const struct slice *stream,
                          uint64_t offset);

/*
 * Read fd from where it is to its end, in little memory.  Returns 0, -errno,
 * or what f ended with.
 */
MUST_USE int dlq_scan(int fd, dlq_on_key f, void *arg);

#endif
