/*
 * check - `leat check`: check all sections of the settings file.
 *
 * Only the program that owns a section can check it, and a sink may not be part
 * of leat at all.  Therefore each installed program is run with --check, and
 * their findings are merged.  Files are read, but stores are not contacted.
 *
 * The exit status is EXIT_SUCCESS without errors, even if there are warnings;
 * EXIT_CONFIG with errors; EXIT_FAILURE when a program could not be run.
 */
#ifndef LEAT_CHECK_H
#define LEAT_CHECK_H

#include "leat/verb.h"

extern const struct verb check_verb;

#endif
