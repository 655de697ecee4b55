/* batchd_link - see batchd_link.h. */
#include "sinkd-dashboard/batchd_link.h"

#include <stdio.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/error.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000

/* A batchd that does not reply for this long is reported. */
#define REPLY_MS 1600

static const struct log_limit link_log_limit = {.interval_ms = 60000,
                                                .burst = 3};

static void link_on_retry(uv_timer_t *timer);

static void
link_lost(struct batchd_link *l, const char *why)
{
	unsigned suppressed;

	(void)snprintf(l->error, sizeof l->error, "%s", why);
	if (l->lost_since_us == 0)
		l->lost_since_us = clock_wall_us();
	if (log_allow(&l->unreachable_log, &suppressed))
		log_warn("batchd unreachable socket=%s err=%s suppressed=%u",
		         log_quote(l->tail.socket), log_quote(why), suppressed);
	(void)uv_timer_start(&l->retry, link_on_retry, l->backoff_ms, 0);
	l->backoff_ms *= 2;
	if (l->backoff_ms > BACKOFF_MAX_MS)
		l->backoff_ms = BACKOFF_MAX_MS;
	l->on_change(l->arg);
}

static void
link_on_retry(uv_timer_t *timer)
{
	struct batchd_link *l = timer->data;
	int rc = tail_open(&l->tail);

	l->last_reply_ms = clock_mono_ms();
	if (rc < 0)
		link_lost(l, error_text(rc));
}

/* --- frames --- */

/*
 * Watch the newest events.  After a lost connection to the same log, watch
 * from where it was lost on, so that what came meanwhile is read, or counted
 * as skipped.
 */
static int
link_watch(struct batchd_link *l, const struct frame *f)
{
	const struct slice *name = &f->stream.name;

	if (slice_is(*name, l->stream) && l->next <= f->stream.next_offset)
		return tail_watch(&l->tail, &l->next, 0,
		                  BATCHD_LINK_BYTES_PER_S);
	memcpy(l->stream, name->data, name->bytes);
	l->stream[name->bytes] = '\0';
	l->next = f->stream.next_offset;
	return tail_watch(&l->tail, NULL, 0, BATCHD_LINK_BYTES_PER_S);
}

static void
link_on_open(struct tail *t, const struct frame *stream)
{
	struct batchd_link *l = t->owner;
	int rc = link_watch(l, stream);
	unsigned suppressed;

	if (rc < 0) {
		tail_close(t);
		link_lost(l, error_text(rc));
		return;
	}
	if (log_allow(&l->connected_log, &suppressed))
		log_info("batchd connected socket=%s next_offset=%llu "
		         "suppressed=%u",
		         log_quote(t->socket),
		         (unsigned long long)stream->stream.next_offset,
		         suppressed);
	batchd_link_ask(l);
}

static void
link_on_batch(struct tail *t, const struct frame *f)
{
	struct batchd_link *l = t->owner;
	struct wire_reader r = {f->body, f->body + f->body_bytes};
	struct event event;

	for (uint32_t i = 0; i < f->batch.count; i++) {
		if (event_read(&r, &event) < 0) {
			tail_close(t);
			link_lost(l, "batchd sent a malformed event");
			return;
		}
		model_event(l->model, f->batch.offset + i, &event);
		l->next = f->batch.offset + i + 1;
	}
}

static void
link_on_skipped(struct tail *t, uint64_t from, uint64_t to)
{
	struct batchd_link *l = t->owner;

	model_skipped(l->model, from, to);
	l->next = to;
}

static void
link_on_reply(struct tail *t, const struct frame *f)
{
	struct batchd_link *l = t->owner;
	uint64_t now_ms = clock_mono_ms();

	/* One complete value: then a decoder is bounded by its bytes. */
	if (!f->reply.ok || !wire_is_one_value(f->body, f->body_bytes) ||
	    model_status(l->model, f->body, f->body_bytes, now_ms) < 0) {
		tail_close(t);
		link_lost(l, "batchd's status is malformed; run programs of "
		             "one release");
		return;
	}
	l->last_reply_ms = now_ms;
	l->lost_since_us = 0;
	/* Not before: one that is no batchd may accept every connection. */
	l->backoff_ms = BACKOFF_MIN_MS;
	l->unreachable_log = link_log_limit;
	if (f->reply.id == l->asked)
		l->on_change(l->arg);
}

static void
link_on_lost(struct tail *t, const char *why)
{
	link_lost(t->owner, why);
}

/* --- */

void
batchd_link_ask(struct batchd_link *l)
{
	/*
	 * If the socket is full, batchd does not read, which batchd_link_state
	 * reports; the next second asks again.
	 */
	if (l->tail.state == TAIL_OPEN &&
	    tail_ask_status(&l->tail, l->asked + 1) == 0)
		l->asked++;
}

struct verdict_batchd
batchd_link_state(struct batchd_link *l)
{
	struct verdict_batchd state = {.answers = l->lost_since_us == 0,
	                               .since_us = l->lost_since_us,
	                               .error = l->error};

	if (l->tail.state != TAIL_CLOSED) {
		bool late = clock_mono_ms() - l->last_reply_ms > REPLY_MS;

		if (late && l->lost_since_us == 0) {
			l->lost_since_us = clock_wall_us();
			state.since_us = l->lost_since_us;
			state.answers = false;
		}
		if (late)
			state.error = "it does not reply";
	}
	return state;
}

void
batchd_link_open(struct batchd_link *l, uv_loop_t *loop, const char *socket)
{
	static const struct tail_handler handler = {
	    link_on_open, link_on_batch, link_on_skipped, link_on_reply,
	    link_on_lost};

	l->tail = (struct tail){.loop = loop,
	                        .socket = socket,
	                        .handler = &handler,
	                        .owner = l,
	                        .chan = {.fd = -1}};
	l->backoff_ms = BACKOFF_MIN_MS;
	l->unreachable_log = l->connected_log = link_log_limit;
	l->lost_since_us = clock_wall_us();
	(void)uv_timer_init(loop, &l->retry); /* cannot fail */
	l->retry.data = l;
	(void)uv_timer_start(&l->retry, link_on_retry, 0, 0);
}

void
batchd_link_close(struct batchd_link *l)
{
	tail_close(&l->tail);
	uv_close((uv_handle_t *)&l->retry, NULL);
}
