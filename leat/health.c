/*
 * health - `leat health`: do batchd and ingestd answer?
 *
 * For containers, which have no shell.  The exit status is EXIT_SUCCESS when
 * batchd replies and ingestd is ready; EXIT_NOT_WELL when ingestd answers that
 * it is not; EXIT_FAILURE when one of them does not answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/ask.h"
#include "leat/verb.h"
#include "libbase/http_client.h"
#include "libbase/log.h"

#define DEFAULT_URL "http://127.0.0.1:8080"
#define NO_URL "none"
#define TIMEOUT_MS 5000L

static const char *url_option, *ca_option;

/* Take nothing of the body: the status suffices. */
static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * count;
}

static CURLcode
set_options(CURL *c, const char *url, char *error)
{
	const struct http_client_options options = {.error = error,
	                                            .ca_file = ca_option,
	                                            .connect_timeout_ms =
	                                                TIMEOUT_MS,
	                                            .on_body = on_body};
	CURLcode rc = http_client_set(c, &options);

	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_URL, url);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	return rc;
}

/* Ask ingestd whether it is ready.  Returns the exit status. */
static int
ask_ingestd(const char *base)
{
	char error[CURL_ERROR_SIZE] = "", *url = NULL;
	size_t n = strlen(base);
	CURL *c = curl_easy_init();
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	long status = 0;

	n -= n > 0 && base[n - 1] == '/';
	if (c && asprintf(&url, "%.*s/readyz", (int)n, base) >= 0)
		rc = set_options(c, url, error);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	free(url);
	if (rc != CURLE_OK) {
		log_error("ingestd does not answer url=%s err=%s",
		          log_quote(base),
		          log_quote(error[0] ? error : curl_easy_strerror(rc)));
		return EXIT_FAILURE;
	}
	if (status == 200)
		return EXIT_SUCCESS;
	log_error("ingestd is not ready url=%s status=%ld; leat status has the "
	          "reason",
	          log_quote(base), status);
	return EXIT_NOT_WELL;
}

static int
health_run(const struct verb_call *call)
{
	const char *url = url_option ? url_option : DEFAULT_URL;
	bool with_ingestd = strcmp(url, NO_URL) != 0;
	const msgpack_object *status;
	int rc = ask_status(call->socket, &status);

	if (rc == 0 && with_ingestd)
		rc = ask_ingestd(url);
	if (rc != 0)
		return rc;
	printf("%s\n", with_ingestd ? "well: batchd replies, ingestd is ready"
	                            : "well: batchd replies");
	return conf_finish_output(EXIT_SUCCESS);
}

const struct verb health_verb = {
    .name = "health",
    .summary = "Asks whether batchd replies and ingestd is ready.",
    .details =
	"Takes at most 10 s.  The state of the sinks and the stores has no "
	"effect; leat status shows it.",
    .flags =
	VERB_FLAGS(VERB_TEXT("--url", "URL", &url_option,
                             "URL of ingestd (default " DEFAULT_URL "); " NO_URL
                             ": ask only batchd"),
                   VERB_TEXT("--ca-file", "FILE", &ca_option,
                             "trust only the certificates in this PEM file")),
    .examples = VERB_EXAMPLES(
	{"leat health", "for the health check of a container"},
	{"leat health --url " NO_URL, "in a container that has only batchd"}),
    .run = health_run,
};
