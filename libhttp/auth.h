/*
 * auth - which token a request carries.
 *
 * A token comes as `Authorization: Bearer TOKEN`; or, for senders that can do
 * no other, as `Authorization: Basic`, with the token as the password of any
 * user, or as the user name without a password; or, if the token is marked
 * public, as the parameter `token` of the URL, for pages that can set no
 * header.
 */
#ifndef LIBHTTP_AUTH_H
#define LIBHTTP_AUTH_H

#include "libhttp/head.h"
#include "libhttp/tokens.h"

/* Longest token, and longest decoded Basic credentials, in bytes. */
#define AUTH_SECRET_MAX 512

/*
 * Find the token of a request.  *token is the token, not referenced, or NULL
 * if the request has none that is known.  Returns true if the request has an
 * Authorization header, known or not.
 */
bool auth_find(const struct tokens *tokens, const struct http_head *head,
               struct token **token);

#endif
