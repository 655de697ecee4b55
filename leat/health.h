/*
 * health - `leat health`: do batchd and ingestd answer?
 *
 * For containers, which have no shell.  The exit status is EXIT_SUCCESS when
 * batchd replies and ingestd is ready; EXIT_NOT_WELL when ingestd answers that
 * it is not; EXIT_FAILURE when one of them does not answer.
 */
#ifndef LEAT_HEALTH_H
#define LEAT_HEALTH_H

#include "leat/verb.h"

extern const struct verb health_verb;

#endif
