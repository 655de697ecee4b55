/*
 * ask - a request to batchd from a verb, with messages for an operator.
 */
#ifndef LEAT_ASK_H
#define LEAT_ASK_H

#include <msgpack.h>

#include "libbase/base.h"
#include "libproto/control_args.h"
#include "libproto/control_request.h"

struct ask {
	struct control_reply *reply; /* owned */
	msgpack_unpacked unpacked;   /* owned */
	const msgpack_object *map;   /* the reply; NULL before there is one */
};

/* ask_fini must follow.  Returns 0, or -ENOMEM after logging it. */
MUST_USE int ask_init(struct ask *a);
void ask_fini(struct ask *a);

/*
 * Ask for the status.  Returns 0 with a->map set, or EXIT_FAILURE after logging
 * why there is no answer.  The map is valid until the next request.
 */
MUST_USE int ask_status(struct ask *a, const char *socket);

/*
 * Give an order and wait at most timeout_ms until it is done.  Returns 0 with
 * a->map set; EXIT_NOT_WELL after logging why batchd refuses, or that it has
 * not replied in time; or EXIT_FAILURE after logging why there is no answer.
 */
MUST_USE int ask_order(struct ask *a, const char *socket, const char *verb,
                       const struct control_args *args, uint64_t timeout_ms);

/*
 * Find a sink in the status.  Returns NULL after logging that there is none of
 * this name, and which there are.
 */
const msgpack_object *ask_find_sink(const struct ask *status, const char *name);

#endif
