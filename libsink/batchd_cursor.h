/*
 * batchd_cursor - batchd's committed offset for a sink.  batchd does not send
 * events below it again.
 */
#ifndef LIBSINK_BATCHD_CURSOR_H
#define LIBSINK_BATCHD_CURSOR_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/frame.h"

struct batchd_cursor {
	char stream[FRAME_STREAM_MAX + 1]; /* of batchd's log */
	uint64_t committed;
};

/*
 * Ask the batchd at `socket`.  Returns 0; ERR_UNKNOWN_SINK when it does not
 * know the sink; ERR_BATCHD_UNREACHABLE when it is not running or does not
 * answer, after the reason was logged; or -ENOMEM.
 */
MUST_USE int batchd_cursor_ask(struct batchd_cursor *s, const char *socket,
                               const char *sink);

#endif
