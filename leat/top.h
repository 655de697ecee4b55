/*
 * top - `leat top`: a live page of the sinks in the terminal.
 *
 * The process waits for keys, for batchd and for signals at once, and for none
 * of them alone: batchd may be stopped, frozen or restarted meanwhile.
 */
#ifndef LEAT_TOP_H
#define LEAT_TOP_H

#include "leat/verb.h"

extern const struct verb top_verb;

#endif
