/*
 * request - answer the dashboard's HTTP requests.
 *
 * request_on_head applies the one check (access.h) to every request but
 * /healthz, and answers what needs no body.  request_on_body answers the rest;
 * /event/OFFSET is answered later, when batchd has sent the event, and /stream
 * over time.
 */
#ifndef SINKD_DASHBOARD_REQUEST_H
#define SINKD_DASHBOARD_REQUEST_H

#include <stdbool.h>

#include "libbase/buf.h"
#include "libhttp/http.h"
#include "sinkd-dashboard/access.h"
#include "sinkd-dashboard/event_fetch.h"
#include "sinkd-dashboard/model.h"
#include "sinkd-dashboard/viewers.h"

/* What all requests share. */
struct requests {
	const struct dashboard_settings *settings;
	struct access *access;
	struct model *model;
	struct viewers *viewers;
	struct event_fetches *fetches;
	uint64_t count;           /* requests since the start */
	struct buf headers, text; /* of the response that is being written */
};

/* The caller sets the pointers first.  Returns 0 or -ENOMEM; requests_close
 * must be called in either case. */
MUST_USE int requests_open(struct requests *rs);
void requests_close(struct requests *rs);

/* Return the callbacks for the HTTP server. */
struct http_handler requests_handler(struct requests *rs);

/* For event_fetches_open. */
void request_on_fetched(void *owner, enum fetch_result result, uint64_t offset,
                        const struct event *event);

#endif
