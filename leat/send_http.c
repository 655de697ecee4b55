/* send_http - see send_http.h. */
#include "leat/send_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/http_client.h"

#define EVENTS_PATH "/v1/events"

/* ingestd is not to accept a part of a request: see the use of a 400. */
#define EVENTS_QUERY "partial=no"

#define CONNECT_TIMEOUT_MS 10000L

/*
 * A request has failed if no byte has moved for so long.  ingestd answers
 * within its append_timeout_ms, 10 s by default.
 */
#define STALLED_S 60L

static size_t
send_http_on_body(char *data, size_t size, size_t count, void *user)
{
	struct send_http *h = user;

	/* With 0, curl ends the request with CURLE_WRITE_ERROR. */
	return buf_add(&h->body, data, size * count) < 0 ? 0 : size * count;
}

/* --- options --- */

static int
http_refuse(struct send_http *h, const char *why)
{
	(void)snprintf(h->error, sizeof h->error, "%s", why);
	return -EINVAL;
}

/* Copy a part of the URL to out.  Returns false if it has none. */
static bool
get_part(CURLU *u, CURLUPart part, char *out, size_t size)
{
	char *text = NULL;

	if (curl_url_get(u, part, &text, 0) != CURLUE_OK)
		return false;
	(void)snprintf(out, size, "%s", text);
	curl_free(text);
	return true;
}

/* Check the URL that was given, and make that of the requests. */
static int
parse_url(struct send_http *h, CURLU *u, const char *url)
{
	char part[SEND_HTTP_ERROR_TEXT];
	char *whole = NULL;
	CURLUcode rc =
	    curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);

	if (rc != CURLUE_OK)
		return http_refuse(h, curl_url_strerror(rc));
	if (!get_part(u, CURLUPART_SCHEME, part, sizeof part) ||
	    (strcmp(part, "http") != 0 && strcmp(part, "https") != 0))
		return http_refuse(h, "must begin with http:// or https://");
	h->is_https = strcmp(part, "https") == 0;
	if (!get_part(u, CURLUPART_HOST, h->host, sizeof h->host))
		return http_refuse(h, "has no host");
	if (get_part(u, CURLUPART_USER, part, sizeof part) ||
	    get_part(u, CURLUPART_PASSWORD, part, sizeof part))
		return http_refuse(
		    h, "must not contain a token: other users could read it; "
		       "use --token-file");
	if (get_part(u, CURLUPART_QUERY, part, sizeof part) ||
	    get_part(u, CURLUPART_FRAGMENT, part, sizeof part))
		return http_refuse(h, "must have nothing after the path");
	if (get_part(u, CURLUPART_PATH, part, sizeof part) &&
	    strcmp(part, "/") != 0 && strcmp(part, EVENTS_PATH) != 0)
		return http_refuse(h, "must be that of a server, without a "
		                      "path, as in http://127.0.0.1:8080");
	if (curl_url_set(u, CURLUPART_PATH, EVENTS_PATH, 0) != CURLUE_OK ||
	    curl_url_set(u, CURLUPART_QUERY, EVENTS_QUERY, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_URL, &whole, 0) != CURLUE_OK)
		return -ENOMEM;
	h->url = strdup(whole);
	curl_free(whole);
	return h->url ? 0 : -ENOMEM;
}

static int
read_url(struct send_http *h, const char *url)
{
	CURLU *u = curl_url();
	int rc = u ? parse_url(h, u, url) : -ENOMEM;

	curl_url_cleanup(u);
	return rc;
}

static int
add_token(struct send_http *h, const char *token)
{
	char value[SEND_HTTP_TOKEN_MAX + sizeof "Bearer "];
	int rc;

	if (!token[0])
		return 0;
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return http_refuse(h, "the token has a character that "
			                      "no token has; it is the whole "
			                      "first line of its file");
	(void)snprintf(value, sizeof value, "Bearer %s", token);
	rc = http_client_add_header(&h->headers, "Authorization", value);
	explicit_bzero(value, sizeof value);
	return rc;
}

static CURLcode
http_set_options(struct send_http *h, const char *ca_file)
{
	const struct http_client_options options = {
	    .error = h->error,
	    .ca_file = ca_file,
	    .connect_timeout_ms = CONNECT_TIMEOUT_MS,
	    .on_body = send_http_on_body,
	    .arg = h};
	CURL *c = h->curl;
	CURLcode rc = http_client_set(c, &options);

	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_URL, h->url);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->headers);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_POST, 1L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALLED_S);
	return rc;
}

