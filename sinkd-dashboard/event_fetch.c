/* event_fetch - see event_fetch.h. */
#include "sinkd-dashboard/event_fetch.h"

#include <errno.h>

#define FETCH_MS 3000

static void
fetch_end(struct event_fetch *f)
{
	tail_close(&f->tail);
	(void)uv_timer_stop(&f->deadline);
	f->owner = NULL;
}

static void
fetch_finish(struct event_fetch *f, enum fetch_result result,
             const struct event *event)
{
	void *owner = f->owner;

	fetch_end(f);
	f->on_done(owner, result, f->offset, event);
}

static void
fetch_on_open(struct tail *t, const struct frame *stream)
{
	struct event_fetch *f = t->owner;

	if (f->offset < stream->stream.first_offset)
		fetch_finish(f, FETCH_DELETED, NULL);
	else if (f->offset >= stream->stream.next_offset)
		fetch_finish(f, FETCH_NOT_YET, NULL);
	else if (tail_watch(t, &f->offset, 1, 0) < 0)
		fetch_finish(f, FETCH_UNREACHABLE, NULL);
}

static void
fetch_on_batch(struct tail *t, const struct frame *frame)
{
	struct event_fetch *f = t->owner;
	struct wire_reader r = {frame->body, frame->body + frame->body_bytes};
	struct event event;

	if (frame->batch.count == 0)
		return;
	if (frame->batch.offset != f->offset)
		fetch_finish(f, FETCH_DELETED, NULL);
	else if (event_read(&r, &event) < 0)
		fetch_finish(f, FETCH_UNREACHABLE, NULL);
	else
		fetch_finish(f, FETCH_DONE, &event);
}

static void
fetch_on_skipped(struct tail *t, uint64_t from, uint64_t to)
{
	struct event_fetch *f = t->owner;

	if (from <= f->offset && f->offset < to)
		fetch_finish(f, FETCH_DELETED, NULL);
}

static void
fetch_on_reply(struct tail *t, const struct frame *frame)
{
	(void)t; /* nothing was asked */
	(void)frame;
}

static void
fetch_on_lost(struct tail *t, const char *why)
{
	(void)why; /* the link logs it */
	fetch_finish(t->owner, FETCH_UNREACHABLE, NULL);
}

static void
fetch_on_deadline(uv_timer_t *timer)
{
	fetch_finish(timer->data, FETCH_UNREACHABLE, NULL);
}

void
event_fetches_open(struct event_fetches *all, uv_loop_t *loop,
                   const char *socket, event_fetch_done on_done)
{
	static const struct tail_handler handler = {
	    fetch_on_open, fetch_on_batch, fetch_on_skipped, fetch_on_reply,
	    fetch_on_lost};

	for (size_t i = 0; i < EVENT_FETCHES; i++) {
		struct event_fetch *f = &all->list[i];

		f->tail = (struct tail){.loop = loop,
		                        .socket = socket,
		                        .handler = &handler,
		                        .owner = f,
		                        .chan = {.fd = -1}};
		f->on_done = on_done;
		f->owner = NULL;
		(void)uv_timer_init(loop, &f->deadline); /* cannot fail */
		f->deadline.data = f;
	}
}

void
event_fetches_close(struct event_fetches *all)
{
	for (size_t i = 0; i < EVENT_FETCHES; i++) {
		fetch_end(&all->list[i]);
		uv_close((uv_handle_t *)&all->list[i].deadline, NULL);
	}
}

int
event_fetch_begin(struct event_fetches *all, void *owner, uint64_t offset)
{
	for (size_t i = 0; i < EVENT_FETCHES; i++) {
		struct event_fetch *f = &all->list[i];
		int rc;

		if (f->owner)
			continue;
		rc = tail_open(&f->tail);
		if (rc < 0)
			return rc;
		f->owner = owner;
		f->offset = offset;
		(void)uv_timer_start(&f->deadline, fetch_on_deadline, FETCH_MS,
		                     0);
		return 0;
	}
	return -EBUSY;
}

void
event_fetch_cancel(struct event_fetches *all, const void *owner)
{
	for (size_t i = 0; i < EVENT_FETCHES; i++) {
		if (all->list[i].owner == owner)
			fetch_end(&all->list[i]);
	}
}
