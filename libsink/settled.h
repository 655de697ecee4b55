/*
 * settled - how far batchd has taken the sink: what is below never comes
 * from the log again.
 */
#ifndef LIBSINK_SETTLED_H
#define LIBSINK_SETTLED_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/frame.h"

struct settled {
	char stream[FRAME_STREAM_MAX + 1]; /* of batchd's log */
	uint64_t committed;
};

/*
 * Ask the batchd at `socket`.  Returns 0; -ENXIO when it does not know the
 * sink; -ENOTCONN when it is not there or does not answer, after saying so; or
 * -ENOMEM.
 */
MUST_USE int settled_ask(struct settled *s, const char *socket,
                         const char *sink);

#endif
