/*
 * answer - one HTTP/1.1 answer, as far as a load generator must know it.
 *
 * Understands what ingestd sends: a status line, headers, and a body with
 * Content-Length.  Anything else is -EBADMSG, also chunked bodies.
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

struct answer {
	int status;
	size_t bytes;          /* of the whole answer, body included */
	bool close;            /* the server closes after it */
	int64_t retry_after_s; /* -1: not said */
	int64_t accepted;      /* the body's "accepted"; -1: not said */
};

/*
 * Read the answer at the start of text.  Returns 0, -EAGAIN when it is not
 * yet whole, or -EBADMSG.
 */
MUST_USE int answer_read(const char *text, size_t len, struct answer *answer);

#endif
