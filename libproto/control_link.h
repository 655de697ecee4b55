/*
 * control_link - a connection to batchd for control requests, of which one at
 * a time waits for its reply.
 *
 * Only control_link_open blocks, for as long as the caller allows.  Errors are
 * those of chan.h, -EBADMSG for frames that are not understood, and
 * ERR_BATCHD_REFUSED for an error frame; after an error the link is closed.
 */
#ifndef LIBPROTO_CONTROL_LINK_H
#define LIBPROTO_CONTROL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/chan.h"
#include "libproto/control_args.h"
#include "libproto/frame.h"

struct control_link {
	struct chan chan;         /* its fd is -1 while the link is closed */
	bool is_asked;            /* a request waits for its reply */
	uint64_t asked_id;        /* of the last request */
	uint8_t bytes[FRAME_MAX]; /* of the frame received last */
};

/* The frame of a control verb without arguments.  Keeps `verb`. */
struct frame control_link_frame(uint64_t id, const char *verb);

/*
 * Connect to the batchd at `socket`; wait_ms is that of chan_connect.  Returns
 * 0 or a negative error.
 */
MUST_USE int control_link_open(struct control_link *l, const char *socket,
                               int wait_ms);

/* Send a request; args may be NULL.  Returns 0 or a negative error. */
MUST_USE int control_link_ask(struct control_link *l, const char *verb,
                              const struct control_args *args);

/*
 * Receive what has come.  Returns 1 if it is the reply to the request, which is
 * in *reply and valid until the next call; its body is one complete map if it
 * is ok.  Returns 0 if the reply has not come, or a negative error.
 */
MUST_USE int control_link_receive(struct control_link *l, struct frame *reply);

/* Close the link.  Harmless if it is closed. */
void control_link_close(struct control_link *l);

#endif
