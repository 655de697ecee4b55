/*
 * tail_link - a connection to batchd in the tail role.
 *
 * Only tail_link_open blocks, for a few seconds at most.  Errors are those of
 * chan.h, -EBADMSG and -EPROTO for frames that a tail cannot understand, and
 * ERR_BATCHD_REFUSED for an error frame, whose code and text are kept.
 */
#ifndef LEAT_TAIL_LINK_H
#define LEAT_TAIL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/chan.h"
#include "libproto/frame.h"

struct tail_link {
	struct chan chan;
	/* As batchd reports at the start of the connection: */
	char stream[FRAME_STREAM_NAME_MAX + 1];
	uint64_t first_offset, next_offset;
	/* After ERR_BATCHD_REFUSED: */
	enum frame_error error_code;
	char error_text[FRAME_TEXT_MAX + 1];
	uint8_t bytes[FRAME_MAX]; /* of the frame received last */
};

/*
 * Connect to the batchd at `socket`, and receive what it reports of the log.
 * Returns 0, or a negative error with the link closed.
 */
MUST_USE int tail_link_open(struct tail_link *l, const char *socket);

/*
 * Ask for the events from the offset `from` on: at most `events` of them (0: no
 * end), and at most `bytes_per_s` bytes a second (0: no limit).  With `live`,
 * batchd skips events rather than let this tail lag.
 */
MUST_USE int tail_link_watch(struct tail_link *l, uint64_t from,
                             uint64_t events, bool live, uint64_t bytes_per_s);

/*
 * Receive the next frame, which is of type batch or skipped, and valid until
 * the next call.  Returns 0, -EAGAIN if none is there, or another negative
 * error.
 */
MUST_USE int tail_link_next(struct tail_link *l, struct frame *f);

/* Close the link.  Harmless if it is closed. */
void tail_link_close(struct tail_link *l);

/*
 * Return a text for an operator: what rc, which one of these functions has
 * returned, means, and what to do.  In static memory, valid until the next
 * call.
 */
const char *tail_link_error(const struct tail_link *l, const char *socket,
                            int rc);

#endif
