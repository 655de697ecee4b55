/* response - the head of a response, and the text of an error. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libhttp/conn.h"
#include "libhttp/response.h"

static const char *
phrase_of(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
	    {200, "OK"},
	    {202, "Accepted"},
	    {204, "No Content"},
	    {303, "See Other"},
	    {304, "Not Modified"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {408, "Request Timeout"},
	    {410, "Gone"},
	    {413, "Content Too Large"},
	    {415, "Unsupported Media Type"},
	    {417, "Expectation Failed"},
	    {421, "Misdirected Request"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "Unknown";
}

static const char *
date_of(struct http_server *s)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != s->date_s && gmtime_r(&now, &tm)) {
		/* No locale is set, so the names are English. */
		(void)strftime(s->date, sizeof s->date,
		               "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now;
	}
	return s->date;
}

static int
response_add_text(struct buf *out, const char *text)
{
	return buf_add(out, text, strlen(text));
}

static int
response_add_line(struct buf *out, const char *name, const char *value)
{
	int rc = response_add_text(out, name);

	if (rc == 0)
		rc = response_add_text(out, value);
	return rc < 0 ? rc : buf_add(out, "\r\n", 2);
}

/* How the end of the content is found; nothing for 204 and 304. */
static int
add_length(struct buf *out, const struct http_response *a,
           const struct http_request *rq, bool streams)
{
	int rc;

	if (a->status == 204 || a->status == 304)
		return 0;
	if (streams)
		return rq->minor == 0
		           ? 0 /* the end of the connection */
		           : response_add_line(
				 out, "Transfer-Encoding: ", "chunked");
	rc = response_add_text(out, "Content-Length: ");
	if (rc == 0)
		rc = buf_add_u64(out, a->body_bytes);
	return rc < 0 ? rc : buf_add(out, "\r\n", 2);
}

int
response_head(struct http_server *s, const struct http_response *a,
              const struct http_request *rq, bool closes, bool streams)
{
	struct buf *out = &s->scratch;
	int rc;

	buf_clear(out);
	rc = response_add_text(out, "HTTP/1.1 ");
	if (rc == 0)
		rc = buf_add_u64(out, a->status);
	if (rc == 0)
		rc = response_add_line(out, " ", phrase_of(a->status));
	if (rc == 0)
		rc = response_add_line(out, "Date: ", date_of(s));
	if (rc == 0 && a->type)
		rc = response_add_line(out, "Content-Type: ", a->type);
	if (rc == 0)
		rc = add_length(out, a, rq, streams);
	if (rc == 0 && a->headers)
		rc = response_add_text(out, a->headers);
	if (rc == 0 && closes)
		rc = response_add_line(out, "Connection: ", "close");
	else if (rc == 0 && rq->minor == 0)
		rc = response_add_line(out, "Connection: ", "keep-alive");
	return rc < 0 ? rc : buf_add(out, "\r\n", 2);
}

size_t
response_error_body(char out[RESPONSE_ERROR_BYTES], unsigned status,
                    const char *why)
{
	char name[64], reason[512];
	size_t n = 0;

	/* The phrases are titles; errors are named in lower case. */
	(void)snprintf(name, sizeof name, "%s", phrase_of(status));
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	for (; *why && n + 2 < sizeof reason; why++) {
		if (*why == '"' || *why == '\\')
			reason[n++] = '\\';
		reason[n++] = *why;
	}
	reason[n] = '\0';
	return (size_t)snprintf(out, RESPONSE_ERROR_BYTES,
	                        "{\"error\":\"%s\",\"reason\":\"%s\"}\n", name,
	                        reason);
}
