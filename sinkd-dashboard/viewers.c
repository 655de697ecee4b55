/* viewers - see viewers.h. */
#include "sinkd-dashboard/viewers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libbase/clock.h"

/*
 * A viewer has its turn in one of TURNS calls of a timer, so four times a
 * second.  If all were woken together, their messages would keep a core from
 * the other daemons for milliseconds.
 */
#define TURN_MS 25
#define TURNS 10

/*
 * Least time between two `events` of a viewer: one turn, or two while more
 * events arrive than the dashboard reads.  Its rows are a sample then, and the
 * CPU is needed elsewhere.  Both are a little shorter than the turns, so that
 * a turn always finds the time passed.
 */
#define EVENTS_MS 240
#define SAMPLE_MS 490

/* A viewer that takes its messages has a turn within this time. */
#define ROUND_MS (2 * TURNS * TURN_MS)

/* Room for what surrounds the data of a message. */
#define FRAMING_BYTES 64

/* Room for the rows of `events`, which may follow two `gap`. */
#define EVENTS_ROOM (VIEWER_TEXT_BYTES - 5 * FRAMING_BYTES)

/* Windows that all lost their stream do not return at the same time. */
#define RETRY_MIN_MS 1000
#define RETRY_RANGE_MS 4000

/* --- memory --- */

/* Reserve the memory of a text, and touch its pages, as event_ring does. */
static int
init_text(struct buf *text)
{
	int rc;

	buf_init(text, VIEWER_TEXT_BYTES);
	rc = buf_reserve(text, VIEWER_TEXT_BYTES);
	if (rc == 0)
		memset(text->data, ' ', VIEWER_TEXT_BYTES);
	return rc;
}

static int
init_texts(struct viewers *v)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < v->max; i++) {
		v->list[i].all = v;
		rc = init_text(&v->list[i].text);
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(v->ticks); i++)
		rc = init_text(&v->ticks[i].text);
	return rc == 0 ? init_text(&v->newest.text) : rc;
}

int
viewers_init(struct viewers *v, uv_loop_t *loop)
{
	uint64_t boot;

	(void)uv_timer_init(loop, &v->turns); /* cannot fail */
	v->turns.data = v;
	if (getrandom(&boot, sizeof boot, 0) != (ssize_t)sizeof boot)
		return -errno;
	(void)snprintf(v->boot, sizeof v->boot, "%016" PRIx64, boot);
	v->max = (size_t)v->settings->max_viewers;
	v->list = calloc(v->max, sizeof *v->list);
	return v->list ? init_texts(v) : -ENOMEM;
}

void
viewers_close(struct viewers *v)
{
	uv_close((uv_handle_t *)&v->turns, NULL);
}

void
viewers_fini(struct viewers *v)
{
	for (size_t i = 0; v->list && i < v->max; i++)
		buf_fini(&v->list[i].text);
	for (size_t i = 0; i < ARRAY_LEN(v->ticks); i++)
		buf_fini(&v->ticks[i].text);
	buf_fini(&v->newest.text);
	free(v->list);
	v->list = NULL;
}

/* --- messages --- */

static void
open_message(struct buf *out, const char *event)
{
	buf_addf(out, "event: %s\ndata: ", event);
}

static void
close_message(struct buf *out)
{
	buf_add_text(out, "\n\n");
}

struct message_hello
viewers_hello(const struct viewers *v, const struct visitor *visitor)
{
	return (struct message_hello){.boot = v->boot,
	                              .ingest_url = v->settings->ingest_url,
	                              .show = visitor->show,
	                              .login =
	                                  v->settings->tokens_file[0] != '\0',
	                              .session = visitor->logged_in,
	                              .now_us = clock_wall_us()};
}

static void
compose_hello(struct viewer *viewer)
{
	struct message_hello hello =
	    viewers_hello(viewer->all, &viewer->visitor);
	unsigned random_ms;

	if (getrandom(&random_ms, sizeof random_ms, GRND_NONBLOCK) < 0)
		random_ms = 0;
	buf_addf(&viewer->text, "retry: %u\n",
	         RETRY_MIN_MS + random_ms % RETRY_RANGE_MS);
	open_message(&viewer->text, "hello");
	message_hello(&viewer->text, &hello);
	close_message(&viewer->text);
	viewer->stage = VIEWER_SNAPSHOT;
}

