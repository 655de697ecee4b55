/*
 * http_client - what every HTTP client of leat sets in libcurl: HTTP/1.1, no
 * proxy, no signals, and no certificates but those that were asked for.
 */
#ifndef LIBBASE_HTTP_CLIENT_H
#define LIBBASE_HTTP_CLIENT_H

#include <curl/curl.h>

#include "libbase/base.h"

struct http_client_options {
	char *error; /* receives why a request failed; CURL_ERROR_SIZE bytes */
	/*
	 * A file with the certificates that a server's must be signed by; NULL
	 * or "": those of the system.
	 */
	const char *ca_file;
	long connect_timeout_ms;
	curl_write_callback on_body; /* called with arg */
	void *arg;
};

/* All pointers must outlive c. */
MUST_USE CURLcode http_client_set(CURL *c, const struct http_client_options *o);

/*
 * Append a header.  Returns 0, -ENOMEM, or -EINVAL if it is too long.  *list
 * stays valid.  The caller frees it with curl_slist_free_all.
 */
MUST_USE int http_client_add_header(struct curl_slist **list, const char *name,
                                    const char *value);

#endif
