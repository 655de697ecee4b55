/*
 * http - requests to a ClickHouse server over HTTP.
 *
 * There is one connection, which is kept open between requests, and one request
 * at a time.  A request blocks until the response is complete or the time is
 * up.  The proxy settings in the environment are ignored.
 */
#ifndef SINKD_CLICKHOUSE_HTTP_H
#define SINKD_CLICKHOUSE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"

/* The most bytes of a response that are kept. */
#define CH_HTTP_KEPT_MAX (64 * KIB)

/* The most bytes of a response that are received, including its headers. */
#define CH_HTTP_RECEIVED_MAX (1 * MIB)

#define CH_HTTP_ERROR_TEXT 256

struct ch_http_options {
	const char *user;
	const char *password;
	const char *ca_file; /* empty: the certificates of the system */
	int64_t connect_timeout_ms;
};

struct curl_slist;

struct ch_http {
	void *curl;                        /* NULL when closed */
	struct curl_slist *headers;        /* for an uncompressed body */
	struct curl_slist *packed_headers; /* for a compressed body */
	struct buf body;                   /* of the last response */
	bool cut;           /* the response was longer than what is kept */
	size_t received;    /* bytes of the response */
	char refused[192];  /* why the response was not read completely */
	long status;        /* status of the response */
	int exception_code; /* X-ClickHouse-Exception-Code, or 0 */
	bool names_itself;  /* has X-ClickHouse-Server-Display-Name */
	char error[CH_HTTP_ERROR_TEXT]; /* why there was no response */
};

/* Check a URL.  Returns NULL, or why it cannot be used, as static text. */
const char *ch_http_check_url(const char *url);

/*
 * Prepare for requests; nothing is sent yet.  After success the caller must
 * call ch_http_close.  Returns 0, -ENOMEM, or -EINVAL with h->error if an
 * option cannot be used.
 */
MUST_USE int ch_http_open(struct ch_http *h,
                          const struct ch_http_options *options);

/* How a request ended. */
enum ch_http_result {
	CH_HTTP_RESPONSE, /* there is a response, with any status */
	/* no connection, a lost connection, or no response in time */
	CH_HTTP_UNREACHABLE,
	/* a retry cannot succeed, e.g. the certificate is not trusted */
	CH_HTTP_MISCONFIGURED,
};

/*
 * POST the body to url, for at most timeout_ms.  Unless the result is
 * CH_HTTP_RESPONSE, h->error has the reason.
 */
enum ch_http_result ch_http_post(struct ch_http *h, const char *url,
                                 const void *body, size_t n, bool gzip,
                                 int64_t timeout_ms);

/* Close h.  Does nothing if it is closed already, or all zeros. */
void ch_http_close(struct ch_http *h);

#endif
