/*
 * responses - the responses whose text never changes (a status, a JSON text,
 * and the header lines that belong to the status), and Retry-After.
 */
#ifndef INGESTD_RESPONSES_H
#define INGESTD_RESPONSES_H

#include <stdint.h>

#include "libhttp/http.h"
#include "libhttp/tokens.h"

enum fixed_response {
	RESPONSE_NONE, /* none: the request may continue */
	RESPONSE_OK,
	RESPONSE_PREFLIGHT,
	RESPONSE_OPTIONS_EVENTS,
	RESPONSE_OPTIONS_GET,
	RESPONSE_OPTIONS_ANY,
	RESPONSE_UNAUTHORIZED,
	RESPONSE_FORBIDDEN,
	RESPONSE_BAD_ORIGIN,
	RESPONSE_RATE_LIMITED, /* status only: the text has the time */
	RESPONSE_NOT_FOUND,
	RESPONSE_BAD_PARTIAL,
	RESPONSE_POST_ONLY,
	RESPONSE_GET_ONLY,
	RESPONSE_NO_BODY,
	RESPONSE_TOO_LARGE,
	RESPONSE_TOO_MANY_EVENTS,
	RESPONSE_MEDIA_TYPE,
	RESPONSE_ENCODING,
	RESPONSE_BAD_COMPRESSION,
	RESPONSE_OVERLOADED,
	RESPONSE_STOPPING,
	RESPONSE_TIMED_OUT,    /* append_timeout_ms has passed */
	RESPONSE_DISCONNECTED, /* the connection to batchd was lost */
	RESPONSE_UNAVAILABLE,  /* status only: the text has the reason */
	RESPONSE_COUNT,
};

/* Return the response; its texts are static. */
struct http_response response_fixed(enum fixed_response response);

/*
 * Return the seconds after which a request that is refused with this status
 * may be sent again, or 0 if waiting does not help.  For 429, `events` is the
 * number of events that the token's rate must allow by then; token may be NULL.
 */
unsigned response_retry_after_s(unsigned status, struct token *token,
                                uint64_t events);

#endif
