/* cors - see cors.h. */
#include "libhttp/cors.h"

#include <stddef.h>
#include <string.h>

static bool
is_any(const char *origins)
{
	return strcmp(origins, "*") == 0;
}

/* The next origin of the setting, with its length in *n; NULL at the end. */
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

struct slice
cors_find(const char *origins, struct slice origin)
{
	size_t n;

	for (const char *at = origins; (at = next_origin(at, &n)); at += n) {
		struct slice listed = {at, (uint32_t)n};

		if (is_any(origins) ||
		    (origin.bytes == n && memcmp(at, origin.data, n) == 0))
			return listed;
	}
	return (struct slice){NULL, 0};
}

void
cors_add(struct buf *headers, const char *origins, struct slice allowed,
         bool preflight)
{
	/* A cache must not give this response to a page of another origin. */
	if (!is_any(origins))
		buf_add_text(headers, "Vary: Origin\r\n");
	if (!allowed.data)
		return;
	/*
	 * A browser always sends a beacon with the page's credentials, and
	 * sends one with a JSON body only if the server allows credentials.
	 * They cannot be allowed for "*" (pages of any origin).
	 */
	if (!is_any(origins))
		buf_add_text(headers,
		             "Access-Control-Allow-Credentials: true\r\n");
	buf_addf(headers,
	         "Access-Control-Allow-Origin: %.*s\r\n"
	         "Access-Control-Expose-Headers: Retry-After\r\n",
	         (int)allowed.bytes, allowed.data);
	if (preflight)
		buf_add_text(headers,
		             "Access-Control-Allow-Methods: POST\r\n"
		             "Access-Control-Allow-Headers: Authorization, "
		             "Content-Type, Content-Encoding\r\n"
		             "Access-Control-Max-Age: " CORS_MAX_AGE_S "\r\n");
}
