/* control_request - see control_request.h. */
#include "libproto/control_request.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libproto/chan.h"

/* Time for the whole call; other frames from batchd do not extend it. */
#define REPLY_TIMEOUT_MS 5000

static int
next_frame(struct chan *c, uint64_t until_ms, uint8_t *out, struct frame *f)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		int rc;

		if (now_ms >= until_ms)
			return -ETIMEDOUT;
		rc = chan_recv(c, out, FRAME_MAX);
		if (rc != -EAGAIN)
			return rc < 0 ? rc : frame_read(out, (size_t)rc, f);
		rc = chan_wait(c, POLLIN, (int)(until_ms - now_ms));
		if (rc < 0 && rc != -EINTR)
			return rc;
	}
}

/* Check that the body is one complete value, as a decoder needs it. */
static int
check_map(const struct frame *f)
{
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	int rc = wire_skip(&r);

	return rc < 0 || r.at != r.end ? -EBADMSG : 0;
}

int
control_request(const char *socket, const char *verb, uint8_t *out,
                const uint8_t **body)
{
	static const uint8_t no_arguments[] = {0x80}; /* an empty map */
	struct frame hello = {.type = FRAME_HELLO};
	struct frame request = {.type = FRAME_CONTROL};
	struct frame f = {.type = FRAME_HELLO};
	uint64_t until_ms = clock_mono_ms() + REPLY_TIMEOUT_MS;
	struct chan c;
	int rc = chan_connect(&c, socket, REPLY_TIMEOUT_MS);

	if (rc < 0)
		return rc;
	hello.hello.version = FRAME_VERSION;
	hello.hello.role = ROLE_CONTROL;
	hello.hello.name = slice_of("leat");
	hello.hello.pid = (uint64_t)getpid();
	rc = chan_send(&c, &hello);
	request.control.id = 1;
	request.control.verb = slice_of(verb);
	request.body = no_arguments;
	request.body_bytes = sizeof no_arguments;
	if (rc == 0)
		rc = chan_send(&c, &request);
	while (rc == 0 && f.type != FRAME_REPLY) {
		rc = next_frame(&c, until_ms, out, &f);
		if (rc == 0 && f.type == FRAME_ERROR)
			rc = ERR_BATCHD_REFUSED;
	}
	if (rc == 0 && !f.reply.ok)
		rc = -EOPNOTSUPP;
	if (rc == 0)
		rc = check_map(&f);
	if (rc == 0) {
		*body = f.body;
		rc = (int)f.body_bytes;
	}
	chan_close(&c);
	return rc;
}
