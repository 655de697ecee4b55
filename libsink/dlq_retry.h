/*
 * dlq_retry - the flag --retry-dead: write the dead letters to the store again,
 * after the cause of the rejections was fixed.
 */
#ifndef LIBSINK_DLQ_RETRY_H
#define LIBSINK_DLQ_RETRY_H

#include "libsink/deliver.h"

/*
 * Deliver the dead letters of d->dlq by d, whose wait is replaced.  What the
 * store rejects again becomes a dead letter again.  Prints the result.  Returns
 * the exit status: 0 when every dead letter was stored.
 *
 * The file is first renamed.  The number of lines done in the renamed file is
 * the position of a stream of its own in the store.  So after a crash at any
 * moment the next run stores each dead letter once, if the store has positions.
 * If it has none, or has lost this one, the progress kept beside the file
 * counts (dlq_retry_progress.h); then the piece in flight may be written again.
 */
MUST_USE int dlq_retry(struct deliver *d);

#endif
