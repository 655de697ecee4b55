/*
 * dlq_scan - find the stream and offset of each record in a file, whatever else
 * the file contains.
 */
#ifndef LIBSINK_DLQ_SCAN_H
#define LIBSINK_DLQ_SCAN_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"

/*
 * Called for each whole line.  stream is NULL if the line is no record.
 * Returns 0 to go on, or -errno to end the scan.
 */
typedef int (*dlq_on_key)(void *arg, const struct slice *stream,
                          uint64_t offset);

/*
 * Read fd from its present offset to the end of the file, in little memory.
 * Returns 0, -errno, or what f returned to end the scan.
 */
MUST_USE int dlq_scan(int fd, dlq_on_key f, void *arg);

#endif
