/*
 * auth - find the token that a request carries.
 *
 * A client sends its token as `Authorization: Bearer TOKEN`.  A client that
 * cannot do so may use `Authorization: Basic`, with the token as the password
 * of any user, or as the user name with an empty password.  A token that is
 * marked public may also be the parameter `token` of the URL, for web pages
 * that cannot set a header.
 */
#ifndef LIBHTTP_AUTH_H
#define LIBHTTP_AUTH_H

#include "libhttp/head.h"
#include "libhttp/tokens.h"

/* Longest token, and longest decoded Basic credentials, in bytes. */
#define AUTH_SECRET_MAX 512

/*
 * Find the token of a request.  *token is the token, without a new reference,
 * or NULL if the request has none or an unknown one.  Returns true if the
 * request has an Authorization header, whether its token is known or not.
 */
bool auth_find(const struct tokens *tokens, const struct http_head *head,
               struct token **token);

#endif
