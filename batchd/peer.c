/* peer - see peer.h. */
#include "batchd/peer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "libbase/clock.h"
#include "libbase/error.h"

/*
 * The most append frames of one peer that may wait for their acknowledgement.
 * A peer that has that many is not read.
 */
#define UNACKNOWLEDGED_MAX 16384

/* --- states --- */

/* Return true if batchd has accepted its hello as a sink. */
static bool
is_sink(const struct peer *p)
{
	return p->state == PEER_SINK || p->state == PEER_STARTED ||
	       p->state == PEER_SUBSCRIBED || p->state == PEER_HALTING ||
	       p->state == PEER_SEEKING;
}

/* Return true if batchd has accepted its hello as an ingestd or a sink. */
static bool
is_daemon(const struct peer *p)
{
	return p->state == PEER_INGEST || is_sink(p);
}

/* batchd has accepted the hello of a daemon or a tail. */
static void
log_arrival(struct peer *p)
{
	unsigned suppressed = 0;

	if (log_allow(&p->broker->arrivals, &suppressed))
		log_info("peer connected role=%s name=%s pid=%" PRIu64
		         " suppressed=%u",
		         frame_role_name(p->role), p->name, p->pid, suppressed);
}

static void
enter_daemon(struct peer *p)
{
	p->broker->daemon_count++;
	log_arrival(p);
}

static void
enter_tail(struct peer *p)
{
	struct broker *b = p->broker;

	b->tails[b->tail_count++] = p;
	log_arrival(p);
}

static void
leave_tail(struct peer *p)
{
	struct broker *b = p->broker;

	for (size_t i = 0; i < b->tail_count; i++) {
		if (b->tails[i] == p)
			b->tails[i] = b->tails[--b->tail_count];
	}
}

/* Undo what was done when the peer entered the state that it leaves. */
static void
leave_for_closing(struct peer *p)
{
	if (is_sink(p)) {
		if (p->sink->consumer.state != CONSUMER_DISCONNECTED)
			consumer_unsubscribe(&p->sink->consumer);
		dead_order_interrupt(&p->sink->dead_order);
		p->sink->peer = NULL;
	}
	for (size_t i = 0; i < p->broker->sink_count; i++) {
		order_forget(&p->broker->sinks[i].order, p);
		dead_order_forget(&p->broker->sinks[i].dead_order, p);
	}
	if (is_daemon(p))
		p->broker->daemon_count--;
	if (p->state == PEER_TAIL)
		leave_tail(p);
}

void
peer_change_state(struct peer *p, enum peer_state state)
{
	enum peer_state from = p->state;

	log_debug("peer state name=%s pid=%" PRIu64 " from=%s to=%s",
	          p->name[0] ? p->name : "?", p->pid, peer_state_name(from),
	          peer_state_name(state));
	if (state == PEER_CLOSING)
		leave_for_closing(p);
	p->state = state;
	switch (state) {
	case PEER_INGEST:
		assert(from == PEER_HELLO);
		p->status_due = true;
		enter_daemon(p);
		break;
	case PEER_SINK:
		if (from != PEER_HELLO)
			break; /* it is halted */
		assert(!p->sink->peer);
		p->sink->peer = p;
		enter_daemon(p);
		break;
	case PEER_STARTED:
		assert(from == PEER_SINK);
		break;
	case PEER_SUBSCRIBED:
		assert(from == PEER_STARTED);
		break;
	case PEER_HALTING:
		assert(from == PEER_STARTED || from == PEER_SUBSCRIBED);
		break;
	case PEER_SEEKING:
		assert(from == PEER_SINK);
		break;
	case PEER_CONTROL:
		assert(from == PEER_HELLO);
		break;
	case PEER_TAIL:
		assert(from == PEER_HELLO && p->tail);
		enter_tail(p);
		break;
	case PEER_CLOSING:
		assert(from != PEER_CLOSING);
		break;
	case PEER_HELLO:
		assert(false); /* a peer starts there and never returns */
	}
}

