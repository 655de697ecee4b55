/*
 * cors - cross-origin resource sharing: which web pages may use a server.  The
 * allowed origins are a setting.
 *
 * If the setting is empty, a request's Origin header is ignored, and no CORS
 * header is sent.  Otherwise the program should refuse requests of all other
 * origins: a browser sends them nevertheless, and only withholds the response
 * from the page.
 */
#ifndef LIBHTTP_CORS_H
#define LIBHTTP_CORS_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/slice.h"

/* How long a browser may cache the response to a preflight request. */
#define CORS_MAX_AGE_S "7200"

/*
 * Check the setting, which must be origins separated by blanks, or "*" alone.
 * Returns NULL, or what is wrong with it, a static text.
 */
const char *cors_check(const char *origins);

/*
 * Find the origin of a request's Origin header in the setting.  Returns a
 * slice of `origins`, whose data is NULL if the origin is not listed.
 */
struct slice cors_find(const char *origins, struct slice origin);

/*
 * Append the CORS headers of a response to a page; `allowed` is what cors_find
 * returned.  In the response to a preflight request they also list the methods
 * and headers that the page may use.  A failure is kept in headers->error.
 */
void cors_add(struct buf *headers, const char *origins, struct slice allowed,
              bool preflight);

#endif
