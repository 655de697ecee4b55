/*
 * token - `leat token`: make a token for ingestd's tokens_file.
 *
 * The token is kept nowhere, so it cannot be shown again.
 */
#ifndef LEAT_TOKEN_H
#define LEAT_TOKEN_H

#include "leat/verb.h"

extern const struct verb token_verb;

#endif
