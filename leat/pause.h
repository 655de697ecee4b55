/*
 * pause - `leat pause` and `leat resume`: stop one sink for a time.
 *
 * A pause is durable, so it lasts through restarts of everything.  The exit
 * status is EXIT_SUCCESS when nothing is in flight any more, EXIT_NOT_WELL when
 * batchd refuses or --timeout is over, EXIT_CONFIG when an option has a wrong
 * value, and EXIT_FAILURE when batchd does not answer.
 */
#ifndef LEAT_PAUSE_H
#define LEAT_PAUSE_H

#include "leat/verb.h"

extern const struct verb pause_verb;
extern const struct verb resume_verb;

#endif
