/* responses - see responses.h. */
#include "ingestd/responses.h"

#include <string.h>

#include "libbase/base.h"
#include "libbase/clock.h"

/* The log can make room, and batchd can restart, within a second. */
#define OVERLOADED_RETRY_S 1

#define ALLOW_EVENTS "Allow: POST, OPTIONS\r\n"
#define ALLOW_GET "Allow: GET, HEAD, OPTIONS\r\n"

static const struct {
	unsigned status;
	const char *text;
	const char *headers;
} fixed[] = {
    [RESPONSE_NONE] = {500, "{\"error\":\"internal server error\"}\n", NULL},
    [RESPONSE_OK] = {200, "{\"status\":\"ok\"}\n", NULL},
    [RESPONSE_PREFLIGHT] = {204, "", NULL},
    [RESPONSE_OPTIONS_EVENTS] = {204, "", ALLOW_EVENTS},
    [RESPONSE_OPTIONS_GET] = {204, "", ALLOW_GET},
    [RESPONSE_OPTIONS_ANY] = {204, "", "Allow: GET, HEAD, POST, OPTIONS\r\n"},
    [RESPONSE_UNAUTHORIZED] = {401,
                               "{\"error\":\"unauthorized\",\"reason\":"
                               "\"a valid token is required\"}\n",
                               "WWW-Authenticate: Bearer realm=\"leat\", Basic "
                               "realm=\"leat\", charset=\"UTF-8\"\r\n"},
    [RESPONSE_FORBIDDEN] = {403,
                            "{\"error\":\"forbidden\",\"reason\":"
                            "\"the token does not permit this request\"}\n",
                            NULL},
    [RESPONSE_BAD_ORIGIN] = {403,
                             "{\"error\":\"forbidden\",\"reason\":"
                             "\"the origin is not in cors_origins\"}\n",
                             NULL},
    [RESPONSE_RATE_LIMITED] = {429, "{\"error\":\"rate limit\"}\n", NULL},
    [RESPONSE_NOT_FOUND] = {404, "{\"error\":\"not found\"}\n", NULL},
    [RESPONSE_BAD_PARTIAL] = {400,
                              "{\"error\":\"bad request\",\"reason\":\"partial "
                              "must be 1, true, yes or on, or 0, false, no or "
                              "off\"}\n",
                              NULL},
    [RESPONSE_POST_ONLY] = {405, "{\"error\":\"method not allowed\"}\n",
                            ALLOW_EVENTS},
    [RESPONSE_GET_ONLY] = {405, "{\"error\":\"method not allowed\"}\n",
                           ALLOW_GET},
    [RESPONSE_NO_BODY] = {413,
                          "{\"error\":\"content too large\",\"reason\":"
                          "\"this path accepts no body\"}\n",
                          NULL},
    [RESPONSE_TOO_LARGE] = {413,
                            "{\"error\":\"body larger than max_body_bytes\"}\n",
                            NULL},
    [RESPONSE_TOO_MANY_EVENTS] = {413,
                                  "{\"error\":\"more events than "
                                  "max_request_events\"}\n",
                                  NULL},
    [RESPONSE_MEDIA_TYPE] = {415,
                             "{\"error\":\"content type must be "
                             "application/json or application/x-ndjson\"}\n",
                             NULL},
    [RESPONSE_ENCODING] = {415,
                           "{\"error\":\"content encoding must be gzip or "
                           "zstd\"}\n",
                           "Accept-Encoding: gzip, zstd\r\n"},
    [RESPONSE_BAD_COMPRESSION] =
	{400, "{\"error\":\"cannot decompress the body\"}\n", NULL},
    [RESPONSE_OVERLOADED] = {503,
                             "{\"error\":\"pipeline overloaded\",\"reason\":"
                             "\"max_pending_bytes are pending\"}\n",
                             NULL},
    [RESPONSE_STOPPING] = {503,
                           "{\"error\":\"pipeline overloaded\",\"reason\":"
                           "\"stopping\"}\n",
                           NULL},
    [RESPONSE_TIMED_OUT] =
	{504,
         "{\"error\":\"unknown\",\"reason\":\"the events were not "
         "known to be durable within append_timeout_ms, and may "
         "still be kept; send them again with the same ids\"}\n",
         NULL},
    [RESPONSE_DISCONNECTED] =
	{504,
         "{\"error\":\"unknown\",\"reason\":\"batchd became unreachable "
         "before the events were known to be durable, and they "
         "may still be kept; send them again with the same "
         "ids\"}\n",
         NULL},
    [RESPONSE_UNAVAILABLE] = {503, "{\"error\":\"pipeline overloaded\"}\n",
                              NULL},
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
