/*
 * cors - which web pages may talk to a server: the origins of a setting.
 *
 * Without origins a page's Origin header means nothing, and no CORS header is
 * sent.  With them, requests of any other origin are to be refused: a browser
 * would send them all the same, and only keep the answer from the page.
 */
#ifndef LIBHTTP_CORS_H
#define LIBHTTP_CORS_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/slice.h"

/* What a page may keep a preflight's answer for; browsers limit it too. */
#define CORS_MAX_AGE_S "7200"

/*
 * Check the setting: origins with blanks between them, or "*" alone.  Returns
 * NULL, or what is wrong with it.
 */
const char *cors_check(const char *origins);

/*
 * Find the origin that a request's Origin header names in the setting.
 * Returns a slice of `origins`; its data is NULL if the origin is not listed.
 */
struct slice cors_find(const char *origins, struct slice origin);

/*
 * Append the header lines of an answer to a page: `allowed` is what cors_find
 * found.  To a preflight they say what may follow it.  Returns 0 or -ENOMEM.
 */
MUST_USE int cors_add(struct buf *headers, const char *origins,
                      struct slice allowed, bool preflight);

#endif