void
peer_init(struct peer *p, struct broker *b, int fd, uid_t uid)
{
	*p = (struct peer){.broker = b, .chan.fd = fd, .uid = uid};
	p->state = PEER_HELLO;
	p->role = ROLE_CONTROL;
	p->connected_ms = clock_mono_ms();
	ack_queue_init(&p->acks);
}

void
peer_close(struct peer *p, int why)
{
	unsigned suppressed = 0;

	if (p->state == PEER_CLOSING)
		return;
	if (p->role != ROLE_CONTROL && why != -ECONNABORTED &&
	    log_allow(&p->broker->refusals, &suppressed))
		log_info("peer closed role=%s name=%s pid=%" PRIu64
		         " why=%s suppressed=%u",
		         p->name[0] ? frame_role_name(p->role) : "?",
		         p->name[0] ? p->name : "?", p->pid,
		         why == -EPIPE ? "disconnected"
		                       : log_quote(error_text(why)),
		         suppressed);
	peer_change_state(p, PEER_CLOSING);
}

void
peer_fini(struct peer *p)
{
	assert(p->state == PEER_CLOSING);
	ack_queue_fini(&p->acks);
	if (p->tail)
		tail_fini(p->tail);
	free(p->tail);
	p->tail = NULL;
}

int
peer_refuse(struct peer *p, enum frame_error code, const char *text)
{
	struct frame f = {.type = FRAME_ERROR};
	unsigned suppressed = 0;

	f.error.code = code;
	f.error.text = slice_of(text);
	/* A peer that cannot take it learns from the close. */
	if (chan_send(&p->chan, &f) == 0 &&
	    log_allow(&p->broker->refusals, &suppressed))
		log_warn("peer refused name=%s pid=%" PRIu64
		         " code=%s why=%s suppressed=%u",
		         p->name[0] ? p->name : "?", p->pid,
		         frame_error_name(code), log_quote(text), suppressed);
	return -ECONNABORTED;
}

