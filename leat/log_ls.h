/*
 * log_ls - `leat log ls`: list the segments of the log on disk.
 *
 * It reads the headers, and the records of the newest segment, and takes no
 * lock, as `leat log verify`.  The exit status is EXIT_NOT_WELL when a header
 * is damaged, EXIT_FAILURE when the log cannot be read.
 */
#ifndef LEAT_LOG_LS_H
#define LEAT_LOG_LS_H

#include "leat/verb.h"

extern const struct verb log_ls_verb;

#endif
