/*
 * chan - one end of a local connection that carries frames.
 *
 * The socket is SOCK_SEQPACKET: one send is one packet is one frame, so
 * nothing here reassembles packets.  Only chan_connect and chan_wait block, for
 * as long as the caller allows.  No function allocates memory.  Errors are
 * negative errno values.  -EAGAIN is not a failure: wait until the fd is ready
 * and call again.  A failed call leaves the chan open; the owner closes it.
 */
#ifndef LIBPROTO_CHAN_H
#define LIBPROTO_CHAN_H

#include <stddef.h>
#include <sys/uio.h>

#include "libbase/base.h"
#include "libproto/frame.h"

struct chan {
	int fd; /* owned; -1 when closed */
};

/*
 * Connect to the daemon listening at path.  After success the caller must
 * chan_close(c).  Returns 0, or -errno with c closed: -ENOENT and
 * -ECONNREFUSED if the daemon is not running, -EBUSY if its queue of
 * connections that it has not accepted was still full after wait_ms (0: do not
 * wait).
 */
MUST_USE int chan_connect(struct chan *c, const char *path, int wait_ms);

/*
 * Return a text for an operator: what rc means, which chan_connect to `path`
 * or a call on that chan has returned, and what to do.  The text is in static
 * memory and valid until the next call.
 */
const char *chan_error(const char *path, int rc);

/*
 * Send one frame: the header of `frame` and its body.  Returns 0, -EAGAIN
 * (the receiver lags), -EPIPE (the receiver is gone), -EINVAL (a field is out
 * of its limits) or -EMSGSIZE (above FRAME_MAX).
 */
MUST_USE int chan_send(struct chan *c, const struct frame *frame);

/*
 * Receive one frame's bytes into buf, which holds cap bytes.  Returns their
 * number (> 0), -EAGAIN, -EPIPE (the sender is gone), or -EMSGSIZE: the frame
 * was longer than cap and has been dropped whole.
 */
MUST_USE int chan_recv(struct chan *c, void *buf, size_t cap);

/*
 * Block until c can be read (`events` POLLIN) or written (POLLOUT), or the
 * other end is gone.  Returns 0, -ETIMEDOUT after timeout_ms (-1: never), or
 * -EINTR.
 */
MUST_USE int chan_wait(struct chan *c, short events, int timeout_ms);

/*
 * As chan_recv, but block until there is a frame or the other end is gone.
 * Returns -ETIMEDOUT from until_ms on the monotonic clock on.
 */
MUST_USE int chan_recv_until(struct chan *c, void *buf, size_t cap,
                             uint64_t until_ms);

/* Close the socket.  Does nothing if c is closed. */
void chan_close(struct chan *c);

#endif
