/*
 * ask - a request to batchd from a verb, with messages for an operator.
 *
 * There is one answer at a time, in static memory: a map is valid until the
 * next request.
 */
#ifndef LEAT_ASK_H
#define LEAT_ASK_H

#include <msgpack.h>

#include "libbase/base.h"
#include "libproto/control_args.h"
#include "libproto/control_request.h"

/*
 * Ask for the status.  Returns 0 with *status set to its map, or EXIT_FAILURE
 * after logging why there is no answer.
 */
MUST_USE int ask_status(const char *socket, const msgpack_object **status);

/*
 * Give an order and wait at most timeout_ms until it is done.  Returns 0 with
 * *result set to the map of the reply; EXIT_NOT_WELL after logging why batchd
 * refuses, or that it has not replied in time; or EXIT_FAILURE after logging
 * why there is no answer.
 */
MUST_USE int ask_order(const char *socket, const char *verb,
                       const struct control_args *args, uint64_t timeout_ms,
                       const msgpack_object **result);

/*
 * Find a sink in the status.  Returns NULL after logging that there is none of
 * this name, and which there are.
 */
const msgpack_object *ask_find_sink(const msgpack_object *status,
                                    const char *name);

#endif
