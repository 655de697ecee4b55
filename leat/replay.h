/*
 * replay - `leat replay` and `leat skip`: move the position of a sink back or
 * ahead.
 *
 * Both show what they would do, and do it only with --execute.  The position in
 * the store and batchd's cursor are moved as one order, which goes on after a
 * crash at any step.  The exit status is EXIT_SUCCESS when it was done, or only
 * shown and could be done; EXIT_NOT_WELL when it is refused or --timeout is
 * over; EXIT_CONFIG when an option has a wrong value; and EXIT_FAILURE when
 * batchd does not answer.
 */
#ifndef LEAT_REPLAY_H
#define LEAT_REPLAY_H

#include "leat/verb.h"

extern const struct verb replay_verb;
extern const struct verb skip_verb;

#endif
