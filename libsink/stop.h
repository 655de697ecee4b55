/*
 * stop - SIGTERM and SIGINT: asked once, the sink drains and ends; asked
 * twice, it ends at once (it is crash-only: nothing is lost either way).
 *
 * SIGHUP changes nothing, since a sink reads its settings only at its start.
 * It is blocked, so that it interrupts no call; stop_hangup tells of it.
 *
 * One per process, main thread.
 */
#ifndef LIBSINK_STOP_H
#define LIBSINK_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

/*
 * Install the handlers; ignore SIGPIPE; block SIGHUP, in threads that are
 * started later as well.  Returns 0 or -errno.
 */
MUST_USE int stop_init(void);

bool stop_asked(void);

/* Whether a SIGHUP has come since the last call. */
bool stop_hangup(void);

/*
 * Bound what comes after a stop: once `ms` have passed (in whole seconds,
 * rounded up), the process ends with status 0 as soon as it is `hanging`.
 */
void stop_bound(int64_t ms);

/*
 * Whether the process is in a call that can hang and that leaves nothing
 * half done when the process ends in it: opening the store, or closing it.
 * Returns what it was before.
 */
bool stop_hanging(bool hanging);

/*
 * Block until fd (-1: none) has one of `events`, or is hung up.  Returns 0,
 * -ETIMEDOUT after timeout_ms, or ERR_STOPPED as soon as, and as long as, a
 * stop is asked.
 */
MUST_USE int stop_wait(int fd, short events, int timeout_ms);

#endif
