/*
 * daemon - ingestd as a whole: its parts on one loop, signals, the draining
 * at the end.
 */
#ifndef INGESTD_DAEMON_H
#define INGESTD_DAEMON_H

#include "ingestd/settings.h"
#include "libbase/base.h"

/*
 * Serve until SIGTERM or SIGINT, then drain.  Returns 0, or -errno when it
 * could not start, after saying why in the log.
 */
MUST_USE int daemon_run(const struct ingestd_settings *settings);

#endif
