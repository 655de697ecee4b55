/*
 * tail - `leat tail`: show events of the log, and follow it as it grows.
 *
 * Prints columns on a terminal, otherwise one line of JSON for each event.
 * Events that are skipped, and a lost connection, are reported on standard
 * error.  SIGINT ends the process with EXIT_SUCCESS.  So does the end that was
 * asked for, and an output that nothing reads any more.  The exit status is
 * EXIT_CONFIG if an option has a wrong value, and EXIT_FAILURE, after logging
 * why, if batchd is unreachable or the output cannot be written.
 */
#ifndef LEAT_TAIL_H
#define LEAT_TAIL_H

#include "leat/verb.h"

extern const struct verb tail_verb;

#endif
