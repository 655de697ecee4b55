/*
 * request_head - what ingestd reads from the head of a request: which
 * resource it is for, and how the events in its body are encoded.
 */
#ifndef INGESTD_REQUEST_HEAD_H
#define INGESTD_REQUEST_HEAD_H

#include <stdbool.h>

#include "ingestd/inflate.h"
#include "ingestd/responses.h"
#include "ingestd/settings.h"
#include "libbase/base.h"
#include "libbase/slice.h"
#include "libhttp/http.h"

enum route {
	ROUTE_NONE,
	ROUTE_ROOT, /* "/" and "*": for OPTIONS only */
	ROUTE_EVENTS,
	ROUTE_HEALTH,
	ROUTE_READY,
	ROUTE_METRICS
};

struct request_head {
	enum route route;
	enum encoding encoding;
	bool ndjson;
	bool partial;
	bool preflight;
	bool has_origin;     /* and cors_origins is set */
	struct slice origin; /* in cors_origins; data is NULL if not listed */
};

/*
 * Read the head up to the point where the sender must be authorized.  Returns
 * RESPONSE_NONE, or the response to a request that needs no authorization,
 * such as the OPTIONS request that a browser sends before the events.
 */
MUST_USE enum fixed_response
request_head_route(struct request_head *rh, const struct http_head *head,
                   const struct ingestd_settings *settings);

/*
 * Read the rest of it.  Returns RESPONSE_NONE, or the response that refuses
 * the request.
 */
MUST_USE enum fixed_response
request_head_read(struct request_head *rh, const struct http_head *head,
                  const struct ingestd_settings *settings);

#endif