int
send_http_open(struct send_http *h, const struct send_http_options *options)
{
	int rc;

	*h = (struct send_http){0};
	buf_init(&h->body, SEND_HTTP_ANSWER_MAX + JSON_STRUCTURE_PADDING);
	if (options->ca_file && access(options->ca_file, R_OK) < 0) {
		(void)snprintf(h->error, sizeof h->error, "cannot read %s: %s",
		               options->ca_file, strerror(errno));
		return -EINVAL;
	}
	rc = read_url(h, options->url);
	if (rc < 0)
		return rc;
	rc = add_token(h, options->token);
	if (rc == 0)
		rc = http_client_add_header(&h->headers, "Content-Type",
		                            "application/json");
	/* curl's own Expect would cost a round trip. */
	if (rc == 0)
		rc = http_client_add_header(&h->headers, "Expect", "");
	if (rc < 0)
		return rc;
	h->curl = curl_easy_init();
	h->multi = curl_multi_init();
	if (!h->curl || !h->multi)
		return -ENOMEM;
	return http_set_options(h, options->ca_file) == CURLE_OK ? 0 : -ENOMEM;
}

void
send_http_close(struct send_http *h)
{
	if (h->busy)
		(void)curl_multi_remove_handle(h->multi, h->curl);
	curl_easy_cleanup(h->curl); /* these accept NULL */
	if (h->multi)
		(void)curl_multi_cleanup(h->multi);
	curl_slist_free_all(h->headers);
	free(h->url);
	h->curl = h->multi = h->headers = NULL;
	h->url = NULL;
	h->busy = false;
	buf_fini(&h->body);
}

/* --- requests --- */

int
send_http_start(struct send_http *h, const void *body, size_t n)
{
	CURLcode rc;

	buf_clear(&h->body);
	h->body.max_bytes = SEND_HTTP_ANSWER_MAX;
	h->status = 0;
	h->retry_after_s = 0;
	h->error[0] = '\0';
	rc = curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, body);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE,
		                      (curl_off_t)n);
	if (rc != CURLE_OK ||
	    curl_multi_add_handle(h->multi, h->curl) != CURLM_OK)
		return -ENOMEM;
	h->busy = true;
	return 0;
}

static enum send_http_result
failed(struct send_http *h, CURLcode rc)
{
	if (rc == CURLE_WRITE_ERROR)
		(void)snprintf(h->error, sizeof h->error,
		               "the answer has more than %zu KiB, so it is not "
		               "ingestd's",
		               SEND_HTTP_ANSWER_MAX / KIB);
	else if (h->error[0] == '\0')
		(void)snprintf(h->error, sizeof h->error, "%s",
		               curl_easy_strerror(rc));
	switch (rc) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_WRITE_ERROR:
		return SEND_HTTP_MISCONFIGURED;
	default:
		return SEND_HTTP_UNREACHABLE;
	}
}

static enum send_http_result
http_finish(struct send_http *h, CURLcode rc)
{
	curl_off_t retry_after = 0;

	(void)curl_multi_remove_handle(h->multi, h->curl);
	h->busy = false;
	if (rc != CURLE_OK)
		return failed(h, rc);
	if (curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->status) !=
	        CURLE_OK ||
	    curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &retry_after) !=
	        CURLE_OK)
		return failed(h, CURLE_OUT_OF_MEMORY);
	h->retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0;
	h->body.max_bytes += JSON_STRUCTURE_PADDING;
	if (buf_reserve(&h->body, JSON_STRUCTURE_PADDING) < 0)
		return failed(h, CURLE_OUT_OF_MEMORY);
	memset(h->body.data + h->body.len, 0, JSON_STRUCTURE_PADDING);
	return SEND_HTTP_ANSWER;
}

enum send_http_result
send_http_step(struct send_http *h)
{
	const CURLMsg *message;
	int running, left;
	CURLMcode rc = curl_multi_perform(h->multi, &running);

	if (rc != CURLM_OK)
		return http_finish(h, CURLE_OUT_OF_MEMORY);
	while ((message = curl_multi_info_read(h->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			return http_finish(h, message->data.result);
	return SEND_HTTP_BUSY;
}

void
send_http_wait(struct send_http *h, int fd, int timeout_ms)
{
	struct curl_waitfd input = {.fd = fd, .events = CURL_WAIT_POLLIN};

	/* Any end of the wait is as good as its time-out. */
	(void)curl_multi_poll(h->multi, &input, fd >= 0, timeout_ms, NULL);
}
