/* dead_order - see dead_order.h. */
#include "batchd/dead_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libproto/control_args.h"

const char *
dead_order_name(const struct dead_order *o)
{
	if (!o->is_active)
		return "";
	return o->action == RETRY_DROP ? "dropping" : "retrying";
}

/* Read the action of an order.  Returns 0 or -EBADMSG. */
static int
read_action(const uint8_t *args, size_t bytes, enum frame_retry *action)
{
	struct slice text;

	if (control_args_find_text(args, bytes, "action", &text) < 0)
		return -EBADMSG;
	if (slice_is(text, "retry"))
		*action = RETRY_STORE;
	else if (slice_is(text, "drop"))
		*action = RETRY_DROP;
	else
		return -EBADMSG;
	return 0;
}

const char *
dead_order_begin(struct dead_order *o, const uint8_t *args, size_t bytes,
                 const struct cursor *cursor, struct peer *asker,
                 dead_order_reply *reply)
{
	enum frame_retry action;
	uint8_t *map;

	if (read_action(args, bytes, &action) < 0)
		return "the action of dead must be retry or drop";
	if (o->is_active)
		return "another order to this sink about dead letters is in "
		       "progress: wait for its end";
	map = realloc(o->map, bytes);
	if (!map)
		return "out of memory";
	memcpy(map, args, bytes);
	*o = (struct dead_order){.is_active = true,
	                         .id = o->id + 1,
	                         .action = action,
	                         .position = cursor->now.committed,
	                         .map = map,
	                         .map_bytes = bytes,
	                         .asker = asker,
	                         .reply = reply};
	return NULL;
}

/* The order has ended: reply to the asker. */
static void
dead_order_end(struct dead_order *o, const char *why, const uint8_t *map,
               size_t bytes)
{
	log_info("order about dead letters ends order=%s why=%s",
	         dead_order_name(o), log_quote(why));
	if (o->asker)
		o->reply(o->asker, why, map, bytes);
	o->asker = NULL;
	o->is_active = false;
}

void
dead_order_forget(struct dead_order *o, const struct peer *peer)
{
	if (o->asker == peer)
		o->asker = NULL;
}

bool
dead_order_awaits_cursor(const struct dead_order *o,
                         const struct cursor *cursor)
{
	return o->is_active && !o->is_sent &&
	       cursor->durable.committed < o->position;
}

int
dead_order_flush(struct dead_order *o, const struct cursor *cursor,
                 struct chan *sink)
{
	struct frame f = {
	    .type = FRAME_RETRY, .body = o->map, .body_bytes = o->map_bytes};
	int rc;

	if (!o->is_active || o->is_sent || dead_order_awaits_cursor(o, cursor))
		return 0;
	f.retry.id = o->id;
	f.retry.action = o->action;
	f.retry.committed = cursor->durable.committed;
	rc = chan_send(sink, &f);
	o->is_sent = rc == 0;
	return rc;
}

int
dead_order_on_retried(struct dead_order *o, const struct frame *retried)
{
	const bool ok = retried->retried.ok;
	char why[FRAME_TEXT_MAX + 1];

	if (!o->is_active || !o->is_sent || retried->retried.id != o->id)
		return -EPROTO;
	if (ok ? retried->body_bytes > DEAD_ORDER_REPLY_MAX ||
	             !wire_is_one_value(retried->body, retried->body_bytes)
	       : retried->retried.text.bytes == 0)
		return -EPROTO;
	frame_copy_text(why, &retried->retried.text);
	dead_order_end(o, ok ? "" : why, retried->body, retried->body_bytes);
	return 0;
}

void
dead_order_interrupt(struct dead_order *o)
{
	if (o->is_active)
		dead_order_end(o,
		               "the sink has stopped its work: what it has "
		               "recorded of this order goes on when it works "
		               "again",
		               NULL, 0);
}

void
dead_order_fini(struct dead_order *o)
{
	free(o->map);
	o->map = NULL;
}
