/*
 * dead - `leat dead`: look at a sink's dead letters, which needs no daemon, and
 * have the sink retry or drop them.
 */
#ifndef LEAT_DEAD_H
#define LEAT_DEAD_H

#include "leat/verb.h"

extern const struct verb dead_ls_verb, dead_show_verb, dead_retry_verb,
    dead_drop_verb;

#endif
