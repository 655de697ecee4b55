/* order - see order.h. */
#include "batchd/order.h"

#include <stddef.h>

const char *
order_name(const struct order *o)
{
	static const char *const names[] = {
	    [ORDER_NONE] = "",
	    [ORDER_PAUSE] = "pausing",
	    [ORDER_RESUME] = "resuming",
	    [ORDER_SEEK] = "seeking",
	};

	return names[o->kind];
}

void
order_forget(struct order *o, const struct peer *asker)
{
	if (o->asker == asker)
		o->asker = NULL;
}

enum order_task
order_task(const struct order *o, const struct cursor_slot *now)
{
	switch (o->kind) {
	case ORDER_PAUSE:
		return o->step == ORDER_HALT ? TASK_HALT : TASK_NONE;
	case ORDER_RESUME:
		return TASK_NONE;
	case ORDER_SEEK:
		return o->step == ORDER_MOVE ? TASK_SEEK : TASK_HALT;
	case ORDER_NONE:
		break;
	}
	return now->pause.since_us != 0 ? TASK_HALT : TASK_WORK;
}

bool
order_awaits_cursor(const struct order *o)
{
	return o->kind != ORDER_NONE &&
	       (o->step == ORDER_RECORD || o->step == ORDER_COMMIT);
}
