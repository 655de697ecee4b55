/* control_link - see control_link.h. */
#include "libproto/control_link.h"

#include <errno.h>

#include "libbase/error.h"
#include "libproto/wire.h"

/* Close the link after an error, which it returns. */
static int
control_link_fail(struct control_link *l, int rc)
{
	control_link_close(l);
	return rc;
}

struct frame
control_link_frame(uint64_t id, const char *verb)
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
control_link_open(struct control_link *l, const char *socket, int wait_ms)
{
	const struct frame hello = frame_hello(ROLE_CONTROL, "leat");
	int rc = chan_connect(&l->chan, socket, wait_ms);

	l->is_asked = false;
	l->asked_id = 0;
	if (rc < 0)
		return rc;
	rc = chan_send(&l->chan, &hello);
	return rc < 0 ? control_link_fail(l, rc) : 0;
}

int
control_link_ask(struct control_link *l, const char *verb,
                 const struct control_args *args)
{
	struct frame f = control_link_frame(++l->asked_id, verb);
	int rc = args ? args->map.error : 0;

	if (args) {
		f.body = args->map.data;
		f.body_bytes = args->map.len;
	}
	if (rc == 0)
		rc = chan_send(&l->chan, &f);
	l->is_asked = rc == 0;
	return rc < 0 ? control_link_fail(l, rc) : 0;
}

int
control_link_receive(struct control_link *l, struct frame *reply)
{
	int rc;

	for (;;) {
		rc = chan_recv(&l->chan, l->bytes, sizeof l->bytes);
		if (rc == -EAGAIN)
			return 0;
		if (rc > 0)
			rc = frame_read(l->bytes, (size_t)rc, reply);
		if (rc < 0)
			return control_link_fail(l, rc);
		if (reply->type == FRAME_ERROR)
			return control_link_fail(l, ERR_BATCHD_REFUSED);
		if (reply->type == FRAME_REPLY && l->is_asked &&
		    reply->reply.id == l->asked_id)
			break;
	}
	l->is_asked = false;
	/* A decoder needs one complete value. */
	if (reply->reply.ok &&
	    !wire_is_one_value(reply->body, reply->body_bytes))
		return control_link_fail(l, -EBADMSG);
	return 1;
}

void
control_link_close(struct control_link *l)
{
	chan_close(&l->chan);
	l->is_asked = false;
}
