/* order_steps - see order_steps.h. */
#include "batchd/order_steps.h"

#include <inttypes.h>
#include <stdio.h>

#include "batchd/peer.h"

static struct cursor *
cursor_of(struct broker_sink *sink)
{
	return &sink->consumer.position.cursor;
}

static const char *
sink_name(const struct broker_sink *sink)
{
	return sink->consumer.position.cursor.name;
}

/* Move the order to a step, and do what belongs to it. */
static void
order_enter(struct broker_sink *sink, enum order_step step)
{
	static const char *const names[] = {"halt", "record", "keep", "move",
	                                    "commit"};
	struct order *o = &sink->order;

	log_debug("order step sink=%s order=%s step=%s", sink_name(sink),
	          order_name(&sink->order), names[step]);
	o->step = step;
	switch (step) {
	case ORDER_HALT:
	case ORDER_KEEP:
	case ORDER_MOVE:
		break;
	case ORDER_RECORD:
	case ORDER_COMMIT:
		o->sequence = cursor_want_write(cursor_of(sink));
		break;
	}
}

static void
begin(struct broker_sink *sink, struct peer *asker, enum order_kind kind,
      enum order_step step)
{
	sink->order = (struct order){.kind = kind, .asker = asker};
	order_enter(sink, step);
}

/* The reply: a map with the position, or nil, if the order is about one. */
static void
reply(const struct order *o)
{
	const struct slice key = slice_of("position");
	uint8_t map[32] = {0x80}, *at = map + 1;

	if (o->kind == ORDER_PAUSE || o->kind == ORDER_SEEK) {
		map[0]++;
		at = wire_put_str(at, &key);
		at = o->has_position ? wire_put_uint(at, o->position)
		                     : wire_put_nil(at);
	}
	peer_reply(o->asker, o->refusal, map, (size_t)(at - map));
}

/* The order is done, or was refused: o->refusal. */
static void
finish(struct broker_sink *sink)
{
	struct order *o = &sink->order;
	const uint64_t at = cursor_of(sink)->now.committed;

	if (o->refusal[0] != '\0')
		log_warn("order not done sink=%s order=%s offset=%" PRIu64
		         " why=%s",
		         sink_name(sink), order_name(&sink->order), at,
		         log_quote(o->refusal));
	else
		log_info("order done sink=%s order=%s offset=%" PRIu64,
		         sink_name(sink), order_name(&sink->order), at);
	if (o->asker)
		reply(o);
	o->asker = NULL;
	o->kind = ORDER_NONE;
}

void
order_open(struct broker_sink *sink)
{
	struct cursor *c = cursor_of(sink);

	sink->order = (struct order){.kind = ORDER_NONE};
	if (c->now.pause.since_us != 0)
		log_warn("sink is paused sink=%s uid=%u why=%s",
		         sink_name(sink), (unsigned)c->now.pause.uid,
		         log_quote(c->now.pause.why));
	if (c->now.seek_to == CURSOR_NO_SEEK)
		return;
	begin(sink, NULL, ORDER_SEEK, ORDER_KEEP);
	sink->order.from = c->now.committed;
	sink->order.to = c->now.seek_to;
	log_info("moving the position of a sink, as ordered before the start "
	         "sink=%s from=%" PRIu64 " to=%" PRIu64,
	         sink_name(sink), sink->order.from, sink->order.to);
}

/* --- what an operator asks for --- */

/* Return why no order can begin, or NULL. */
static const char *
occupied(const struct broker_sink *sink)
{
	const struct order *o = &sink->order;

	if (o->kind == ORDER_NONE)
		return NULL;
	return o->kind == ORDER_PAUSE ? "the sink is being paused: wait until "
	                                "leat status shows it as paused"
	       : o->kind == ORDER_SEEK
	           ? "the sink's position is being moved: wait until leat "
	             "status shows no order; if it shows an error of the "
	             "store, correct that first"
	           : "another order of this sink is in progress: wait until "
	             "leat status shows none";
}

const char *
order_pause(struct broker_sink *sink, struct peer *asker,
            const struct cursor_pause *pause)
{
	struct cursor *c = cursor_of(sink);
	const char *why_not = occupied(sink);
	struct cursor_pause merged = *pause;

	if (why_not)
		return why_not;
	/* A second pause changes its end and its reason. */
	if (c->now.pause.since_us != 0)
		merged.since_us = c->now.pause.since_us;
	cursor_set_pause(c, &merged);
	begin(sink, asker, ORDER_PAUSE, ORDER_RECORD);
	return NULL;
}

