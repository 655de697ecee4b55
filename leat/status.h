/*
 * status - `leat status`: show the status of the log, daemons and sinks.
 *
 * The text names the files of dead letters as the settings set them.  The exit
 * status is EXIT_SUCCESS when batchd reports no problem, EXIT_NOT_WELL when it
 * does, EXIT_FAILURE when it does not answer.
 */
#ifndef LEAT_STATUS_H
#define LEAT_STATUS_H

#include "leat/verb.h"

extern const struct verb status_verb;

#endif
