/* chan - see chan.h. */
#include "libproto/chan.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/permissions.h"

int
chan_connect(struct chan *c, const char *path, int wait_ms)
{
	struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	c->fd = -1;
	if (strlen(path) >= sizeof addr.sun_path)
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	c->fd = socket(AF_UNIX,
	               SOCK_SEQPACKET | SOCK_CLOEXEC |
	                   (wait_ms > 0 ? 0 : SOCK_NONBLOCK),
	               0);
	if (c->fd < 0)
		return -errno;
	/* Only connect blocks: send and receive use MSG_DONTWAIT. */
	if ((wait_ms > 0 && setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait,
	                               sizeof wait) < 0) ||
	    connect(c->fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		rc = errno == EAGAIN ? -EBUSY : -errno;
		chan_close(c);
		return rc;
	}
	return 0;
}

const char *
chan_error(const char *path, int rc)
{
	static char text[PERMISSIONS_TEXT_BYTES + 128];
	char who[PERMISSIONS_TEXT_BYTES];

	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
		(void)snprintf(
		    text, sizeof text,
		    "%s: start batchd, or see why it ended in its log, or "
		    "correct [leat] socket",
		    strerror(-rc));
		break;
	case -EACCES:
		permissions_describe(path, who);
		(void)snprintf(text, sizeof text,
		               "%s: %s: run this as one of them", strerror(-rc),
		               who);
		break;
	case -EPIPE:
		return "batchd closed the connection; see its log for the "
		       "reason";
	case -ETIMEDOUT:
		return "batchd does not answer in time";
	case -EBUSY:
		return "batchd is busy: it has not accepted connections for "
		       "too "
		       "long; see its log, and try again";
	case ERR_BATCHD_REFUSED:
		return "batchd refused the connection; see its log for the "
		       "reason";
	default:
		return error_text(rc);
	}
	return text;
}

int
chan_send(struct chan *c, const struct frame *frame)
{
	uint8_t header[FRAME_HEADER_MAX];
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;
	int rc = frame_put_header(frame, header);

	if (rc < 0)
		return rc;
	if ((size_t)rc + frame->body_bytes > FRAME_MAX)
		return -EMSGSIZE;
	iov[0] = (struct iovec){header, (size_t)rc};
	/* sendmsg does not write through iov_base. */
	iov[1].iov_base = (void *)(uintptr_t)frame->body;
	iov[1].iov_len = frame->body_bytes;
	do
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	if (errno == ECONNRESET)
		return -EPIPE;
	/* ENOBUFS: the kernel is short of memory; try again later. */
	return errno == ENOBUFS ? -EAGAIN : -errno;
}

int
chan_recv(struct chan *c, void *buf, size_t cap)
{
	struct iovec iov = {buf, cap};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	do
		n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (msg.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	/* An empty packet looks the same, but no peer may send one. */
	return n == 0 ? -EPIPE : (int)n;
}

int
chan_wait(struct chan *c, short events, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	int n = poll(&p, 1, timeout_ms);

	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

int
chan_recv_until(struct chan *c, void *buf, size_t cap, uint64_t until_ms)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		int rc;

		if (now_ms >= until_ms)
			return -ETIMEDOUT;
		rc = chan_recv(c, buf, cap);
		if (rc != -EAGAIN)
			return rc;
		rc = chan_wait(c, POLLIN, (int)(until_ms - now_ms));
		if (rc < 0 && rc != -EINTR)
			return rc;
	}
}

void
chan_close(struct chan *c)
{
	if (c->fd >= 0)
		(void)close(c->fd); /* a socket: nothing to lose */
	c->fd = -1;
}
