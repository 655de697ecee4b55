/*
 * send_request - the requests of `leat send`: one at a time, and what each
 * answer means.
 */
#ifndef LEAT_SEND_REQUEST_H
#define LEAT_SEND_REQUEST_H

#include <stdbool.h>

#include "leat/send_state.h"

/* The environment variable that may have the token. */
#define SEND_TOKEN_ENV "LEAT_TOKEN"

/*
 * Return true if a request is to be started now.  With may_read_more the input
 * has more, and a batch that is not full waits for it.
 */
bool send_may_start(const struct send *s, bool may_read_more);

/* Start a request.  To be called if send_may_start returns true. */
void send_start_request(struct send *s);

/* Continue the request that is being sent, and act on its answer. */
void send_step_request(struct send *s);

#endif
