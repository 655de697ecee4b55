/* response - the head of a response, and the body of an error; see conn.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libhttp/conn.h"

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

/* The value of the Date header, which is formatted once a second. */
static const char *
date_of(struct http_server *s)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != s->date_s && gmtime_r(&now, &tm)) {
		/* No daemon sets a locale, so the names are English. */
		(void)strftime(s->date, sizeof s->date,
		               "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now;
	}
	return s->date;
}

static void
response_add_line(struct buf *out, const char *name, const char *value)
{
	buf_add_text(out, name);
	buf_add_text(out, value);
	buf_add_text(out, "\r\n");
}

/*
 * Add the header by which the client finds the end of the content.  Responses
 * 204 and 304 have no content and need none.
 */
static void
add_length(struct buf *out, const struct http_response *response,
           unsigned minor, bool streams)
{
	if (response->status == 204 || response->status == 304)
		return;
	if (!streams) {
		buf_add_text(out, "Content-Length: ");
		buf_add_u64(out, response->body_bytes);
		buf_add_text(out, "\r\n");
	} else if (minor > 0) { /* else the connection's end is the end */
		response_add_line(out, "Transfer-Encoding: ", "chunked");
	}
}

int
response_head(const struct conn *c, const struct http_response *response,
              bool streams)
{
	struct buf *out = &c->server->scratch;

	buf_clear(out);
	buf_add_text(out, "HTTP/1.1 ");
	buf_add_u64(out, response->status);
	response_add_line(out, " ", phrase_of(response->status));
	response_add_line(out, "Date: ", date_of(c->server));
	if (response->type)
		response_add_line(out, "Content-Type: ", response->type);
	add_length(out, response, c->rq.minor, streams);
	if (response->headers)
		buf_add_text(out, response->headers);
	if (c->closes)
		response_add_line(out, "Connection: ", "close");
	else if (c->rq.minor == 0)
		response_add_line(out, "Connection: ", "keep-alive");
	buf_add_text(out, "\r\n");
	return out->error;
}

size_t
response_error_body(char out[RESPONSE_ERROR_BYTES], unsigned status,
                    const char *why)
{
	char name[64], reason[512];
	size_t n = 0;

	/* The name of an error is its phrase in lower case. */
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