static void
compose_snapshot(struct viewer *viewer)
{
	const struct model *m = viewer->all->model;

	if (viewer->part == 0)
		open_message(&viewer->text, "snapshot");
	if (message_snapshot(&viewer->text, m, viewer->visitor.show,
	                     &viewer->snapshot, viewer->part++))
		return;
	close_message(&viewer->text);
	viewer->stage = VIEWER_LIVE;
}

/* The tick's text is the same for all viewers of one level. */
static const struct buf *
tick_text(struct viewers *v, enum show show)
{
	struct buf *text = &v->ticks[show].text;

	if (v->ticks[show].tick != v->model->ticks) {
		v->ticks[show].tick = v->model->ticks;
		buf_clear(text);
		open_message(text, "tick");
		message_tick(text, v->model, show, v->count, v->max);
		close_message(text);
	}
	return text;
}

/* Add the text of a message that several viewers get. */
static void
add_shared(struct viewer *viewer, const struct buf *text)
{
	if (text->error || buf_add(&viewer->text, text->data, text->len) < 0)
		viewer->text.error = -EMSGSIZE;
}

static void
compose_tick(struct viewer *viewer)
{
	add_shared(viewer, tick_text(viewer->all, viewer->visitor.show));
	viewer->tick = viewer->all->model->ticks;
}

static void
compose_gap(struct viewer *viewer, uint64_t skipped, const char *why)
{
	open_message(&viewer->text, "gap");
	buf_addf(&viewer->text, "{\"skipped\":%" PRIu64 ",\"why\":\"%s\"}",
	         skipped, why);
	close_message(&viewer->text);
}

/* Append the events from number `from` of the ring that match, if any do. */
static void
add_events(struct buf *text, const struct event_ring *ring,
           const struct filter *filter, uint64_t from)
{
	size_t before = text->len;

	open_message(text, "events");
	if (message_events(text, ring, filter, from, EVENTS_ROOM) > 0)
		close_message(text);
	else
		text->len = before;
}

/* The text of all events from number `from` of the ring. */
static const struct buf *
newest_text(struct viewers *v, uint64_t from)
{
	const struct event_ring *ring = &v->model->ring;
	const struct filter every = {0};
	struct buf *text = &v->newest.text;

	if (text->len == 0 || v->newest.from != from ||
	    v->newest.next != ring->next) {
		v->newest.from = from;
		v->newest.next = ring->next;
		buf_clear(text);
		add_events(text, ring, &every, from);
	}
	return text;
}

/* What it has missed, and the new events. */
static void
compose_events(struct viewer *viewer)
{
	const struct model *m = viewer->all->model;
	const struct filter *filter = &viewer->wish.filter;
	uint64_t moved = m->moved_ahead - viewer->moved_ahead;

	if (m->ring.first > viewer->position) {
		uint64_t slow = m->ring.first - viewer->position;

		compose_gap(viewer, slow, "slow");
		viewer->all->slow_events += slow;
		viewer->position = m->ring.first;
	}
	if (moved > 0)
		compose_gap(viewer, moved, "moved ahead");
	viewer->moved_ahead = m->moved_ahead;
	if (filter_is_empty(filter))
		add_shared(viewer, newest_text(viewer->all, viewer->position));
	else
		add_events(&viewer->text, &m->ring, filter, viewer->position);
	viewer->position = m->ring.next;
}

/*
 * Whether the viewer should get events now.  If they are sent together with a
 * tick, they do not wait for a second turn.
 */
static bool
events_are_due(const struct viewer *viewer, uint64_t now_ms, bool together)
{
	const struct model *m = viewer->all->model;
	bool moved = m->moved_ahead != viewer->moved_ahead;
	uint64_t wait_ms = moved && !together ? SAMPLE_MS : EVENTS_MS;

	return viewer->wish.rows && viewer->stage == VIEWER_LIVE &&
	       (m->ring.next > viewer->position || moved) &&
	       now_ms - viewer->events_ms >= wait_ms;
}

/*
 * Compose the next message, which is sent together with the one before it, or
 * alone.  Returns false if there is nothing to send.
 */
