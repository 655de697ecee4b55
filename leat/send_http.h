/*
 * send_http - requests to ingestd over HTTP, one at a time on one connection.
 *
 * A request is started and then driven with send_http_step, so that the caller
 * can read the next events meanwhile.  Redirections are not followed, and the
 * proxy settings in the environment are ignored.
 */
#ifndef LEAT_SEND_HTTP_H
#define LEAT_SEND_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libjson/json_structure.h"

#define SEND_HTTP_ANSWER_MAX (64 * KIB) /* of an answer, without headers */
#define SEND_HTTP_ERROR_TEXT 256
#define SEND_HTTP_TOKEN_MAX 256

struct send_http_options {
	const char *url;     /* of the server, without a path */
	const char *token;   /* empty: none */
	const char *ca_file; /* NULL: the certificates of the system */
};

struct curl_slist;

struct send_http {
	void *curl, *multi; /* owned; NULL when closed, as the next one */
	struct curl_slist *headers;
	char *url; /* of the requests; owned */
	char host[SEND_HTTP_ERROR_TEXT];
	bool is_https;
	/* Of the last request: */
	bool busy;                        /* it is not finished */
	long status;                      /* of the answer */
	uint64_t retry_after_s;           /* that the answer asks for, or 0 */
	struct buf body;                  /* of the answer */
	char error[SEND_HTTP_ERROR_TEXT]; /* why there is no answer */
};

/*
 * Prepare for requests; nothing is sent yet.  Returns 0, or -ENOMEM or -EINVAL
 * with the reason in h->error.  After both, send_http_close must follow.
 */
MUST_USE int send_http_open(struct send_http *h,
                            const struct send_http_options *options);

/* Close h.  Does nothing if it is closed, or all zeros. */
void send_http_close(struct send_http *h);

/*
 * Start a POST of n bytes, which must stay as they are until it is finished.
 * Returns 0 or -ENOMEM.
 */
MUST_USE int send_http_start(struct send_http *h, const void *body, size_t n);

enum send_http_result {
	SEND_HTTP_BUSY,
	SEND_HTTP_ANSWER, /* with any status; h->body has padding for JSON */
	SEND_HTTP_UNREACHABLE, /* h->error has the reason */
	/* The same, and a retry cannot succeed: a certificate is wrong. */
	SEND_HTTP_MISCONFIGURED,
};

/* Send and receive what is possible without waiting. */
enum send_http_result send_http_step(struct send_http *h);

/*
 * Wait until send_http_step can do something, until fd (-1: none) can be read,
 * for a signal, or for timeout_ms at most.
 */
void send_http_wait(struct send_http *h, int fd, int timeout_ms);

#endif
