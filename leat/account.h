/*
 * account - `leat account`: whether the stores have what batchd reports as
 * stored.
 *
 * Each store is asked how many events it has; batchd knows how many of those it
 * accepted were stored, became dead letters, were dropped or skipped, or wait.
 * Events may come meanwhile: the status is read before and after, and the store
 * must have a number in between.
 */
#ifndef LEAT_ACCOUNT_H
#define LEAT_ACCOUNT_H

#include "leat/verb.h"

extern const struct verb account_verb;

#endif
