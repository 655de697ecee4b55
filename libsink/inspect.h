/*
 * inspect - look at the store without being the sink: --check-store for
 * `leat check`, and --count for `leat account`.
 *
 * Nothing is written, and a sink that is at work is not disturbed.  batchd need
 * not run, so the caller has to name the stream.
 */
#ifndef LIBSINK_INSPECT_H
#define LIBSINK_INSPECT_H

#include "libsink/sink_conf.h"

/*
 * Check the store and print what was found, as in finding.h.  Returns the exit
 * status: EXIT_SUCCESS even if something is wrong.
 */
MUST_USE int inspect_check(const struct sink_conf *settings);

/*
 * Count what the store has.  Prints a line "KEY VALUE" for each figure of
 * struct sink_count that the store can tell, and a line "note TEXT" for each
 * reason why it cannot tell more.  Returns EXIT_SUCCESS, EXIT_FAILURE after
 * logging why the store could not be asked, or EXIT_CONFIG.
 */
MUST_USE int inspect_count(const struct sink_conf *settings);

#endif
