/*
 * store - the log: open it, start it, finish it and close it.
 *
 * Knows nothing of sockets or of the event loop.  Includes what users of an
 * open log need: store_append.h to add events, retention.h to delete them,
 * and store_state.h for its state.  reader.h reads it.
 *
 * The order of disk operations, and why:
 *  - An append writes its records and syncs them before store_append_end
 *    moves durable_offset (I1, I3).
 *  - A new segment is first written with zeros under another name.  Its header
 *    is synced, then the file is renamed, then the directory is synced, and
 *    only then are records written.  A segment that is not the last one is
 *    therefore complete.
 *  - A segment is deleted, or renamed to be used again, only below the offset
 *    that the caller of retention_begin names, which is the lowest cursor on
 *    disk (I5).
 */
#ifndef BATCHD_STORE_H
#define BATCHD_STORE_H

#include "batchd/retention.h"
#include "batchd/store_append.h"
#include "batchd/store_state.h"

/*
 * Open the log on disk: find the segments and recover the last one.  Returns 0,
 * or, after logging why, -errno or ERR_OPERATOR_NEEDED.  store_close must
 * follow in either case.
 */
MUST_USE int store_open(struct store *s, struct disk *disk,
                        const struct store_conf *conf);

/*
 * Return true if, as far as names and headers show, every event from `lowest`
 * (the lowest cursor) on is in the log.  Logs what is missing.
 */
MUST_USE bool store_complete(struct store *s, uint64_t lowest);

/*
 * Accept for good that segments are missing between others: rewrite the headers
 * of the segments after them, so that store_complete no longer misses them.
 * Readers report which events are lost.  Returns 0 or -errno.
 */
MUST_USE int store_accept_gaps(struct store *s);

/*
 * Begin to append, at next_offset or at `least` if that is higher (a log that
 * has lost its end must not use offsets twice).  Returns 0 or -errno.
 */
MUST_USE int store_start(struct store *s, uint64_t least);

/*
 * Finish the log at a clean stop.  Call only when no append and no retention
 * runs.  Syncs what is not synced, and begins a segment that stays empty.  The
 * name of that segment declares where the records before it end, so that
 * damage in the last of them is not mistaken for a torn write.  Without a spare
 * there is no such segment.  Returns 0, or the -errno of a failed call, after
 * which the log is as after a crash.
 */
MUST_USE int store_finish(struct store *s);

void store_close(struct store *s);

#endif
