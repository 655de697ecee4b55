/*
 * replies - the answers: a status, a JSON text, and the headers that go with
 * the status.
 */
#ifndef INGESTD_REPLIES_H
#define INGESTD_REPLIES_H

#include <stdbool.h>
#include <stddef.h>

#include <microhttpd.h>

/* Answers whose text never changes; made once. */
enum fixed_reply {
	REPLY_OK,
	REPLY_PREFLIGHT,
	REPLY_UNAUTHORIZED,
	REPLY_FORBIDDEN,
	REPLY_ORIGIN,
	REPLY_LIMITED, /* its real text says for how long */
	REPLY_NOT_FOUND,
	REPLY_POST_ONLY,
	REPLY_GET_ONLY,
	REPLY_TOO_LARGE,
	REPLY_TOO_MANY,
	REPLY_MEDIA_TYPE,
	REPLY_ENCODING,
	REPLY_HEADERS,
	REPLY_FRAMING,
	REPLY_BAD_PACKED,
	REPLY_OVERLOADED,
	REPLY_STOPPING,
	REPLY_UNAVAILABLE, /* its real text says why, at the time */
	REPLY_COUNT,
};

unsigned reply_status(enum fixed_reply reply);

/* Returns NULL when out of memory. */
struct MHD_Response *reply_fixed(enum fixed_reply reply);

/*
 * A response of text, which must outlive it: JSON, or the text format of
 * Prometheus.  retry_after_s, unless 0, says when to come again.  Returns
 * NULL when out of memory.
 */
struct MHD_Response *reply_of(const void *text, size_t n, bool prometheus,
                              unsigned retry_after_s);

#endif