const char *
order_resume(struct broker_sink *sink, struct peer *asker)
{
	static const struct cursor_pause none;
	struct cursor *c = cursor_of(sink);
	const char *why_not = occupied(sink);

	if (!why_not && c->now.pause.since_us == 0)
		why_not = "the sink is not paused";
	if (why_not)
		return why_not;
	cursor_set_pause(c, &none);
	begin(sink, asker, ORDER_RESUME, ORDER_RECORD);
	return NULL;
}

/*
 * Return why the position cannot be moved to `to`, a text that is in
 * order.refusal, or NULL.  Under load the position moves on after the operator
 * has seen it.  That does no harm: a replay begins where it was to begin, and a
 * skip skips less.
 */
static const char *
check_seek(struct broker_sink *sink, uint64_t seen, uint64_t to)
{
	const struct position *p = &sink->consumer.position;
	const uint64_t at = p->cursor.now.committed;
	const uint64_t first = store_first_offset(p->store);
	const uint64_t end = p->store->durable_offset;
	char *text = sink->order.refusal;
	size_t room = sizeof sink->order.refusal;

	if (to < first)
		(void)snprintf(text, room,
		               "the log keeps events from offset %" PRIu64
		               " on: choose that one or a later one",
		               first);
	else if (to > end)
		(void)snprintf(text, room,
		               "the log ends at offset %" PRIu64
		               ": choose that one or an earlier one",
		               end);
	else if (at < seen)
		(void)snprintf(text, room,
		               "the position has gone back to %" PRIu64
		               " meanwhile: look again and repeat the order",
		               at);
	else if (to > seen && at > to)
		(void)snprintf(text, room,
		               "the sink is past that offset already, at "
		               "%" PRIu64 ": there is nothing to skip",
		               at);
	else
		return NULL;
	return text;
}

const char *
order_seek(struct broker_sink *sink, struct peer *asker, uint64_t seen,
           uint64_t to)
{
	const char *why_not = occupied(sink);

	if (!why_not && sink->dead_order.is_active)
		why_not = "dead letters of this sink are being retried or "
			  "dropped: wait until leat status shows no order, or "
			  "pause the sink, which interrupts that";
	if (!why_not && !sink->peer)
		why_not = "the sink is not connected: start it, since it "
			  "moves the position in its store";
	if (!why_not)
		why_not = check_seek(sink, seen, to);
	if (why_not)
		return why_not;
	begin(sink, asker, ORDER_SEEK, ORDER_HALT);
	sink->order.from = seen;
	sink->order.to = to;
	return NULL;
}

/* --- the steps --- */

/* The position is not moved, for the reason in order.refusal. */
static void
end_refused_seek(struct broker_sink *sink)
{
	if (cursor_of(sink)->now.seek_to == CURSOR_NO_SEEK) {
		finish(sink);
		return;
	}
	consumer_end_seek(&sink->consumer, NULL);
	order_enter(sink, ORDER_COMMIT);
}

static void
refuse_seek(struct broker_sink *sink, const char *text)
{
	(void)snprintf(sink->order.refusal, sizeof sink->order.refusal, "%s",
	               text);
	end_refused_seek(sink);
}

/* No batch is in flight: record where the position is to be moved. */
static void
record_seek(struct broker_sink *sink)
{
	struct order *o = &sink->order;

	if (!sink->peer) {
		refuse_seek(sink, "the sink has disconnected; its position "
		                  "was not moved");
		return;
	}
	if (check_seek(sink, o->from, o->to)) {
		end_refused_seek(sink);
		return;
	}
	o->from = cursor_of(sink)->now.committed;
	position_begin_seek(&sink->consumer.position, o->to);
	order_enter(sink, ORDER_RECORD);
}

/*
 * A retention job that began before the order was recorded may be deleting
 * events that are to be sent again.
 */
static void
keep_events(struct broker_sink *sink)
{
	const struct store *store = sink->consumer.store;

	if (store->retention_running)
		return;
	if (sink->order.to < store_first_offset(store))
		refuse_seek(sink, "the log has deleted the events there in "
		                  "this moment: choose a later offset");
	else
		order_enter(sink, ORDER_MOVE);
}

