/*
 * segment_pool - one spare segment, kept ready ahead of the append.
 *
 * The spare's blocks are allocated before any event is promised a place in
 * them.  An append therefore never waits for space and never meets a full
 * disk.  A spare that was written before (recycled, or filled with zeros) also
 * makes each sync cheaper, because the file system has no metadata to write.
 *
 * segment_pool_plan, _provide and _finish are the parts of retention_begin,
 * _run and _end that deal with the spare.
 */
#ifndef BATCHD_SEGMENT_POOL_H
#define BATCHD_SEGMENT_POOL_H

#include "batchd/store_state.h"

/* The file of the spare, until it becomes a segment. */
#define SPARE_NAME "spare.tmp"

/*
 * Decide whether a spare is needed and how to provide it, when deleting
 * `doomed_count` segments will free `freed` bytes now, and `later` bytes when
 * the spare has become a segment.  `free_bytes` is what the file system has
 * left, or negative when unknown.
 */
void segment_pool_plan(struct store *s, size_t doomed_count, uint64_t freed,
                       uint64_t later, int64_t free_bytes);

/*
 * Any thread: do what was planned, after the doomed segments were deleted.
 * `recycled` is 0 if the first of them has got the spare's name as planned, or
 * else -errno.
 */
void segment_pool_provide(struct store *s, int recycled);

void segment_pool_finish(struct store *s);

#endif
