/*
 * response - the head of a response, and the body of an error (inside libhttp;
 * programs want http.h).
 */
#ifndef LIBHTTP_RESPONSE_H
#define LIBHTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/base.h"
#include "libhttp/http.h"

/*
 * Write the head of an answer into the server's scratch buffer, which it
 * empties first.  Returns 0 or -ENOMEM.
 */
MUST_USE int response_head(struct http_server *s, const struct http_response *a,
                           const struct http_request *rq, bool closes,
                           bool streams);

/*
 * Write the body of an error, {"error":NAME,"reason":WHY}, and return its
 * length.  A reason that is too long is cut.
 */
#define RESPONSE_ERROR_BYTES 1024
size_t response_error_body(char out[RESPONSE_ERROR_BYTES], unsigned status,
                           const char *why);

#endif
