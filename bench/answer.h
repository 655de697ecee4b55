/*
 * answer - one HTTP/1.1 response, as far as a load generator needs it.
 *
 * It understands what ingestd sends: a status line, headers, and a body with
 * Content-Length.  Anything else is -EBADMSG, including a chunked body.
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

struct answer {
	int status;
	size_t bytes;          /* of the whole response with its body */
	bool close;            /* the server closes the connection after it */
	int64_t retry_after_s; /* -1: no such header */
	int64_t accepted;      /* "accepted" in the body; -1: none */
};

/*
 * Read the response at the start of text.  Returns 0, -EAGAIN if it is not
 * complete yet, or -EBADMSG.
 */
MUST_USE int answer_read(const char *text, size_t len, struct answer *answer);

#endif
