/* control - see control.h. */
#include "batchd/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "batchd/order_steps.h"
#include "libbase/clock.h"
#include "libbase/printable.h"
#include "libproto/control_args.h"

/* Longest pause: ten years. */
#define PAUSE_MAX_MS (UINT64_C(3650) * 24 * 3600 * 1000)

/* One request: a verb of one sink, and its arguments. */
struct request {
	struct peer *peer;
	struct broker_sink *sink;
	const uint8_t *map;
	size_t bytes;
};

/* Return true if all of the text can be shown as it is. */
static bool
is_printable(const struct slice *text)
{
	for (uint32_t i = 0; i < text->bytes;) {
		uint32_t code;
		bool safe;

		i += (uint32_t)printable_next(text->data + i, text->bytes - i,
		                              &code, &safe);
		if (!safe)
			return false;
	}
	return true;
}

/* Each verb returns NULL if its order has begun, or why it is refused. */
static const char *
control_pause(const struct request *r)
{
	struct cursor_pause pause = {.uid = (uint32_t)r->peer->uid,
	                             .since_us = clock_wall_us()};
	struct slice why;
	uint64_t for_ms;

	if (control_args_find_text(r->map, r->bytes, "why", &why) == -EBADMSG ||
	    control_args_find_uint(r->map, r->bytes, "for_ms", &for_ms) ==
	        -EBADMSG)
		return "malformed arguments: why is a text, for_ms an integer";
	if (why.bytes > CURSOR_WHY_MAX || !is_printable(&why))
		return "why must be at most 200 bytes of printable UTF-8";
	if (for_ms > PAUSE_MAX_MS)
		return "for_ms must be at most ten years";
	memcpy(pause.why, why.data, why.bytes);
	if (for_ms > 0)
		pause.until_us = pause.since_us + (int64_t)for_ms * 1000;
	return order_pause(r->sink, r->peer, &pause);
}

static const char *
control_resume(const struct request *r)
{
	return order_resume(r->sink, r->peer);
}

static const char *
control_seek(const struct request *r)
{
	uint64_t from, to;

	if (control_args_find_uint(r->map, r->bytes, "from", &from) < 0 ||
	    control_args_find_uint(r->map, r->bytes, "to", &to) < 0)
		return "malformed arguments: from and to must be integers";
	return order_seek(r->sink, r->peer, from, to);
}

static const char *
control_dead(const struct request *r)
{
	struct broker_sink *sink = r->sink;

	if (!sink->peer)
		return "the sink is not connected: start it";
	if (order_name(&sink->order)[0] != '\0')
		return "another order of this sink is in progress: wait until "
		       "leat status shows none";
	if (sink->consumer.position.cursor.now.pause.since_us != 0)
		return "the sink is paused: resume it";
	if (sink->peer->state != PEER_SUBSCRIBED)
		return "the sink has not opened its store yet: see its error "
		       "in leat status";
	return dead_order_begin(&sink->dead_order, r->map, r->bytes,
	                        &sink->consumer.position.cursor, r->peer,
	                        peer_reply);
}

static const struct {
	const char *verb;
	const char *(*run)(const struct request *r);
} orders[] = {
    {"pause", control_pause},
    {"resume", control_resume},
    {"seek", control_seek},
    {"dead", control_dead},
};

/* Log who has asked, as the kernel reports it. */
static void
log_asker(const struct request *r, const char *verb, const char *why_not)
{
	struct ucred who = {0};
	socklen_t bytes = sizeof who;

	/* Without it the pid is logged as 0. */
	(void)getsockopt(r->peer->chan.fd, SOL_SOCKET, SO_PEERCRED, &who,
	                 &bytes);
	log_info("order verb=%s sink=%s uid=%u pid=%d result=%s", verb,
	         r->sink->consumer.position.cursor.name, (unsigned)r->peer->uid,
	         (int)who.pid, why_not ? log_quote(why_not) : "begun");
}

/* Returns why the order is refused, or NULL when it has begun. */
static const char *
begin_order(struct request *r, size_t i)
{
	const char *why_not;
	struct slice name;

	/* The reply may wait for the sink: batchd does not read the peer then.
	 */
	if (r->peer->state != PEER_CONTROL)
		return "an order needs a connection of the role control";
	if (r->peer->broker->stopping)
		return "batchd is stopping";
	if (control_args_find_text(r->map, r->bytes, "sink", &name) < 0)
		return "malformed arguments: sink must be a text";
	r->sink = broker_find_sink(r->peer->broker, &name);
	if (!r->sink)
		return "[batchd] sinks does not name this sink";
	why_not = orders[i].run(r);
	log_asker(r, orders[i].verb, why_not);
	return why_not;
}

void
control_begin(struct peer *p, const struct frame *control)
{
	struct request r = {p, NULL, control->body, control->body_bytes};
	const char *why_not = "unknown verb";

	p->reply = PEER_REPLY_AWAITED;
	if (slice_is(control->control.verb, "status")) {
		p->reply = PEER_REPLY_STATUS;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		if (slice_is(control->control.verb, orders[i].verb))
			why_not = begin_order(&r, i);
	}
	if (why_not)
		peer_reply(p, why_not, NULL, 0);
}
