/* control_request - one control request to batchd, and its reply. */
#ifndef LIBPROTO_CONTROL_REQUEST_H
#define LIBPROTO_CONTROL_REQUEST_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/frame.h"

/* The frame of a control verb without arguments.  Keeps `verb`. */
struct frame control_frame(uint64_t id, const char *verb);

/*
 * Send the control verb to the batchd at `socket` and wait for its reply.  The
 * reply is received into out (FRAME_MAX bytes), and *body points to its map
 * there.  The map is complete, so a decoder that allocates memory for each
 * value is bounded by the number of bytes.
 * Returns the body's length, or a negative error: -ENOENT and -ECONNREFUSED
 * mean that batchd is not running, -EBUSY that it accepts no connection,
 * -ETIMEDOUT that it does not reply, both within 5 s, ERR_BATCHD_REFUSED that
 * it sent an error frame, and -EOPNOTSUPP that it does not know the verb.
 */
MUST_USE int control_request(const char *socket, const char *verb, uint8_t *out,
                             const uint8_t **body);

#endif
