/* send - `leat send`: send the events of a file or of standard input. */
#ifndef LEAT_SEND_H
#define LEAT_SEND_H

#include "leat/verb.h"

extern const struct verb send_verb;

#endif
