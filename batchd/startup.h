/*
 * startup - open what batchd serves, and close it: the log, the sinks' cursors
 * and the socket.
 */
#ifndef BATCHD_STARTUP_H
#define BATCHD_STARTUP_H

#include "batchd/server.h"

/*
 * Open the log, the cursors and the socket.  Returns 0; EXIT_CONFIG when a
 * restart cannot help; or EXIT_FAILURE.  Why was logged then.  startup_close
 * must follow in any case.  The server borrows the settings.
 */
MUST_USE int startup_open(struct server *s,
                          const struct batchd_settings *settings);

/*
 * Finish the log if server_run did not fail, write the cursors, and free all.
 * Returns EXIT_SUCCESS, or EXIT_FAILURE when the log's last sync has failed.
 */
MUST_USE int startup_close(struct server *s);

#endif
