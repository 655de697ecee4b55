/* request_head - see request_head.h. */
#include "ingestd/request_head.h"

#include <errno.h>
#include <string.h>

#include "libhttp/cors.h"

static enum route
route_of(struct slice path)
{
	static const struct {
		const char *path;
		enum route route;
	} routes[] = {
	    {"/", ROUTE_ROOT},
	    {"*", ROUTE_ROOT},
	    {"/v1/events", ROUTE_EVENTS},
	    {"/healthz", ROUTE_HEALTH},
	    {"/readyz", ROUTE_READY},
	    {"/metrics", ROUTE_METRICS},
	};

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (slice_is(path, routes[i].path))
			return routes[i].route;
	}
	return ROUTE_NONE;
}

/*
 * Read Content-Type.  Without one the body is JSON, and text/plain is JSON,
 * too, because that is what a browser's sendBeacon sends.  Returns false for
 * any other type.
 */
static bool
read_type(const struct http_head *head, bool *ndjson)
{
	static const struct {
		const char *name;
		bool ndjson;
	} known[] = {
	    {"application/json", false},     {"text/plain", false},
	    {"application/x-ndjson", true},  {"application/ndjson", true},
	    {"application/jsonlines", true},
	};
	const struct slice *value = http_header(head, "Content-Type");
	struct slice type;

	*ndjson = false;
	if (!value)
		return true;
	type = (struct slice){value->data, 0};
	while (type.bytes < value->bytes &&
	       !strchr("; \t", value->data[type.bytes]))
		type.bytes++; /* a value has no NUL */
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!slice_is_nocase(type, known[i].name))
			continue;
		*ndjson = known[i].ndjson;
		return true;
	}
	return false;
}

/* Returns false if the value of `partial` is neither yes nor no. */
static bool
read_partial(struct request_head *rh, const struct http_head *head, bool preset)
{
	static const char *const names[2][4] = {{"0", "false", "no", "off"},
	                                        {"1", "true", "yes", "on"}};
	char value[8];
	int n = http_query(head, "partial", value, sizeof value);

	rh->partial = preset;
	if (n == -ENOENT)
		return true;
	for (size_t i = 0; n > 0 && i < ARRAY_LEN(names[0]); i++) {
		for (int on = 0; on < 2; on++) {
			if (strcmp(value, names[on][i]) != 0)
				continue;
			rh->partial = on;
			return true;
		}
	}
	return false;
}

/*
 * Check the Origin header, which browsers send for a page of another site.
 * Returns RESPONSE_NONE if the request may continue, and RESPONSE_PREFLIGHT
 * for the request that a browser sends first, always without a token.
 */
static enum fixed_response
check_origin(struct request_head *rh, const struct http_head *head,
             const char *origins)
{
	const struct slice *origin = http_header(head, "Origin");

	if (!origins[0] || !origin)
		return RESPONSE_NONE;
	rh->has_origin = true;
	rh->origin = cors_find(origins, *origin);
	if (!rh->origin.data)
		return RESPONSE_BAD_ORIGIN;
	rh->preflight = slice_is(head->method, "OPTIONS") &&
	                http_header(head, "Access-Control-Request-Method");
	return rh->preflight ? RESPONSE_PREFLIGHT : RESPONSE_NONE;
}

static enum fixed_response
read_events_head(struct request_head *rh, const struct http_head *head,
                 const struct ingestd_settings *settings)
{
	if (!slice_is(head->method, "POST"))
		return RESPONSE_POST_ONLY;
	rh->encoding = encoding_of(http_header(head, "Content-Encoding"));
	if (!read_partial(rh, head, settings->partial))
		return RESPONSE_BAD_PARTIAL;
	if (!read_type(head, &rh->ndjson))
		return RESPONSE_MEDIA_TYPE;
	if (rh->encoding == ENCODING_OTHER)
		return RESPONSE_ENCODING;
	if (head->content_length > (uint64_t)settings->max_body_bytes)
		return RESPONSE_TOO_LARGE;
	return RESPONSE_NONE;
}

/* Load balancers ask which methods a resource has. */
static enum fixed_response
options_of(enum route route)
{
	if (route == ROUTE_EVENTS)
		return RESPONSE_OPTIONS_EVENTS;
	return route == ROUTE_ROOT ? RESPONSE_OPTIONS_ANY
	                           : RESPONSE_OPTIONS_GET;
}

enum fixed_response
request_head_route(struct request_head *rh, const struct http_head *head,
                   const struct ingestd_settings *settings)
{
	enum fixed_response refusal = RESPONSE_NONE;

	rh->route = route_of(head->path);
	if (rh->route == ROUTE_NONE)
		return RESPONSE_NOT_FOUND;
	if (rh->route == ROUTE_EVENTS)
		refusal = check_origin(rh, head, settings->cors_origins);
	if (refusal == RESPONSE_NONE && slice_is(head->method, "OPTIONS"))
		return options_of(rh->route);
	return rh->route == ROUTE_ROOT ? RESPONSE_NOT_FOUND : refusal;
}

enum fixed_response
request_head_read(struct request_head *rh, const struct http_head *head,
                  const struct ingestd_settings *settings)
{
	if (rh->route == ROUTE_EVENTS)
		return read_events_head(rh, head, settings);
	if (!slice_is(head->method, "GET") && !slice_is(head->method, "HEAD"))
		return RESPONSE_GET_ONLY;
	/* A body that nothing reads would only take memory. */
	return head->chunked || head->content_length > 0 ? RESPONSE_NO_BODY
	                                                 : RESPONSE_NONE;
}
