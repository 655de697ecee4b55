/*
 * check - `leat check`: whether leat would work with the settings as they are.
 *
 * Each line has a mark, what it is about, and what was found; a line without a
 * tick ends with what to do.  The daemons may run or not.  Nothing is changed.
 *
 * The settings, the directories, the disk of the log, and the stores of all
 * sinks that batchd has are checked; each store by the sink's own program, as
 * the user of the daemons.
 */
#ifndef LEAT_CHECK_H
#define LEAT_CHECK_H

#include "leat/verb.h"

extern const struct verb check_verb;

#endif
