/*
 * scan - walk the records of one segment file, whole and checked.
 *
 * Shared by recovery and by the readers that feed sinks.  A scan owns one
 * buffer, allocated at its first use, and borrows the file.
 */
#ifndef BATCHD_SCAN_H
#define BATCHD_SCAN_H

#include <stdint.h>

#include "batchd/disk.h"
#include "batchd/segment.h"

struct scan {
	struct disk *disk;
	int file;      /* borrowed */
	uint64_t seed; /* of the stream's records */
	uint64_t at;   /* file position of the record to look at next */
	uint8_t *window;
	uint64_t window_at; /* file position of the window's first byte */
	size_t window_bytes;
	bool grown; /* what looks invalid must be read again */
};

/* Start at the first record of file.  The window's memory is kept. */
void scan_start(struct scan *s, struct disk *disk, int file, uint64_t seed);
void scan_fini(struct scan *s);

/*
 * Look at the record at s->at; *body points into the window, and is valid
 * until the next call.  Returns 0; ERR_NO_MORE_RECORDS at the end of the file;
 * -EBADMSG when there is no valid record here; -ENOMEM or a read's -errno.
 */
MUST_USE int scan_peek(struct scan *s, struct record *r, const uint8_t **body);

/* Move past the record that scan_peek found. */
void scan_next(struct scan *s, const struct record *r);

/*
 * After -EBADMSG: move to the next valid record of offset at least `offset`.
 * Looks at every possible place: the bad record's length may be what is
 * damaged, and lead past good ones.  No event can pose as a record: none
 * holds a zero byte of a header's in its texts.  Returns as scan_peek;
 * ERR_NO_MORE_RECORDS means there is none.
 */
MUST_USE int scan_resync(struct scan *s, uint64_t offset, struct record *r);

/*
 * The next valid record of offset at least `offset`, at s->at or behind it;
 * s->at moves there.  Returns as scan_resync.
 */
MUST_USE int scan_find(struct scan *s, uint64_t offset, struct record *r);

/*
 * Whether some record at s->at or behind it says that more was synced than
 * what lies below `offset`: *durable is what it says, and s->at stays.
 * Returns as scan_resync.
 */
MUST_USE int scan_durable(struct scan *s, uint64_t offset, uint64_t *durable);

/* The file may have grown since the window was read. */
void scan_grown(struct scan *s);

/* Read the file again at the next look, whatever the window shows. */
void scan_forget(struct scan *s);

#endif
