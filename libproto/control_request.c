/* control_request - see control_request.h. */
#include "libproto/control_request.h"

#include <errno.h>

#include "libbase/clock.h"
#include "libbase/error.h"
#include "libproto/chan.h"

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

/* Introduce this process, and send the request. */
static int
send_request(struct chan *c, const struct control_request *request)
{
	const struct frame hello = frame_hello(ROLE_CONTROL, "leat");
	struct frame f = control_frame(1, request->verb);
	int rc;

	if (request->args) {
		f.body = request->args->map.data;
		f.body_bytes = request->args->map.len;
	}
	rc = chan_send(c, &hello);
	return rc < 0 ? rc : chan_send(c, &f);
}

/* Receive frames until the reply has come.  Other frames do not extend it. */
static int
receive_reply(struct chan *c, uint64_t until_ms, struct control_reply *reply)
{
	struct frame f = {.type = FRAME_HELLO};
	int rc = 0;

	while (rc == 0 && f.type != FRAME_REPLY) {
		rc = chan_recv_until(c, reply->bytes, sizeof reply->bytes,
		                     until_ms);
		if (rc > 0)
			rc = frame_read(reply->bytes, (size_t)rc, &f);
		if (rc == 0 && f.type == FRAME_ERROR)
			rc = ERR_BATCHD_REFUSED;
	}
	if (rc < 0)
		return rc;
	frame_copy_text(reply->text, &f.reply.text);
	if (!f.reply.ok)
		return -EOPNOTSUPP;
	/* A decoder needs one complete value. */
	if (!wire_is_one_value(f.body, f.body_bytes))
		return -EBADMSG;
	reply->body = f.body;
	reply->body_bytes = f.body_bytes;
	return 0;
}

int
control_request(const struct control_request *request,
                struct control_reply *reply)
{
	uint64_t until_ms = clock_mono_ms() + request->timeout_ms;
	struct chan c;
	int rc;

	reply->text[0] = '\0';
	reply->body = NULL;
	reply->body_bytes = 0;
	if (request->args && request->args->map.error < 0)
		return request->args->map.error;
	rc = chan_connect(&c, request->socket, (int)request->timeout_ms);
	if (rc < 0)
		return rc;
	rc = send_request(&c, request);
	if (rc == 0)
		rc = receive_reply(&c, until_ms, reply);
	chan_close(&c);
	return rc;
}
