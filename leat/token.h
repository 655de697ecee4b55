/* token - the verb that makes a token for ingestd's tokens_file. */
#ifndef LEAT_TOKEN_H
#define LEAT_TOKEN_H

#include "libbase/base.h"

/*
 * Make a token called `name`: its line for the file goes to standard output,
 * the token itself to standard error, once; nothing else knows it.  Returns
 * the exit status.
 */
MUST_USE int token_make(const char *name);

#endif
