/*
 * stop - SIGTERM and SIGINT: asked once, the sink drains and ends; asked
 * twice, it ends at once (it is crash-only: nothing is lost either way).
 *
 * One per process, main thread.
 */
#ifndef LIBSINK_STOP_H
#define LIBSINK_STOP_H

#include <stdbool.h>

#include "libbase/base.h"

/* Install the handlers; ignore SIGPIPE.  Returns 0 or -errno. */
MUST_USE int stop_init(void);

bool stop_asked(void);

/*
 * Block until fd (-1: none) has one of `events`, or is hung up.  Returns 0,
 * -ETIMEDOUT after timeout_ms, or -EINTR as soon as, and as long as, a stop
 * is asked.
 */
MUST_USE int stop_wait(int fd, short events, int timeout_ms);

#endif
