/* control_request - one control request to batchd, and its reply. */
#ifndef LIBPROTO_CONTROL_REQUEST_H
#define LIBPROTO_CONTROL_REQUEST_H

#include <stdint.h>

#include "libbase/base.h"
#include "libproto/control_link.h"

/* A time that suffices for a verb that batchd replies to at once, ms. */
#define CONTROL_TIMEOUT_MS 5000

struct control_request {
	const char *socket; /* of batchd */
	const char *verb;
	const struct control_args *args; /* NULL: none */
	uint64_t timeout_ms; /* for the whole call, from connecting on */
};

struct control_reply {
	char text[FRAME_TEXT_MAX + 1]; /* why batchd refuses; else empty */
	const uint8_t *body;           /* one complete map; in `link` */
	size_t body_bytes;
	struct control_link link; /* over which it came; closed */
};

/*
 * Send a control verb to batchd and wait for the reply.  The map of the reply
 * is complete, so a decoder that allocates memory for each value is bounded by
 * the number of bytes.
 *
 * Returns 0 or a negative error: -EOPNOTSUPP means that batchd refuses the
 * request or does not know the verb, and reply->text is the reason; -ENOENT and
 * -ECONNREFUSED mean that batchd is not running, -EBUSY that it accepts no
 * connection, -ETIMEDOUT that it does not reply in time, ERR_BATCHD_REFUSED
 * that it sent an error frame, and -ENOMEM or -EMSGSIZE that the arguments have
 * no room.
 */
MUST_USE int control_request(const struct control_request *request,
                             struct control_reply *reply);

#endif
