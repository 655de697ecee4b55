/*
 * auth - the Authorization header: Bearer, or Basic with any user name and
 * the token as password, for senders that can do no other.
 */
#ifndef INGESTD_AUTH_H
#define INGESTD_AUTH_H

#include "ingestd/tokens.h"

/* Longest token, and longest decoded Basic credentials, in bytes. */
#define AUTH_SECRET_MAX 512

/* The token that the header's value names, or NULL. */
struct token *auth_find(const struct tokens *tokens, const char *header);

#endif
