/* request_begin - what a request's headers say.  See request_parts.h. */
#include "ingestd/request_parts.h"

#include <string.h>
#include <strings.h>

#include "ingestd/cors.h"
#include "ingestd/headers.h"
#include "libbase/clock.h"

/* A body is given so much at once; more as it comes, not as announced. */
#define BODY_FIRST_MAX (256 * KIB)

static bool
read_partial(struct request *rq)
{
	const char *value = MHD_lookup_connection_value(
	    rq->c, MHD_GET_ARGUMENT_KIND, "partial");

	if (!value)
		return rq->all->settings->partial;
	return strcmp(value, "1") == 0 || strcmp(value, "yes") == 0;
}

static enum route
route_of(const char *url)
{
	if (strcmp(url, "/v1/events") == 0)
		return ROUTE_EVENTS;
	if (strcmp(url, "/healthz") == 0)
		return ROUTE_HEALTH;
	if (strcmp(url, "/readyz") == 0)
		return ROUTE_READY;
	return strcmp(url, "/metrics") == 0 ? ROUTE_METRICS : ROUTE_NONE;
}

static void
begin_events(struct request *rq, const char *method, uint64_t announced)
{
	const struct settings *s = rq->all->settings;
	size_t first =
	    announced < BODY_FIRST_MAX ? (size_t)announced : BODY_FIRST_MAX;
	const char *why;

	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) {
		request_refuse(rq, REPLY_POST_ONLY);
		return;
	}
	rq->encoding =
	    encoding_of(headers_get(rq->c, MHD_HTTP_HEADER_CONTENT_ENCODING));
	rq->partial = read_partial(rq);
	if (!headers_events_type(rq->c, &rq->ndjson))
		request_refuse(rq, REPLY_MEDIA_TYPE);
	else if (rq->encoding == ENCODING_OTHER)
		request_refuse(rq, REPLY_ENCODING);
	else if (announced > (uint64_t)s->max_body_bytes)
		request_refuse(rq, REPLY_TOO_LARGE);
	else if (rq->all->stopping)
		request_refuse(rq, REPLY_STOPPING);
	else if (!upstream_takes(rq->all->upstream, &why))
		request_refuse(rq, REPLY_UNAVAILABLE);
	else if (announced > budget_left(rq->all->budget) ||
	         buf_reserve(&rq->body, first + JSON_PADDING) < 0)
		request_refuse(rq, REPLY_OVERLOADED);
	else if (rq->token && !token_may(rq->token, clock_mono_ms()))
		request_refuse(rq, REPLY_LIMITED);
}

static void
begin_get(struct request *rq, const char *method)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		request_refuse(rq, REPLY_GET_ONLY);
}

/*
 * What a page's browser asks first, always without a token.  Returns whether
 * it is that, or refused.
 */
static bool
begin_of_page(struct request *rq, const char *method)
{
	const struct settings *s = rq->all->settings;

	if (!s->cors_origins[0])
		return false;
	rq->origin = headers_get(rq->c, MHD_HTTP_HEADER_ORIGIN);
	if (!rq->origin)
		return false;
	if (!cors_allows(s->cors_origins, rq->origin)) {
		request_refuse(rq, REPLY_ORIGIN);
		return true;
	}
	rq->preflight =
	    strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0 &&
	    headers_get(rq->c, MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_METHOD);
	if (rq->preflight)
		request_refuse(rq,
		               REPLY_PREFLIGHT); /* its answer, body or not */
	return rq->preflight;
}

static void
begin_route(struct request *rq, const char *method, uint64_t announced)
{
	enum fixed_reply why = REPLY_OK;

	if (rq->route == ROUTE_NONE) {
		request_refuse(rq, REPLY_NOT_FOUND);
		return;
	}
	if (rq->route == ROUTE_EVENTS && begin_of_page(rq, method))
		return;
	if (rq->route == ROUTE_EVENTS || rq->route == ROUTE_METRICS)
		why = admit(&rq->all->admission, rq->c,
		            rq->route == ROUTE_METRICS, &rq->token);
	if (why != REPLY_OK)
		request_refuse(rq, why);
	else if (rq->route == ROUTE_EVENTS)
		begin_events(rq, method, announced);
	else
		begin_get(rq, method);
}

enum MHD_Result
request_begin(struct request *rq, const char *url, const char *method)
{
	const struct settings *s = rq->all->settings;
	const union MHD_ConnectionInfo *headers = MHD_get_connection_info(
	    rq->c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	const char *expect = headers_get(rq->c, MHD_HTTP_HEADER_EXPECT);
	uint64_t announced = headers_body_bytes(rq->c);

	rq->all->counters->requests++;
	/* Answering here, before the body, closes the connection. */
	if (headers && headers->header_size > (size_t)s->max_header_bytes)
		return request_send_fixed(rq, REPLY_HEADERS);
	if (!headers_framing_sound(rq->c))
		return request_send_fixed(rq, REPLY_FRAMING);

	rq->route = route_of(url);
	begin_route(rq, method, announced);
	/* Who may not send keeps no place with it: see places.h. */
	if (rq->phase == PHASE_BODY)
		http_phase(rq->all->http, rq->c, PLACE_BUSY);

	/* A client that asked before sending is spared the sending. */
	if (rq->phase == PHASE_DISCARD && rq->refusal != REPLY_UNAVAILABLE &&
	    (announced > 2 * (uint64_t)s->max_body_bytes ||
	     (announced > 0 && expect &&
	      strcasecmp(expect, "100-continue") == 0)))
		return request_send_fixed(rq, rq->refusal);
	return MHD_YES;
}
