/*
 * stop - SIGTERM and SIGINT.  After the first signal the sink drains and ends;
 * after the second it ends at once.  Nothing is lost either way.
 *
 * SIGHUP changes nothing, since a sink reads its settings only at its start.
 * It is blocked, so that it interrupts no call; stop_hangup reports it.
 *
 * One per process, main thread.
 */
#ifndef LIBSINK_STOP_H
#define LIBSINK_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

/*
 * Install the handlers, ignore SIGPIPE, and block SIGHUP, which holds for
 * threads that are started later, too.  Returns 0 or -errno.
 */
MUST_USE int stop_init(void);

bool stop_asked(void);

/* When the first signal came, by clock_mono_ms, if stop_asked. */
uint64_t stop_asked_ms(void);

/* Return true if a SIGHUP has come since the last call. */
bool stop_hangup(void);

/*
 * Bound the time after a stop.  When `ms` have passed (in whole seconds,
 * rounded up), the process ends with status 0 as soon as it is `hanging`.
 */
void stop_bound(int64_t ms);

/*
 * Set whether the process is in a call that can hang and that leaves nothing
 * half done when the process ends in it: opening or closing the store.  Returns
 * the value from before.
 */
bool stop_hanging(bool hanging);

/*
 * Block until fd (-1: none) has one of `events`, or is hung up.  Returns 0,
 * -ETIMEDOUT after timeout_ms, or ERR_STOPPED if a stop was requested, now or
 * earlier.
 */
MUST_USE int stop_wait(int fd, short events, int timeout_ms);

#endif
