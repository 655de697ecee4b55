/* token - `leat token`: make a token for ingestd's tokens_file. */
#ifndef LEAT_TOKEN_H
#define LEAT_TOKEN_H

#include "libbase/base.h"

/*
 * Make a token with the name `name`.  Prints its line for the file to standard
 * output, and the token itself to standard error.  The token is kept nowhere
 * else, so it cannot be shown again.  Returns the exit status.
 */
MUST_USE int token_make(const char *name);

#endif
