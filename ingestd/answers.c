/* answers - see answers.h. */
#include "ingestd/answers.h"

#include <string.h>

#include "libbase/base.h"

#define ALLOW_EVENTS "Allow: POST, OPTIONS\r\n"
#define ALLOW_GET "Allow: GET, HEAD, OPTIONS\r\n"

static const struct {
	unsigned status;
	const char *text;
	const char *headers;
} fixed[] = {
    [ANSWER_NONE] = {500, "{\"error\":\"internal server error\"}\n", NULL},
    [ANSWER_OK] = {200, "{\"status\":\"ok\"}\n", NULL},
    [ANSWER_PREFLIGHT] = {204, "", NULL},
    [ANSWER_OPTIONS_EVENTS] = {204, "", ALLOW_EVENTS},
    [ANSWER_OPTIONS_GET] = {204, "", ALLOW_GET},
    [ANSWER_OPTIONS_ANY] = {204, "", "Allow: GET, HEAD, POST, OPTIONS\r\n"},
    [ANSWER_UNAUTHORIZED] = {401,
                             "{\"error\":\"unauthorized\",\"reason\":"
                             "\"a token is needed\"}\n",
                             "WWW-Authenticate: Bearer realm=\"leat\", Basic "
                             "realm=\"leat\", charset=\"UTF-8\"\r\n"},
    [ANSWER_FORBIDDEN] = {403,
                          "{\"error\":\"forbidden\",\"reason\":"
                          "\"the token is not for this\"}\n",
                          NULL},
    [ANSWER_ORIGIN] = {403,
                       "{\"error\":\"forbidden\",\"reason\":"
                       "\"the origin is not in cors_origins\"}\n",
                       NULL},
    [ANSWER_LIMITED] = {429, "{\"error\":\"rate limit\"}\n", NULL},
    [ANSWER_NOT_FOUND] = {404, "{\"error\":\"not found\"}\n", NULL},
    [ANSWER_BAD_PARTIAL] = {400,
                            "{\"error\":\"bad request\",\"reason\":\"partial "
                            "must be 1, true, yes or on, or 0, false, no or "
                            "off\"}\n",
                            NULL},
    [ANSWER_POST_ONLY] = {405, "{\"error\":\"method not allowed\"}\n",
                          ALLOW_EVENTS},
    [ANSWER_GET_ONLY] = {405, "{\"error\":\"method not allowed\"}\n",
                         ALLOW_GET},
    [ANSWER_NO_BODY] = {413,
                        "{\"error\":\"content too large\",\"reason\":"
                        "\"this path takes no body\"}\n",
                        NULL},
    [ANSWER_TOO_LARGE] = {413,
                          "{\"error\":\"body larger than max_body_bytes\"}\n",
                          NULL},
    [ANSWER_TOO_MANY] = {413,
                         "{\"error\":\"more events than "
                         "max_request_events\"}\n",
                         NULL},
    [ANSWER_MEDIA_TYPE] = {415,
                           "{\"error\":\"content type must be "
                           "application/json or application/x-ndjson\"}\n",
                           NULL},
    [ANSWER_ENCODING] = {415,
                         "{\"error\":\"content encoding must be gzip or "
                         "zstd\"}\n",
                         "Accept-Encoding: gzip, zstd\r\n"},
    [ANSWER_BAD_PACKED] = {400, "{\"error\":\"cannot decompress the body\"}\n",
                           NULL},
    [ANSWER_OVERLOADED] = {503,
                           "{\"error\":\"pipeline overloaded\",\"reason\":"
                           "\"max_pending_bytes are pending\"}\n",
                           NULL},
    [ANSWER_STOPPING] = {503,
                         "{\"error\":\"pipeline overloaded\",\"reason\":"
                         "\"stopping\"}\n",
                         NULL},
    [ANSWER_LATE] = {504,
                     "{\"error\":\"unknown\",\"reason\":\"the events were not "
                     "known to be durable within append_timeout_ms, and may "
                     "still be kept; send them again with the same ids\"}\n",
                     NULL},
    [ANSWER_LOST] =
	{504,
         "{\"error\":\"unknown\",\"reason\":\"batchd became unreachable "
         "before the events were known to be durable, and they "
         "may still be kept; send them again with the same "
         "ids\"}\n",
         NULL},
    [ANSWER_UNAVAILABLE] = {503, "{\"error\":\"pipeline overloaded\"}\n", NULL},
};

_Static_assert(ARRAY_LEN(fixed) == ANSWER_COUNT, "one line for each answer");

struct http_answer
answer_fixed(enum fixed_answer answer)
{
	size_t n = strlen(fixed[answer].text);

	return (struct http_answer){
	    .status = fixed[answer].status,
	    .type = n > 0 ? "application/json" : NULL,
	    .headers = fixed[answer].headers,
	    .body = fixed[answer].text,
	    .body_bytes = n,
	};
}
