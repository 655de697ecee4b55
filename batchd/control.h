/*
 * control - the verbs that a command can send to batchd, and their arguments.
 *
 * Main thread only.
 */
#ifndef BATCHD_CONTROL_H
#define BATCHD_CONTROL_H

#include "batchd/peer.h"

/*
 * Do what the control frame asks for.  Its body must be one complete map.  It
 * sets p->reply: the reply is sent when the order is done, or by the next
 * peer_flush.
 */
void control_begin(struct peer *p, const struct frame *control);

#endif
