/* cors - see cors.h. */
#include "ingestd/cors.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool
is_any(const char *origins)
{
	return strcmp(origins, "*") == 0;
}

/* The next word; NULL at the end.  *n is its length. */
static const char *
next_origin(const char *at, size_t *n)
{
	at += strspn(at, " \t");
	*n = strcspn(at, " \t");
	return *n > 0 ? at : NULL;
}

static bool
is_origin(const char *text, size_t n)
{
	size_t scheme = 0;

	if (n > 8 && strncmp(text, "https://", 8) == 0)
		scheme = 8;
	else if (n > 7 && strncmp(text, "http://", 7) == 0)
		scheme = 7;
	/* Browsers send hosts in lower case, without path or user. */
	return scheme > 0 &&
	       strspn(text + scheme, "abcdefghijklmnopqrstuvwxyz0123456789"
	                             ".-_:[]") >= n - scheme;
}

const char *
cors_check(const char *origins)
{
	size_t n;

	if (is_any(origins))
		return NULL;
	for (const char *at = origins; (at = next_origin(at, &n)); at += n) {
		if (!is_origin(at, n))
			return "each must be https://host or "
			       "https://host:port (or http), in lower case, "
			       "without a path; or * alone for all";
	}
	return NULL;
}

bool
cors_allows(const char *origins, const char *origin)
{
	size_t n;

	if (is_any(origins))
		return true;
	for (const char *at = origins; (at = next_origin(at, &n)); at += n) {
		if (strlen(origin) == n && memcmp(at, origin, n) == 0)
			return true;
	}
	return false;
}

static enum MHD_Result
add_all(struct MHD_Response *r, const char *const (*headers)[2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (MHD_add_response_header(r, headers[i][0], headers[i][1]) !=
		    MHD_YES)
			return MHD_NO;
	}
	return MHD_YES;
}

enum MHD_Result
cors_add(struct MHD_Response *r, const char *origins, const char *origin,
         bool preflight)
{
	bool any = is_any(origins);
	const char *const allowed[][2] = {
	    {MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, any ? "*" : origin},
	    {MHD_HTTP_HEADER_ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After"},
	};
	static const char *const preflights[][2] = {
	    {MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS, "POST"},
	    {MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_HEADERS,
	     "Authorization, Content-Type, Content-Encoding"},
	    {MHD_HTTP_HEADER_ACCESS_CONTROL_MAX_AGE, CORS_MAX_AGE_S},
	};
	/* An answer that depends on the origin is no other origin's. */
	static const char *const vary[][2] = {
	    {MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ORIGIN}};

	if (!any && add_all(r, vary, ARRAY_LEN(vary)) != MHD_YES)
		return MHD_NO;
	if (!cors_allows(origins, origin))
		return MHD_YES;
	if (add_all(r, allowed, ARRAY_LEN(allowed)) != MHD_YES)
		return MHD_NO;
	return preflight ? add_all(r, preflights, ARRAY_LEN(preflights))
	                 : MHD_YES;
}
