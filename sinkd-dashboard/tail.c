/* tail - see tail.h. */
#include "sinkd-dashboard/tail.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libproto/control_link.h"

/* Frames received in one turn of the loop, so that viewers get their turn. */
#define RECV_BURST 16

/* All tails receive into it, and none keeps anything of it. */
static uint8_t received[FRAME_MAX];

static void
tail_on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

void
tail_close(struct tail *t)
{
	t->state = TAIL_CLOSED;
	if (t->poll) {
		uv_close((uv_handle_t *)t->poll, tail_on_poll_closed);
		t->poll = NULL;
		chan_close(&t->chan);
	}
}

static void
tail_lose(struct tail *t, int rc)
{
	tail_close(t);
	t->handler->on_lost(t, rc == -EPIPE ? "the connection was closed"
	                                    : error_text(rc));
}

/* --- frames --- */

static int
tail_on_opening(struct tail *t, const struct frame *f)
{
	if (f->type == FRAME_WELCOME && f->welcome.version == FRAME_VERSION)
		return 0;
	if (f->type != FRAME_STREAM)
		return -EPROTO;
	t->state = TAIL_OPEN;
	t->handler->on_open(t, f);
	return 0;
}

static int
tail_on_frame(struct tail *t, const struct frame *f)
{
	char text[FRAME_TEXT_MAX + 1];

	if (f->type == FRAME_ERROR) {
		frame_copy_text(text, &f->error.text);
		tail_close(t);
		t->handler->on_lost(
		    t, text[0] ? text : frame_error_name(f->error.code));
		return 0;
	}
	if (t->state == TAIL_HELLO)
		return tail_on_opening(t, f);
	switch (f->type) {
	case FRAME_BATCH:
		t->handler->on_batch(t, f);
		return 0;
	case FRAME_SKIPPED:
		t->handler->on_skipped(t, f->skipped.from, f->skipped.to);
		return 0;
	case FRAME_REPLY:
		t->handler->on_reply(t, f);
		return 0;
	default:
		return -EPROTO; /* batchd does not send it to a tail */
	}
}

static void
tail_on_ready(uv_poll_t *poll, int status, int events)
{
	struct tail *t = poll->data;
	int rc = status;

	(void)events;
	/* A callback may close the tail, and even open it again. */
	for (int i = 0; rc == 0 && t->poll == poll && i < RECV_BURST; i++) {
		struct frame f;
		int n = chan_recv(&t->chan, received, sizeof received);

		rc = n < 0 ? n : frame_read(received, (size_t)n, &f);
		if (rc == 0)
			rc = tail_on_frame(t, &f);
	}
	if (rc < 0 && rc != -EAGAIN && t->poll == poll)
		tail_lose(t, rc);
}

/* --- opening and sending --- */

static int
tail_poll(struct tail *t)
{
	int rc;

	t->poll = malloc(sizeof *t->poll);
	if (!t->poll)
		return -ENOMEM;
	rc = uv_poll_init(t->loop, t->poll, t->chan.fd);
	if (rc < 0) {
		free(t->poll);
		t->poll = NULL;
		return rc;
	}
	t->poll->data = t;
	return uv_poll_start(t->poll, UV_READABLE, tail_on_ready);
}

int
tail_open(struct tail *t)
{
	const struct frame hello = frame_hello(ROLE_TAIL, "dashboard");
	int rc = chan_connect(&t->chan, t->socket, 0);

	if (rc < 0)
		return rc;
	t->state = TAIL_HELLO;
	rc = tail_poll(t);
	if (rc == 0)
		rc = chan_send(&t->chan, &hello);
	if (rc < 0) {
		tail_close(t);
		chan_close(&t->chan); /* if there is no poll */
	}
	return rc;
}

int
tail_watch(struct tail *t, const uint64_t *from, uint64_t events,
           uint64_t bytes_per_s)
{
	const struct frame watch = {.type = FRAME_WATCH,
	                            .watch = {.has_from = from != NULL,
	                                      .from = from ? *from : 0,
	                                      .events = events,
	                                      .live = events == 0,
	                                      .bytes_per_s = bytes_per_s}};

	return chan_send(&t->chan, &watch);
}

int
tail_ask_status(struct tail *t, uint64_t id)
{
	const struct frame control = control_link_frame(id, "status");

	return chan_send(&t->chan, &control);
}