static bool
is_halted(const struct broker_sink *sink)
{
	return !sink->peer || sink->peer->state == PEER_SINK;
}

/*
 * Return true if a power cut would keep the log up to where the position is to
 * be moved.  A position past the end of the log is rejected.
 */
static bool
has_synced_target(const struct broker_sink *sink)
{
	return sink->order.to <= sink->consumer.store->synced_offset;
}

/* Take one step if it can be taken now.  Returns true if there may be more. */
static bool
take_step(struct broker_sink *sink)
{
	struct order *o = &sink->order;
	const struct cursor *c = cursor_of(sink);
	bool written = c->durable.sequence >= o->sequence;
	enum order_step step = o->step;

	switch (step) {
	case ORDER_HALT:
		if (!is_halted(sink) ||
		    (o->kind == ORDER_SEEK && !has_synced_target(sink)))
			return false;
		if (o->kind == ORDER_SEEK)
			record_seek(sink);
		else
			finish(sink);
		return true;
	case ORDER_RECORD:
		if (!written)
			return false;
		if (o->kind == ORDER_RESUME)
			finish(sink);
		else
			order_enter(sink, o->kind == ORDER_PAUSE ? ORDER_HALT
			                                         : ORDER_KEEP);
		return true;
	case ORDER_KEEP:
		keep_events(sink);
		return o->step != step;
	case ORDER_MOVE: /* until order_on_halted */
		return false;
	case ORDER_COMMIT:
		if (written)
			finish(sink);
		return written;
	}
	return false;
}

/* Resume a sink whose pause has reached its end. */
static void
end_pause(struct broker_sink *sink, int64_t now_us)
{
	const struct cursor_pause *pause = &cursor_of(sink)->now.pause;

	if (pause->since_us == 0 || pause->until_us == 0 ||
	    now_us < pause->until_us || sink->order.kind != ORDER_NONE)
		return;
	log_info("the pause of a sink is over sink=%s", sink_name(sink));
	if (order_resume(sink, NULL))
		log_debug("the sink has another order");
}

void
order_step(struct broker_sink *sink, int64_t now_us)
{
	end_pause(sink, now_us);
	while (sink->order.kind != ORDER_NONE && take_step(sink))
		;
}

/*
 * The sink has sought, and its store's position is neither where it was to be
 * moved nor where batchd assumed it to be.  A sink that was killed after its
 * store had taken a batch has a position that batchd does not know yet.  It is
 * accepted as in a subscribe, and the order is checked again: a skip must not
 * go back, nor a replay skip what the store lacks.  Then the sink moves it from
 * there.  If that happens again, another writer is at work.
 */
static void
seek_from_elsewhere(struct broker_sink *sink, const struct frame *halted)
{
	struct frame subscribe = {.type = FRAME_SUBSCRIBE};
	struct order *o = &sink->order;
	const char *text = "";

	subscribe.subscribe.has_position = true;
	subscribe.subscribe.position = halted->halted.position;
	subscribe.subscribe.refused = halted->halted.refused;
	if (!o->asked_again &&
	    position_subscribe(&sink->consumer.position, &subscribe, false,
	                       &text) == ERROR_NONE) {
		if (check_seek(sink, o->from, o->to)) {
			end_refused_seek(sink);
			return;
		}
		o->asked_again = true;
		o->from = halted->halted.position;
		return;
	}
	refuse_seek(sink, "the store's position is not where this sink left "
	                  "it: another writer has the sink's name, or the "
	                  "store was restored from a copy");
}

void
order_on_halted(struct broker_sink *sink, const struct frame *halted,
                bool sought)
{
	struct order *o = &sink->order;
	bool was_moving =
	    sought && o->kind == ORDER_SEEK && o->step == ORDER_MOVE;

	if (o->kind == ORDER_NONE)
		return;
	o->has_position = halted->halted.has_position;
	o->position = halted->halted.position;
	if (!was_moving)
		return;
	if (o->has_position && o->position != o->to) {
		seek_from_elsewhere(sink, halted);
		return;
	}
	consumer_end_seek(&sink->consumer, &halted->halted.refused);
	o->has_position = true;
	o->position = o->to;
	order_enter(sink, ORDER_COMMIT);
}