static bool
viewer_compose(struct viewer *viewer, bool together)
{
	const struct model *m = viewer->all->model;
	uint64_t now_ms = clock_mono_ms();

	buf_clear(&viewer->text);
	viewer->sent = 0;
	if (viewer->stage == VIEWER_HELLO) {
		compose_hello(viewer);
	} else if (viewer->stage == VIEWER_SNAPSHOT) {
		compose_snapshot(viewer);
	} else if (viewer->tick != m->ticks) {
		compose_tick(viewer);
	} else if (events_are_due(viewer, now_ms, together)) {
		compose_events(viewer);
		viewer->events_ms = now_ms;
	}
	/*
	 * A tick whose texts are all as long as possible, and need escapes,
	 * could be too large.  It is left out, as if the viewer were slow.
	 */
	if (viewer->text.error)
		buf_clear(&viewer->text);
	return viewer->text.len > 0;
}

static struct viewer *
viewer_of(struct http_request *rq)
{
	struct viewer **viewer = http_data(rq);

	return *viewer;
}

static ssize_t
viewer_produce(struct http_request *rq, char *out, size_t room)
{
	struct viewer *viewer = viewer_of(rq);
	size_t n = 0;

	/* What a login may see ends with the login. */
	if (viewer->all->stopping ||
	    !access_goes_on(viewer->all->access, &viewer->visitor))
		return HTTP_STREAM_END;
	while (n < room && (viewer->sent < viewer->text.len ||
	                    viewer_compose(viewer, n > 0))) {
		size_t bytes = viewer->text.len - viewer->sent;

		if (bytes > room - n)
			bytes = room - n;
		memcpy(out + n, viewer->text.data + viewer->sent, bytes);
		viewer->sent += bytes;
		n += bytes;
	}
	return n > 0 ? (ssize_t)n : HTTP_STREAM_WAIT;
}

/* --- beginning and end --- */

/*
 * Wake those whose turn is the next and for whom there is something; with
 * ticks_only, for whom there is a tick.
 */
static void
take_turn(struct viewers *v, uint64_t now_ms, bool ticks_only)
{
	v->turn = (v->turn + 1) % TURNS;
	for (size_t i = v->turn; i < v->max; i += TURNS) {
		const struct viewer *viewer = &v->list[i];

		if (viewer->rq &&
		    (viewer->tick != v->model->ticks ||
		     (!ticks_only && events_are_due(viewer, now_ms, false))))
			http_stream_wake(viewer->rq);
	}
}

/*
 * On a busy machine the timer is late, and the timer of libuv does not make up
 * for that.  Take the turns that were left out, since a viewer whose turn came
 * less than once a second would miss ticks.  Events can wait: fewer messages
 * are right on such a machine.
 */
static void
on_turn(uv_timer_t *timer)
{
	struct viewers *v = timer->data;
	uint64_t now_ms = clock_mono_ms();
	uint64_t turns = (now_ms - v->turned_ms) / TURN_MS;

	if (v->count == 0)
		(void)uv_timer_stop(timer);
	v->turned_ms = now_ms;
	for (uint64_t i = 1; i < turns && i < TURNS; i++)
		take_turn(v, now_ms, true);
	take_turn(v, now_ms, false);
}

bool
viewer_begin(struct viewers *v, struct http_request *rq, const char *headers,
             const struct visitor *visitor, const struct viewer_wish *wish)
{
	const struct http_response response = {
	    .status = 200, .type = "text/event-stream", .headers = headers};
	struct viewer **data = http_data(rq);

	for (size_t i = 0; i < v->max; i++) {
		struct viewer *viewer = &v->list[i];
		struct buf text = viewer->text;

		if (viewer->rq)
			continue;
		buf_clear(&text);
		*viewer = (struct viewer){.all = v,
		                          .rq = rq,
		                          .visitor = *visitor,
		                          .wish = *wish,
		                          .position = v->model->ring.next,
		                          .moved_ahead = v->model->moved_ahead,
		                          .text = text};
		*data = viewer;
		if (v->count++ == 0) {
			v->turned_ms = clock_mono_ms();
			(void)uv_timer_start(&v->turns, on_turn, TURN_MS,
			                     TURN_MS);
		}
		http_stream(rq, &response, viewer_produce);
		return true;
	}
	return false;
}

void
viewer_end(struct viewer *viewer)
{
	if (!viewer)
		return;
	viewer->rq = NULL;
	viewer->all->count--;
}

void
viewers_on_tick(struct viewers *v)
{
	uint64_t left_ms = 1000 - clock_mono_ms() % 1000;

	if (left_ms < ROUND_MS)
		viewers_wake(v);
}

void
viewers_wake(struct viewers *v)
{
	for (size_t i = 0; i < v->max; i++) {
		if (v->list[i].rq)
			http_stream_wake(v->list[i].rq);
	}
}
