/* responses - see responses.h. */
#include "ingestd/responses.h"

#include <string.h>

#include "libbase/base.h"
#include "libbase/clock.h"

/* The log can make room, and batchd can restart, within a second. */
#define OVERLOADED_RETRY_S 1

#define ALLOW_EVENTS "Allow: POST, OPTIONS\r\n"
#define ALLOW_GET "Allow: GET, HEAD, OPTIONS\r\n"

/* The body of an error, and of one whose cause has a name of its own. */
#define ERROR(name) "{\"error\":\"" name "\"}\n"
#define REASON(name, reason)                                                   \
	"{\"error\":\"" name "\",\"reason\":\"" reason "\"}\n"

static const struct {
	unsigned status;
	const char *text;
	const char *headers;
} fixed[] = {
    [RESPONSE_NONE] = {500, ERROR("internal server error"), NULL},
    [RESPONSE_OK] = {200, "{\"status\":\"ok\"}\n", NULL},
    [RESPONSE_PREFLIGHT] = {204, "", NULL},
    [RESPONSE_OPTIONS_EVENTS] = {204, "", ALLOW_EVENTS},
    [RESPONSE_OPTIONS_GET] = {204, "", ALLOW_GET},
    [RESPONSE_OPTIONS_ANY] = {204, "", "Allow: GET, HEAD, POST, OPTIONS\r\n"},
    [RESPONSE_UNAUTHORIZED] = {401,
                               REASON("unauthorized",
                                      "a valid token is required"),
                               "WWW-Authenticate: Bearer realm=\"leat\", Basic "
                               "realm=\"leat\", charset=\"UTF-8\"\r\n"},
    [RESPONSE_FORBIDDEN] = {403,
                            REASON("forbidden",
                                   "the token does not permit this request"),
                            NULL},
    [RESPONSE_BAD_ORIGIN] =
	{403, REASON("forbidden", "the origin is not in cors_origins"), NULL},
    [RESPONSE_RATE_LIMITED] = {429, ERROR("rate limit"), NULL},
    [RESPONSE_NOT_FOUND] = {404, ERROR("not found"), NULL},
    [RESPONSE_BAD_PARTIAL] =
	{400,
         REASON("bad request",
                "partial must be 1, true, yes or on, or 0, false, no or off"),
         NULL},
    [RESPONSE_POST_ONLY] = {405, ERROR("method not allowed"), ALLOW_EVENTS},
    [RESPONSE_GET_ONLY] = {405, ERROR("method not allowed"), ALLOW_GET},
    [RESPONSE_NO_BODY] =
	{413, REASON("content too large", "this path accepts no body"), NULL},
    [RESPONSE_TOO_LARGE] = {413, ERROR("body larger than max_body_bytes"),
                            NULL},
    [RESPONSE_TOO_MANY_EVENTS] = {413,
                                  ERROR("more events than max_request_events"),
                                  NULL},
    [RESPONSE_MEDIA_TYPE] =
	{415,
         ERROR("content type must be application/json, application/x-ndjson "
               "or text/plain"),
         NULL},
    [RESPONSE_ENCODING] = {415, ERROR("content encoding must be gzip or zstd"),
                           "Accept-Encoding: gzip, zstd\r\n"},
    [RESPONSE_BAD_COMPRESSION] = {400, ERROR("cannot decompress the body"),
                                  NULL},
    [RESPONSE_OVERLOADED] = {503,
                             REASON("pipeline overloaded",
                                    "max_pending_bytes are pending"),
                             NULL},
    [RESPONSE_STOPPING] = {503, REASON("pipeline overloaded", "stopping"),
                           NULL},
    [RESPONSE_TIMED_OUT] = {504,
                            REASON("unknown",
                                   "the events were not known to be durable "
                                   "within append_timeout_ms, and may still be "
                                   "kept; send them again with the same ids"),
                            NULL},
    [RESPONSE_DISCONNECTED] =
	{504,
         REASON("unknown", "batchd became unreachable before the events were "
                           "known to be durable, and they may still be kept; "
                           "send them again with the same ids"),
         NULL},
    [RESPONSE_UNAVAILABLE] = {503, ERROR("pipeline overloaded"), NULL},
};

_Static_assert(ARRAY_LEN(fixed) == RESPONSE_COUNT,
               "one line for each response");

struct http_response
response_fixed(enum fixed_response response)
{
	size_t n = strlen(fixed[response].text);

	return (struct http_response){
	    .status = fixed[response].status,
	    .type = n > 0 ? "application/json" : NULL,
	    .headers = fixed[response].headers,
	    .body = fixed[response].text,
	    .body_bytes = n,
	};
}

unsigned
response_retry_after_s(unsigned status, struct token *token, uint64_t events)
{
	if (status == 429 && token)
		return token_wait_s(token, events, clock_mono_ms());
	return status == 503 || status == 504 ? OVERLOADED_RETRY_S : 0;
}
