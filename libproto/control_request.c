/* control_request - see control_request.h. */
#include "libproto/control_request.h"

#include <errno.h>
#include <poll.h>

#include "libbase/clock.h"

/* Wait for the reply.  Other frames do not extend the time. */
static int
receive_reply(struct control_link *l, uint64_t until_ms, struct frame *f)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		int rc;

		if (now_ms >= until_ms)
			return -ETIMEDOUT;
		rc = control_link_receive(l, f);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		rc = chan_wait(&l->chan, POLLIN, (int)(until_ms - now_ms));
		if (rc < 0 && rc != -EINTR)
			return rc;
	}
}

int
control_request(const struct control_request *request,
                struct control_reply *reply)
{
	uint64_t until_ms = clock_mono_ms() + request->timeout_ms;
	struct control_link *l = &reply->link;
	struct frame f = {.type = FRAME_REPLY};
	int rc;

	reply->text[0] = '\0';
	reply->body = NULL;
	reply->body_bytes = 0;
	if (request->args && request->args->map.error < 0)
		return request->args->map.error;
	rc = control_link_open(l, request->socket, (int)request->timeout_ms);
	if (rc == 0)
		rc = control_link_ask(l, request->verb, request->args);
	if (rc == 0)
		rc = receive_reply(l, until_ms, &f);
	control_link_close(l);
	if (rc < 0)
		return rc;
	frame_copy_text(reply->text, &f.reply.text);
	if (!f.reply.ok)
		return -EOPNOTSUPP;
	reply->body = f.body;
	reply->body_bytes = f.body_bytes;
	return 0;
}
