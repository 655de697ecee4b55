/*
 * top - `leat top`: a live page of the sinks in the terminal.
 *
 * The process waits for keys, for batchd and for signals at once, and for none
 * of them alone: batchd may be stopped, frozen or restarted meanwhile.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <msgpack.h>

#include "leat/cell.h"
#include "leat/top_model.h"
#include "leat/top_page.h"
#include "leat/top_screen.h"
#include "leat/top_signals.h"
#include "leat/top_view.h"
#include "leat/units.h"
#include "leat/verb.h"
#include "libbase/clock.h"
#include "libbase/log.h"
#include "libproto/control_link.h"

/* From one status to the next, and between two tries to reach batchd. */
#define REFRESH_MS 1000

/* batchd replies to a request for the status at once. */
#define REPLY_MS 2000

/* A pause waits for the write that the sink has begun. */
#define ORDER_MS 60000

struct top {
	const char *socket;
	struct top_model model;
	struct top_view view;
	struct top_page page;

	struct control_link status; /* asks for the status */
	uint64_t asked_ms, next_ms; /* the last request, and the next try */

	/* Another one, since an order may take long. */
	struct control_link order;
	uint64_t ordered_ms;
	int wake_fd;
};

/* --- the status --- */

/* Tell why there are no new figures, and of when those shown are. */
static void
set_trouble(struct top *t, const char *why)
{
	struct top_view *v = &t->view;
	char time[UNITS_TEXT_BYTES];

	/* The time is what follows the date. */
	if (t->model.known)
		(void)snprintf(
		    v->trouble, sizeof v->trouble, "batchd (figures of %s): %s",
		    units_time(t->model.now_us, time) + sizeof "2026-11-26",
		    why);
	else
		(void)snprintf(v->trouble, sizeof v->trouble, "batchd: %s",
		               why);
}

static void
status_lost(struct top *t, const char *why)
{
	control_link_close(&t->status);
	t->next_ms = clock_mono_ms() + REFRESH_MS;
	set_trouble(t, why);
}

/* Ask for the status if it is time; connect before if that is necessary. */
static void
ask_status(struct top *t, uint64_t now_ms)
{
	int rc = 0;

	if (t->status.is_asked || now_ms < t->next_ms)
		return;
	if (t->status.chan.fd < 0)
		rc = control_link_open(&t->status, t->socket, 0);
	if (rc == 0)
		rc = control_link_ask(&t->status, "status", NULL);
	t->asked_ms = now_ms;
	t->next_ms = now_ms + REFRESH_MS;
	if (rc < 0)
		status_lost(t, chan_error(t->socket, rc));
}

static void
take_status(struct top *t, const struct frame *f)
{
	msgpack_unpacked unpacked;
	size_t at = 0;
	int rc = -EBADMSG;

	msgpack_unpacked_init(&unpacked);
	if (f->reply.ok &&
	    msgpack_unpack_next(&unpacked, (const char *)f->body, f->body_bytes,
	                        &at) == MSGPACK_UNPACK_SUCCESS)
		rc = top_model_read(&t->model, &unpacked.data);
	msgpack_unpacked_destroy(&unpacked);
	if (rc < 0)
		status_lost(t, "its status is malformed: run leat and batchd "
		               "of one release");
	else
		t->view.trouble[0] = '\0';
}

static void
receive_status(struct top *t)
{
	struct frame f;
	int rc;

	if (t->status.chan.fd < 0)
		return;
	rc = control_link_receive(&t->status, &f);
	if (rc == 1)
		take_status(t, &f);
	else if (rc < 0)
		status_lost(t, chan_error(t->socket, rc));
}

/* A batchd that does not reply keeps its connection: it may be suspended. */
static void
judge_status(struct top *t, uint64_t now_ms)
{
	uint64_t waited_ms = now_ms - t->asked_ms;
	char text[64];

	if (!t->status.is_asked || waited_ms < REPLY_MS)
		return;
	(void)snprintf(text, sizeof text,
	               "it does not reply, for %" PRIu64 " s",
	               waited_ms / 1000);
	set_trouble(t, text);
}

/* --- orders --- */

static const char *
order_verb(const struct top *t)
{
	return t->view.order == TOP_PAUSE ? "pause" : "resume";
}

static void
order_ended(struct top *t, const char *result)
{
	struct top_view *v = &t->view;

	control_link_close(&t->order);
	t->next_ms = 0; /* show the effect at once */
	(void)snprintf(v->message, sizeof v->message, "%s %s: %s",
	               order_verb(t), v->order_sink, result);
}

