/*
 * status - the map that `leat status` shows and that ingestd turns into
 * metrics.  docs/protocol.md lists its keys.
 *
 * Both functions put the map into broker->status.  It fits a frame, however
 * many peers are connected and whatever they report.  If there is no memory for
 * it, broker->status is empty afterwards.  Main thread only.
 */
#ifndef BATCHD_STATUS_H
#define BATCHD_STATUS_H

#include "batchd/broker.h"

/*
 * Make the map, unless that was done in this turn of the event loop, so that
 * many peers can ask at once.
 */
void status_update(struct broker *b);

/* Make the map, unless that was done in this second. */
void status_update_recent(struct broker *b);

#endif
