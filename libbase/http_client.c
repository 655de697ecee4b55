/* http_client - see http_client.h. */
#include "libbase/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADER_MAX 512
#define UPLOAD_BUFFER_BYTES (512L * 1024)

CURLcode
http_client_set(CURL *c, const struct http_client_options *o)
{
	CURLcode rc = CURLE_OK;

#define SET(option, value)                                                     \
	do {                                                                   \
		if (rc == CURLE_OK)                                            \
			rc = curl_easy_setopt(c, (option), (value));           \
	} while (0)
	SET(CURLOPT_ERRORBUFFER, o->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
	SET(CURLOPT_CONNECTTIMEOUT_MS, o->connect_timeout_ms);
	SET(CURLOPT_USERAGENT, "leat/" LEAT_VERSION);
	SET(CURLOPT_WRITEFUNCTION, o->on_body);
	SET(CURLOPT_WRITEDATA, o->arg);
	if (o->ca_file && o->ca_file[0]) {
		SET(CURLOPT_CAINFO, o->ca_file);
		/*
		 * Otherwise curl would trust the certificates of the system as
		 * well.
		 */
		SET(CURLOPT_CAPATH, NULL);
	}
#undef SET
	return rc;
}

int
http_client_add_header(struct curl_slist **list, const char *name,
                       const char *value)
{
	char line[HEADER_MAX];
	struct curl_slist *longer;
	int n = snprintf(line, sizeof line, "%s: %s", name, value);

	if (n < 0 || (size_t)n >= sizeof line)
		return -EINVAL;
	/* curl does not send a header with an empty value, even its own. */
	if (value[0] == '\0')
		line[n - 1] = '\0';
	longer = curl_slist_append(*list, line);
	explicit_bzero(line, sizeof line); /* may hold a secret */
	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}