static void
give_order(struct top *t, uint64_t now_ms)
{
	struct top_view *v = &t->view;
	struct control_args args;
	int rc;

	control_link_close(&t->order);
	control_args_init(&args);
	control_args_add_text(&args, "sink", slice_of(v->order_sink));
	if (v->order == TOP_PAUSE)
		control_args_add_text(&args, "why", slice_of("leat top"));
	rc = control_link_open(&t->order, t->socket, 0);
	if (rc == 0)
		rc = control_link_ask(&t->order, order_verb(t), &args);
	control_args_fini(&args);
	t->ordered_ms = now_ms;
	if (rc < 0)
		order_ended(t, chan_error(t->socket, rc));
	else
		(void)snprintf(v->message, sizeof v->message, "%s %s ...",
		               order_verb(t), v->order_sink);
}

static void
receive_order(struct top *t, uint64_t now_ms)
{
	char text[FRAME_TEXT_MAX + 1];
	struct frame f;
	int rc;

	if (t->order.chan.fd < 0)
		return;
	rc = control_link_receive(&t->order, &f);
	if (rc < 0) {
		order_ended(t, chan_error(t->socket, rc));
	} else if (rc == 0) {
		if (now_ms - t->ordered_ms >= ORDER_MS)
			order_ended(t, "it takes long; batchd goes on");
	} else if (f.reply.ok) {
		order_ended(t, "done");
	} else {
		frame_copy_text(text, &f.reply.text);
		order_ended(t, text);
	}
}

/* --- the loop --- */

/* Act on the keys pressed.  Returns true at the end of the program. */
static bool
take_keys(struct top *t)
{
	int key;

	while ((key = top_screen_key()) >= 0) {
		switch (top_view_on_key(&t->view, &t->model, key)) {
		case TOP_QUIT:
			return true;
		case TOP_ORDER:
			give_order(t, clock_mono_ms());
			break;
		case TOP_NOTHING:
			if (key == '\f') /* Ctrl-L */
				top_screen_redraw();
			break;
		}
	}
	return false;
}

/*
 * Wait for a key, a frame, a signal or the next refresh.  Returns false if the
 * terminal is gone.
 */
static bool
top_wait(const struct top *t)
{
	uint64_t now_ms = clock_mono_ms();
	struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
	                     {.fd = t->wake_fd, .events = POLLIN},
	                     {.fd = t->status.chan.fd, .events = POLLIN},
	                     {.fd = t->order.chan.fd, .events = POLLIN}};
	uint64_t wait_ms = REFRESH_MS;

	/* While a reply is awaited, only the seconds are counted. */
	if (!t->status.is_asked)
		wait_ms = t->next_ms > now_ms ? t->next_ms - now_ms : 0;
	if (poll(p, ARRAY_LEN(p), (int)wait_ms) <= 0)
		return true;
	return (p[0].revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

static void
top_loop(struct top *t)
{
	while (top_signals_end() == 0) {
		uint64_t now_ms = clock_mono_ms();

		/* The terminal may have cut or moved what it shows. */
		if (top_signals_clear())
			top_screen_redraw();
		top_signals_suspend(top_screen_suspend);
		ask_status(t, now_ms);
		receive_status(t);
		receive_order(t, now_ms);
		judge_status(t, now_ms);
		top_screen_resize(&t->page);
		top_page_make(&t->page, &t->model, &t->view);
		top_screen_draw(&t->page);
		if (!top_wait(t) || take_keys(t))
			break;
	}
}

static int
top_run(const struct verb_call *call)
{
	static struct top t;
	int rc;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		log_error("leat top needs a terminal; leat status --watch "
		          "writes to a file or a pipe, too");
		return EXIT_CONFIG;
	}
	t.socket = call->socket;
	t.status.chan.fd = t.order.chan.fd = -1;
	cell_set_locale();
	t.wake_fd = top_signals_catch();
	rc = t.wake_fd < 0 ? t.wake_fd : top_screen_open();
	if (rc < 0) {
		const char *term = getenv("TERM");

		log_error("leat top cannot draw on this terminal; set TERM, or "
		          "use leat status --watch term=%s",
		          log_quote(term ? term : ""));
		return EXIT_FAILURE;
	}
	top_page_init(&t.page);
	top_loop(&t);
	top_screen_close();
	control_link_close(&t.status);
	control_link_close(&t.order);
	top_page_fini(&t.page);
	return top_signals_exit(top_signals_end());
}

const struct verb top_verb = {
    .name = "top",
    .summary = "Shows the sinks live in the terminal: rates, lag, errors, "
	       "pauses.",
    .details = "CATCH-UP is the time until the sink has no lag, at the "
	       "present rates.\nRates are those of the last 10 s.\n"
	       "Keys: s sorts, arrows select a sink, p pauses or resumes it "
	       "after a question, q quits.",
    .examples = VERB_EXAMPLES({"leat top", "the sinks, once a second"}),
    .run = top_run,
};
