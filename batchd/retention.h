/*
 * retention - delete the segments that every sink has committed.
 *
 * It also provides the next spare segment (segment_pool.h), because the file of
 * a deleted segment is the cheapest one.
 *
 * As an append, it is split into begin (main thread), run (any thread) and end
 * (main thread).  At most one run of it is between begin and end at any time.
 */
#ifndef BATCHD_RETENTION_H
#define BATCHD_RETENTION_H

#include "batchd/store_state.h"

/*
 * Decide what to do.  `lowest` is the lowest cursor on disk, or durable_offset
 * without sinks: no event from there on is deleted (I5).  Returns true if
 * retention_run and retention_end must follow.
 *
 * The age of a segment is measured with the monotonic clock, so that no event
 * goes early or stays long because the wall clock was set while batchd ran.
 */
MUST_USE bool retention_begin(struct store *s, uint64_t lowest);
void retention_run(struct store *s);
void retention_end(struct store *s);

#endif
