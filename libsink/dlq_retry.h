/*
 * dlq_retry - the flag --retry-dead: write the dead letters to the store
 * again, after whatever made it reject them was mended.
 */
#ifndef LIBSINK_DLQ_RETRY_H
#define LIBSINK_DLQ_RETRY_H

#include "libsink/deliver.h"

/*
 * Take the letters of d->dead and deliver them by d, whose wait is replaced.
 * What the store rejects again becomes a dead letter anew.  Prints what came
 * of it.  Returns the exit status: 0 when every letter was stored.
 *
 * The letters are renamed away first, and their place in that file is the
 * position of a stream of its own in the store, so that a crash at any
 * moment, and a run after it, store each once where the store has positions.
 * Where it has none, or has forgotten it, the place that is kept beside the
 * file counts (dlq_retry_progress.h): then the piece in flight may be written
 * again.
 */
MUST_USE int dlq_retry(struct deliver *d);

#endif
