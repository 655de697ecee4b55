/* http - see http.h. */
#include "sinkd-clickhouse/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libbase/http_client.h"

#define VALUE_MAX 32

/*
 * Count received bytes.  Returns false if the response is too long to continue.
 */
static bool
count_received(struct ch_http *h, size_t n)
{
	h->received += n;
	if (h->received <= CH_HTTP_RECEIVED_MAX)
		return true;
	(void)snprintf(h->refused, sizeof h->refused,
	               "the server sent more than %zu KiB; check that url is "
	               "that of a ClickHouse server",
	               CH_HTTP_RECEIVED_MAX / KIB);
	return false;
}

static size_t
http_on_body(char *data, size_t size, size_t count, void *user)
{
	struct ch_http *h = user;
	size_t n = size * count, room = CH_HTTP_KEPT_MAX - h->body.len;

	if (!count_received(h, n))
		return 0;
	/*
	 * The rest is read and discarded, since curl could not keep the
	 * connection otherwise.
	 */
	if (n > room)
		h->cut = true;
	if (buf_add(&h->body, data, n < room ? n : room) < 0)
		return 0;
	return n;
}

/*
 * Return true if the line is this header.  Its value is copied to `out`,
 * truncated.
 */
static bool
is_header(const char *line, size_t n, const char *name, char out[VALUE_MAX])
{
	size_t name_bytes = strlen(name);

	if (n < name_bytes || strncasecmp(line, name, name_bytes) != 0)
		return false;
	for (line += name_bytes, n -= name_bytes; n > 0 && *line == ' '; n--)
		line++;
	while (n > 0 && strchr(" \r\n", line[n - 1]))
		n--;
	(void)snprintf(out, VALUE_MAX, "%.*s", (int)n, line);
	return true;
}

static size_t
http_on_header(char *data, size_t size, size_t count, void *user)
{
	struct ch_http *h = user;
	size_t n = size * count;
	char value[VALUE_MAX];

	/*
	 * curl keeps all headers of a response and does not limit their number.
	 */
	if (!count_received(h, n))
		return 0;
	if (is_header(data, n, "X-ClickHouse-Exception-Code:", value))
		h->exception_code = (int)strtol(value, NULL, 10);
	if (is_header(data, n, "X-ClickHouse-Server-Display-Name:", value))
		h->names_itself = true;
	/*
	 * curl would decompress a body even if it has not asked for
	 * compression, several times over.  A few KiB of zstd then take 128 MiB
	 * of memory each time.
	 */
	if (is_header(data, n, "Transfer-Encoding:", value) &&
	    strcasecmp(value, "chunked") != 0) {
		(void)snprintf(h->refused, sizeof h->refused,
		               "the answer has Transfer-Encoding %s, which was "
		               "not asked for; check that url is "
		               "that of a ClickHouse server",
		               value);
		return 0;
	}
	return n;
}

const char *
ch_http_check_url(const char *url)
{
	CURLU *parsed = curl_url();
	CURLUcode rc = parsed ? curl_url_set(parsed, CURLUPART_URL, url, 0)
	                      : CURLUE_OUT_OF_MEMORY;

	curl_url_cleanup(parsed);
	return rc == CURLUE_OK ? NULL : curl_url_strerror(rc);
}

static int
http_add_headers(struct curl_slist **list, const struct ch_http_options *o,
                 bool gzip)
{
	int rc = http_client_add_header(list, "Content-Type",
	                                "application/octet-stream");

	/* curl's own Expect would cost a round trip. */
	if (rc == 0)
		rc = http_client_add_header(list, "Expect", "");
	if (rc == 0)
		rc = http_client_add_header(list, "X-ClickHouse-User", o->user);
	if (rc == 0 && o->password[0])
		rc = http_client_add_header(list, "X-ClickHouse-Key",
		                            o->password);
	if (rc == 0 && gzip)
		rc = http_client_add_header(list, "Content-Encoding", "gzip");
	return rc;
}

static CURLcode
set_options(struct ch_http *h, const struct ch_http_options *o)
{
	const struct http_client_options options = {
	    .error = h->error,
	    .ca_file = o->ca_file,
	    .connect_timeout_ms = (long)o->connect_timeout_ms,
	    .on_body = http_on_body,
	    .arg = h};
	CURL *c = h->curl;
	CURLcode rc = http_client_set(c, &options);

	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_POST, 1L);
	if (rc == CURLE_OK)
		rc =
		    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, http_on_header);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	return rc;
}

int
ch_http_open(struct ch_http *h, const struct ch_http_options *options)
{
	int rc;

	*h = (struct ch_http){.status = 0};
	buf_init(&h->body, CH_HTTP_KEPT_MAX);
	h->curl = curl_easy_init();
	rc = h->curl ? 0 : -ENOMEM;
	if (rc == 0)
		rc = http_add_headers(&h->headers, options, false);
	if (rc == 0)
		rc = http_add_headers(&h->packed_headers, options, true);
	if (rc == 0 && set_options(h, options) != CURLE_OK)
		rc = -EINVAL;
	if (rc < 0 && h->error[0] == '\0')
		(void)snprintf(h->error, sizeof h->error,
		               "cannot prepare for HTTP: %s", strerror(-rc));
	if (rc < 0)
		ch_http_close(h);
	return rc;
}

/*
 * Return true if an operator has to correct something before a retry can
 * succeed.
 */
static bool
is_misconfiguration(CURLcode rc)
{
	switch (rc) {
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		return true;
	default:
		return false;
	}
}

enum ch_http_result
ch_http_post(struct ch_http *h, const char *url, const void *body, size_t n,
             bool gzip, int64_t timeout_ms)
{
	CURL *c = h->curl;
	CURLcode rc;

	buf_clear(&h->body);
	h->cut = false;
	h->received = 0;
	h->refused[0] = '\0';
	h->status = 0;
	h->exception_code = 0;
	h->names_itself = false;
	h->error[0] = '\0';
	rc = curl_easy_setopt(c, CURLOPT_URL, url);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_HTTPHEADER,
		                      gzip ? h->packed_headers : h->headers);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
		                      (curl_off_t)n);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &h->status);
	if (rc == CURLE_OK)
		return CH_HTTP_RESPONSE;
	if (h->refused[0])
		memcpy(h->error, h->refused, sizeof h->refused);
	if (h->error[0] == '\0')
		(void)snprintf(h->error, sizeof h->error, "%s",
		               curl_easy_strerror(rc));
	return is_misconfiguration(rc) ? CH_HTTP_MISCONFIGURED
	                               : CH_HTTP_UNREACHABLE;
}

void
ch_http_close(struct ch_http *h)
{
	curl_easy_cleanup(h->curl); /* accepts NULL */
	curl_slist_free_all(h->headers);
	curl_slist_free_all(h->packed_headers);
	h->curl = NULL;
	h->headers = h->packed_headers = NULL;
	buf_fini(&h->body);
}
