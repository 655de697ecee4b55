/*
 * daemon - run ingestd: its parts on one event loop, its signals, and draining
 * when it stops.
 */
#ifndef INGESTD_DAEMON_H
#define INGESTD_DAEMON_H

#include "ingestd/settings.h"
#include "libbase/base.h"

/*
 * Serve until SIGTERM or SIGINT, then drain.  Returns 0, or a negative error
 * if ingestd could not start, after logging the reason.
 */
MUST_USE int daemon_run(const struct ingestd_settings *settings);

#endif
