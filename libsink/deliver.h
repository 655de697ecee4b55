/*
 * deliver - write a batch to the store until all of its events are stored or
 * dead-lettered.
 *
 * While the store is unreachable or misconfigured, the write is repeated with a
 * back-off.  A batch that the store rejects is bisected (bisection.h), and the
 * bad events become dead letters (dead_lettering.h).  After a write whose
 * result is unknown, the position in the store decides whether the batch was
 * stored.
 *
 * A batch can exceed a limit of the store (of time, of memory).  It is halved
 * when it has failed several times with the same code, and once more each time
 * that a half fails.  Later batches are written in pieces of that size, which
 * grows again as long as pieces are stored.  What the store of a stable sink
 * may have stored is not halved, even after a crash (split_points.h).  Such a
 * batch waits until an operator raises the limit, and the status names it.
 */
#ifndef LIBSINK_DELIVER_H
#define LIBSINK_DELIVER_H

#include <stdbool.h>

#include "libsink/delivery.h"

/*
 * Open the store and ask for its position in `stream`, until that succeeds.
 * Returns 0, or what wait gave up with.
 */
MUST_USE int deliver_start(struct deliver *d, const char *stream, bool *found,
                           uint64_t *position);

/*
 * The same for the stream of a retry of dead letters, whose batches have
 * origins.  deliver_start was called before.
 */
MUST_USE int deliver_start_retry(struct deliver *d, const char *stream,
                                 bool *found, uint64_t *position);

/*
 * Store or dead-letter every event of the batch, and move the store's position
 * to next_offset.  An event that has a dead letter from before is not stored:
 * the sink crashed after it had written the dead letter and before the position
 * had passed the event.
 *
 * `kept` is NULL for a batch of the log.  For one of dead letters that are
 * retried, the events of kept->events are not stored, and what the store
 * refuses is recorded in kept->file.
 *
 * Returns 0; ERR_POSITION_MOVED when this batch cannot have led to the store's
 * position, so that another writer must be at work or the store was restored
 * from a copy (the owner starts again from the store's position);
 * ERR_RETRY_SUSPENDED when kept->file cannot be written; or what wait or step
 * gave up with.
 */
MUST_USE int deliver_batch(struct deliver *d, const struct batch *batch,
                           const struct delivery_kept *kept);

/* Close the store.  May be called twice. */
void deliver_close(struct deliver *d);

/* Release everything. */
void deliver_fini(struct deliver *d);

#endif
