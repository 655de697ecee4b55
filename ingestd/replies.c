/* replies - see replies.h. */
#include "ingestd/replies.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "libbase/base.h"

#define RETRY_AFTER_S "1"

static const struct {
	unsigned status;
	const char *text;
	const char *header, *value; /* may be NULL */
} fixed[] = {
    [REPLY_OK] = {MHD_HTTP_OK, "{\"status\":\"ok\"}\n", NULL, NULL},
    [REPLY_PREFLIGHT] = {MHD_HTTP_NO_CONTENT, "", NULL, NULL},
    [REPLY_UNAUTHORIZED] = {MHD_HTTP_UNAUTHORIZED,
                            "{\"error\":\"unauthorized\",\"reason\":"
                            "\"a token is needed\"}\n",
                            MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                            "Bearer realm=\"leat\", "
                            "Basic realm=\"leat\", charset=\"UTF-8\""},
    [REPLY_FORBIDDEN] = {MHD_HTTP_FORBIDDEN,
                         "{\"error\":\"forbidden\",\"reason\":"
                         "\"the token is not for this\"}\n",
                         NULL, NULL},
    [REPLY_ORIGIN] = {MHD_HTTP_FORBIDDEN,
                      "{\"error\":\"forbidden\",\"reason\":"
                      "\"the origin is not in cors_origins\"}\n",
                      NULL, NULL},
    [REPLY_LIMITED] = {MHD_HTTP_TOO_MANY_REQUESTS,
                       "{\"error\":\"rate limit\"}\n",
                       MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S},
    [REPLY_NOT_FOUND] = {MHD_HTTP_NOT_FOUND, "{\"error\":\"not found\"}\n",
                         NULL, NULL},
    [REPLY_POST_ONLY] = {MHD_HTTP_METHOD_NOT_ALLOWED,
                         "{\"error\":\"method not allowed\"}\n",
                         MHD_HTTP_HEADER_ALLOW, "POST"},
    [REPLY_GET_ONLY] = {MHD_HTTP_METHOD_NOT_ALLOWED,
                        "{\"error\":\"method not allowed\"}\n",
                        MHD_HTTP_HEADER_ALLOW, "GET, HEAD"},
    [REPLY_TOO_LARGE] = {MHD_HTTP_CONTENT_TOO_LARGE,
                         "{\"error\":\"body larger than max_body_bytes\"}\n",
                         NULL, NULL},
    [REPLY_TOO_MANY] = {MHD_HTTP_CONTENT_TOO_LARGE,
                        "{\"error\":\"more events than "
                        "max_request_events\"}\n",
                        NULL, NULL},
    [REPLY_MEDIA_TYPE] = {MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "{\"error\":\"content type must be "
                          "application/json or application/x-ndjson\"}\n",
                          NULL, NULL},
    [REPLY_ENCODING] = {MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                        "{\"error\":\"content encoding must be gzip or "
                        "zstd\"}\n",
                        MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip, zstd"},
    [REPLY_HEADERS] = {MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                       "{\"error\":\"headers larger than "
                       "max_header_bytes\"}\n",
                       NULL, NULL},
    [REPLY_FRAMING] = {MHD_HTTP_BAD_REQUEST,
                       "{\"error\":\"one content length or chunked "
                       "transfer encoding, not both\"}\n",
                       NULL, NULL},
    [REPLY_BAD_PACKED] = {MHD_HTTP_BAD_REQUEST,
                          "{\"error\":\"body does not unpack\"}\n", NULL, NULL},
    [REPLY_OVERLOADED] = {MHD_HTTP_SERVICE_UNAVAILABLE,
                          "{\"error\":\"pipeline overloaded\",\"reason\":"
                          "\"max_pending_bytes are pending\"}\n",
                          MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S},
    [REPLY_STOPPING] = {MHD_HTTP_SERVICE_UNAVAILABLE,
                        "{\"error\":\"pipeline overloaded\",\"reason\":"
                        "\"stopping\"}\n",
                        MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S},
    [REPLY_UNAVAILABLE] = {MHD_HTTP_SERVICE_UNAVAILABLE,
                           "{\"error\":\"pipeline overloaded\"}\n",
                           MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S},
};

_Static_assert(ARRAY_LEN(fixed) == REPLY_COUNT, "one line for each reply");

unsigned
reply_status(enum fixed_reply reply)
{
	return fixed[reply].status;
}

static struct MHD_Response *
response(const void *text, size_t n, const char *type, const char *header,
         const char *value)
{
	/* It is not written to. */
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    n, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

	if (!r)
		return NULL;
	if ((n == 0 || /* nothing has no type */
	     MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) ==
	         MHD_YES) &&
	    (!header || MHD_add_response_header(r, header, value) == MHD_YES))
		return r;
	MHD_destroy_response(r);
	return NULL;
}

struct MHD_Response *
reply_fixed(enum fixed_reply reply)
{
	return response(fixed[reply].text, strlen(fixed[reply].text),
	                "application/json", fixed[reply].header,
	                fixed[reply].value);
}

struct MHD_Response *
reply_of(const void *text, size_t n, bool prometheus, unsigned retry_after_s)
{
	const char *type =
	    prometheus ? "text/plain; version=0.0.4" : "application/json";
	char seconds[16];

	if (retry_after_s == 0)
		return response(text, n, type, NULL, NULL);
	(void)snprintf(seconds, sizeof seconds, "%u", retry_after_s);
	return response(text, n, type, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
}
