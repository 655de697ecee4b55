/* control_request - see control_request.h. */
#include "libproto/control_request.h"

#include <errno.h>
#include <unistd.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libproto/chan.h"

/* Time for the whole call; other frames from batchd do not extend it. */
#define REPLY_TIMEOUT_MS 5000

struct frame
control_frame(uint64_t id, const char *verb)
{
	static const uint8_t no_arguments[] = {0x80}; /* an empty map */
	struct frame f = {.type = FRAME_CONTROL,
	                  .body = no_arguments,
	                  .body_bytes = sizeof no_arguments};

	f.control.id = id;
	f.control.verb = slice_of(verb);
	return f;
}

int
control_request(const char *socket, const char *verb, uint8_t *out,
                const uint8_t **body)
{
	const struct frame request = control_frame(1, verb);
	struct frame hello = {.type = FRAME_HELLO};
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
	if (rc == 0)
		rc = chan_send(&c, &request);
	while (rc == 0 && f.type != FRAME_REPLY) {
		rc = chan_recv_until(&c, out, FRAME_MAX, until_ms);
		if (rc > 0)
			rc = frame_read(out, (size_t)rc, &f);
		if (rc == 0 && f.type == FRAME_ERROR)
			rc = ERR_BATCHD_REFUSED;
	}
	if (rc == 0 && !f.reply.ok)
		rc = -EOPNOTSUPP;
	/* A decoder needs one complete value. */
	if (rc == 0 && !wire_is_one_value(f.body, f.body_bytes))
		rc = -EBADMSG;
	if (rc == 0) {
		*body = f.body;
		rc = (int)f.body_bytes;
	}
	chan_close(&c);
	return rc;
}
