/*
 * http - requests to a ClickHouse server over HTTP.
 *
 * One connection, kept open between requests; one request at a time.  A
 * request blocks until its answer is read whole or its time is up.  The
 * environment's proxy settings are not used.
 */
#ifndef SINKD_CLICKHOUSE_HTTP_H
#define SINKD_CLICKHOUSE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"

/* Most of an answer that is kept, bytes. */
#define CH_HTTP_ANSWER_MAX (64 * KIB)

/* Most of an answer that is read, bytes, with its headers. */
#define CH_HTTP_RECEIVED_MAX (1 * MIB)

#define CH_HTTP_ERROR_TEXT 256

struct ch_http_options {
	const char *user;
	const char *password;
	const char *ca_file; /* empty: the system's */
	int64_t connect_timeout_ms;
};

struct ch_http {
	void *curl;           /* NULL when closed */
	void *headers;        /* for a plain body */
	void *packed_headers; /* for one in gzip */
	struct buf body;      /* of the last answer */
	bool cut;             /* it was longer than is kept */
	size_t received;      /* bytes of it */
	char refused[128];    /* why it was not read whole */
	long status;          /* its status */
	int exception_code;   /* its X-ClickHouse-Exception-Code; 0: none */
	bool names_itself;    /* it has X-ClickHouse-Server-Display-Name */
	char error[CH_HTTP_ERROR_TEXT]; /* why there was none */
};

/* NULL, or why url cannot be used; static text. */
const char *ch_http_check_url(const char *url);

/*
 * Prepare for requests; nothing is sent yet.  After success the caller must
 * ch_http_close.  Returns 0, -ENOMEM, or -EINVAL with h->error when an option
 * cannot be used.
 */
MUST_USE int ch_http_open(struct ch_http *h,
                          const struct ch_http_options *options);

/*
 * POST body to url.  Returns 0 when there is an answer, whatever it says;
 * -EAGAIN when the server cannot be reached, hangs up or takes longer than
 * timeout_ms; -EINVAL when trying again would not help, such as a
 * certificate that does not verify.  h->error then says why.
 */
MUST_USE int ch_http_post(struct ch_http *h, const char *url, const void *body,
                          size_t n, bool gzip, int64_t timeout_ms);

/* Does nothing if h is closed, or all zeros. */
void ch_http_close(struct ch_http *h);

#endif
