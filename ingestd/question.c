/* question - see question.h. */
#include "ingestd/question.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void
on_closed(uv_handle_t *handle)
{
	free(handle);
}

bool
question_asked(const struct question *q)
{
	return q->poll != NULL;
}

void
question_drop(struct question *q)
{
	if (!q->poll)
		return;
	uv_close((uv_handle_t *)q->poll, on_closed);
	q->poll = NULL;
	chan_close(&q->chan); /* libuv allows this after uv_close */
	free(q->in);
	q->in = NULL;
}

/* Returns 1 when the answer is in f, 0 when it is still to come, or -errno. */
static int
read_one(struct question *q, struct frame *f)
{
	int n = chan_recv(&q->chan, q->in, FRAME_MAX), rc;

	if (n < 0)
		return n;
	rc = frame_read(q->in, (size_t)n, f);
	if (rc < 0)
		return rc;
	if (f->type == FRAME_REPLY)
		return f->reply.ok ? 1 : -EOPNOTSUPP;
	return f->type == FRAME_WELCOME ? 0 : -EPROTO;
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct question *q = poll->data;
	struct frame f = {.type = FRAME_HELLO};
	int rc = status;
	uint8_t *in;

	(void)events;
	while (rc == 0)
		rc = read_one(q, &f);
	if (rc == -EAGAIN)
		return;
	in = q->in; /* the answer lies there */
	q->in = NULL;
	question_drop(q);
	if (rc > 0)
		q->on_answer(q->arg, f.body, f.body_bytes);
	else
		q->on_answer(q->arg, NULL, 0);
	free(in);
}

/* Both at once: batchd answers the one and then the other. */
static int
send_both(struct question *q, const char *verb)
{
	struct frame hello = {.type = FRAME_HELLO,
	                      .hello = {.version = FRAME_VERSION,
	                                .role = ROLE_CONTROL,
	                                .name = slice_of("ingestd"),
	                                .pid = (uint64_t)getpid()}};
	struct frame control = {.type = FRAME_CONTROL,
	                        .control = {.id = 1, .verb = slice_of(verb)}};
	int rc = chan_send(&q->chan, &hello);

	return rc < 0 ? rc : chan_send(&q->chan, &control);
}

int
question_ask(struct question *q, const char *verb)
{
	int rc;

	assert(!q->poll);
	rc = chan_connect(&q->chan, q->socket);
	if (rc < 0)
		return rc;
	rc = send_both(q, verb);
	q->in = malloc(FRAME_MAX);
	q->poll = malloc(sizeof *q->poll);
	if (!q->in || !q->poll)
		rc = -ENOMEM;
	if (rc == 0)
		rc = uv_poll_init(q->loop, q->poll, q->chan.fd);
	if (rc < 0) {
		chan_close(&q->chan);
		free(q->poll);
		free(q->in);
		q->poll = NULL;
		q->in = NULL;
		return rc;
	}
	q->poll->data = q;
	/* Fails only for a handle that is closing. */
	(void)uv_poll_start(q->poll, UV_READABLE, on_ready);
	return 0;
}
