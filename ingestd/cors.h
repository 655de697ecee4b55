/*
 * cors - which web pages may talk to us: the origins of cors_origins.
 *
 * Without origins a page's Origin header means nothing here and no CORS
 * header is sent.  With them, requests of any other origin are refused:
 * a browser would send them all the same and only keep the answer from the
 * page.
 */
#ifndef INGESTD_CORS_H
#define INGESTD_CORS_H

#include <stdbool.h>

#include <microhttpd.h>

#include "libbase/base.h"

/* What a page may keep a preflight's answer for; browsers cap it too. */
#define CORS_MAX_AGE_S "7200"

/*
 * Whether `origins`, the setting, is well-formed.  Returns NULL, or what is
 * wrong with it.
 */
const char *cors_check(const char *origins);

/* Whether one of `origins` is `origin`, a header's value. */
bool cors_allows(const char *origins, const char *origin);

/*
 * Add what a browser asks for to an answer: to a request of `origin`, which
 * was allowed or not, and to a preflight what may follow.  Returns MHD_YES,
 * or MHD_NO when out of memory.
 */
MUST_USE enum MHD_Result cors_add(struct MHD_Response *r, const char *origins,
                                  const char *origin, bool preflight);

#endif
