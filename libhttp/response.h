/*
 * response - the head of a response, and the body of an error (inside libhttp;
 * programs include http.h).
 */
#ifndef LIBHTTP_RESPONSE_H
#define LIBHTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "libbase/base.h"
#include "libhttp/http.h"

/*
 * Write the head of a response into the server's scratch buffer, which it
 * empties first.  `closes` announces that the connection closes afterwards;
 * `streams` means that the length of the content is not known.  Returns 0 or
 * -ENOMEM.
 */
MUST_USE int response_head(struct http_server *s,
                           const struct http_response *response,
                           const struct http_request *rq, bool closes,
                           bool streams);

/*
 * Write the body of an error, {"error":NAME,"reason":WHY}, and return its
 * length.  A long reason is cut to some 500 bytes.
 */
#define RESPONSE_ERROR_BYTES 1024
size_t response_error_body(char out[RESPONSE_ERROR_BYTES], unsigned status,
                           const char *why);

#endif
