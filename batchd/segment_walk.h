/*
 * segment_walk - read a segment's records in order, and tell damage from a torn
 * tail.
 *
 * Recovery and `leat log verify` both walk segments with it, so that they
 * agree on which events are lost.
 *
 * Only the last segment can have a torn tail: a write that a crash or a power
 * cut interrupted.  Such a tail was never synced, so batchd never acknowledged
 * its events, and cutting it loses nothing that was promised.  It looks like
 * damage, though: invalid bytes, perhaps with valid records after them,
 * because a disk may write the later blocks of an unsynced write first.  The
 * records themselves settle the question.  Each holds the offset up to which
 * the log was synced when it was written (struct record, durable).  If any
 * record after the invalid bytes has a durable offset above them, the events
 * in them were synced, and the bytes were damaged later.  If none has, the
 * rest of the segment is a torn tail, and the walk ends before it.
 *
 * A segment that is not the last one was synced as a whole before the next one
 * began.  Invalid bytes in it are always damage.
 */
#ifndef BATCHD_SEGMENT_WALK_H
#define BATCHD_SEGMENT_WALK_H

#include <stdbool.h>

#include "batchd/scan.h"

/* The limit of the last segment of a log. */
#define SEGMENT_WALK_LAST UINT64_MAX

struct segment_walk {
	struct scan scan;
	uint64_t limit;       /* where the next segment begins */
	uint64_t next_offset; /* of the event expected next */
	uint64_t end;         /* the byte after the last record */
	uint64_t synced; /* highest durable offset found by looking ahead */
};

/*
 * Start at the first record of an open segment.  The file is borrowed and
 * stays open.  `limit` is the first offset of the next segment, or
 * SEGMENT_WALK_LAST.
 */
void segment_walk_start(struct segment_walk *w, struct disk *disk, int file,
                        uint64_t seed, uint64_t first_offset, uint64_t limit);
void segment_walk_fini(struct segment_walk *w);

/*
 * Find the next record of the segment, which w->scan then is at.  Returns 0;
 * ERR_NO_MORE_RECORDS at the end, or before a torn tail; or -errno when the
 * file cannot be read.
 */
MUST_USE int segment_walk_find(struct segment_walk *w, struct record *r);

/*
 * Return true if `r`, which segment_walk_find has found, does not directly
 * follow the record before it.  The bytes from w->end to w->scan.at are then
 * damaged, and the events from w->next_offset to r->offset are lost.
 */
bool segment_walk_skipped(const struct segment_walk *w, const struct record *r);

/* Move past the record that segment_walk_find has found. */
void segment_walk_next(struct segment_walk *w, const struct record *r);

/*
 * Go back to the byte after the last record, and read the file again from
 * there: another process may have written to it since.
 */
void segment_walk_reread(struct segment_walk *w);

#endif
