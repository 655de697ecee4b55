/* send_read - fill the next batch of `leat send` from its input. */
#ifndef LEAT_SEND_READ_H
#define LEAT_SEND_READ_H

#include <stdbool.h>

#include "leat/send_state.h"

/*
 * Fill the batch with what was read, and read once.  Returns false if nothing
 * more can be done before the input has more, or a request ends.
 */
bool send_read(struct send *s);

#endif