bool
peer_has_sent(const struct peer *p)
{
	char byte;

	return recv(p->chan.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool
peer_may_read(const struct peer *p)
{
	return p->state != PEER_CLOSING && p->reply == PEER_REPLY_NONE &&
	       !p->done_this_turn &&
	       ack_queue_count(&p->acks) < UNACKNOWLEDGED_MAX;
}

/* --- what batchd sends --- */

static int
flush_reply(struct peer *p)
{
	const struct buf *status = &p->broker->status;
	struct frame f = {.type = FRAME_REPLY};
	int rc;

	if (p->reply == PEER_REPLY_NONE || p->reply == PEER_REPLY_AWAITED)
		return 0;
	f.reply.id = p->reply_id;
	f.reply.text = slice_of("");
	if (p->reply == PEER_REPLY_READY) {
		f.reply.text = slice_of(p->reply_text);
		f.reply.ok = p->reply_text[0] == '\0';
		f.body = p->reply_map;
		f.body_bytes = f.reply.ok ? p->reply_map_bytes : 0;
	} else if (status->len == 0) {
		f.reply.text = slice_of("out of memory");
	} else {
		f.reply.ok = true;
		f.body = status->data;
		f.body_bytes = status->len;
	}
	rc = chan_send(&p->chan, &f);
	if (rc == 0)
		p->reply = PEER_REPLY_NONE;
	return rc;
}

static int
flush_appended(struct peer *p)
{
	struct frame f;
	uint32_t count;

	while ((count = ack_queue_peek(&p->acks, &f)) > 0) {
		int rc = chan_send(&p->chan, &f);

		if (rc < 0)
			return rc;
		ack_queue_remove(&p->acks, count);
	}
	return 0;
}

static int
flush_intake(struct peer *p)
{
	struct frame f = {.type = FRAME_INTAKE};
	int rc;

	if (p->intake_sent && p->intake_open == p->broker->intake_open)
		return 0;
	f.intake.open = p->broker->intake_open;
	f.intake.reason = slice_of(broker_closed_reason(p->broker));
	rc = chan_send(&p->chan, &f);
	if (rc < 0)
		return rc;
	p->intake_sent = true;
	p->intake_open = f.intake.open;
	return 0;
}

/*
 * Send the status that an ingestd gets once a second.  A peer whose socket is
 * full does without until the next second.
 */
static int
flush_status(struct peer *p)
{
	const struct buf *status = &p->broker->status;
	struct frame f = {.type = FRAME_STATUS};
	int rc;

	if (!p->status_due)
		return 0;
	p->status_due = false;
	if (status->len == 0)
		return 0; /* there was no memory for it */
	f.body = status->data;
	f.body_bytes = status->len;
	rc = chan_send(&p->chan, &f);
	return rc == -EAGAIN ? 0 : rc;
}

void
peer_reply(struct peer *p, const char *refusal, const uint8_t *map,
           size_t bytes)
{
	assert(bytes <= sizeof p->reply_map);
	(void)snprintf(p->reply_text, sizeof p->reply_text, "%s", refusal);
	if (bytes > 0)
		memcpy(p->reply_map, map, bytes);
	p->reply_map_bytes = bytes;
	p->reply = PEER_REPLY_READY;
}

/* Send a sink what its order asks for, or start it if it has none. */
static int
flush_task(struct peer *p)
{
	const enum order_task task =
	    order_task(&p->sink->order, &p->sink->consumer.position.cursor.now);
	const struct order *o = &p->sink->order;
	struct frame f = {
	    .type = FRAME_START,
	    .start = {.position =
	                  p->sink->consumer.position.cursor.now.committed}};
	enum peer_state state = PEER_STARTED;
	int rc;

	if (p->state == PEER_SINK && task == TASK_SEEK) {
		f.type = FRAME_SEEK;
		f.seek.stream_no = 0;
		f.seek.from = o->from;
		f.seek.to = o->to;
		state = PEER_SEEKING;
	} else if (p->state != PEER_SINK && task == TASK_HALT) {
		f.type = FRAME_HALT;
		state = PEER_HALTING;
	} else if (p->state != PEER_SINK || task != TASK_WORK ||
	           p->broker->stopping) {
		return 0;
	}
	rc = chan_send(&p->chan, &f);
	if (rc < 0)
		return rc;
	if (state == PEER_SEEKING)
		log_info("the sink is asked to move its position sink=%s "
		         "from=%" PRIu64 " to=%" PRIu64,
		         p->name, o->from, o->to);
	if (state == PEER_HALTING)
		log_info("the sink is asked to stop its work sink=%s", p->name);
	peer_change_state(p, state);
	return 0;
}

int
peer_flush(struct peer *p)
{
	int rc = flush_reply(p);

	if (rc == 0 && (p->state == PEER_SINK || p->state == PEER_STARTED ||
	                p->state == PEER_SUBSCRIBED))
		rc = flush_task(p);
	if (rc == 0 && p->state == PEER_SUBSCRIBED)
		rc = dead_order_flush(&p->sink->dead_order,
		                      &p->sink->consumer.position.cursor,
		                      &p->chan);
	if (rc == 0 && p->state == PEER_INGEST) {
		rc = flush_appended(p);
		if (rc == 0)
			rc = flush_intake(p);
		if (rc == 0)
			rc = flush_status(p);
	}
	return rc;
}

const char *
peer_state_name(enum peer_state state)
{
	static const char *const names[] = {
	    [PEER_HELLO] = "hello",
	    [PEER_INGEST] = "ingest",
	    [PEER_SINK] = "halted",
	    [PEER_STARTED] = "started",
	    [PEER_SUBSCRIBED] = "subscribed",
	    [PEER_HALTING] = "halting",
	    [PEER_SEEKING] = "seeking",
	    [PEER_CONTROL] = "control",
	    [PEER_TAIL] = "tail",
	    [PEER_CLOSING] = "closing",
	};

	return names[state];
}
