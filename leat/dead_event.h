/*
 * dead_event - an event that an operator has corrected.
 */
#ifndef LEAT_DEAD_EVENT_H
#define LEAT_DEAD_EVENT_H

#include "libbase/buf.h"
#include "libproto/event.h"

/*
 * The largest packed event that an order can carry, with the other arguments,
 * in one frame.
 */
#define DEAD_EVENT_MAX (120 * KIB)

/*
 * Read the event in the file at path, as a sender would send it, and append its
 * packed form to out.  An id, and times, that it does not have are those of
 * `old`.  Returns 0, or -errno after logging the reason.
 */
MUST_USE int dead_event_read(const char *path, const struct event *old,
                             struct buf *out);

#endif
