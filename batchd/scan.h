/*
 * scan - read the records of one segment file, and check each as a whole.
 *
 * Recovery, `leat log verify` and the readers of the sinks use it.  A scan owns
 * one buffer, which is allocated at its first use, and borrows the file.
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
	bool grown; /* the file may have grown: reread what looks invalid */
};

/*
 * Start at the first record of the file.  An earlier window's memory is used
 * again; call scan_fini to free it.
 */
void scan_start(struct scan *s, struct disk *disk, int file, uint64_t seed);
void scan_fini(struct scan *s);

/*
 * Read the record at s->at.  *body then points into the window, and is valid
 * until the next call.  Returns 0; ERR_NO_MORE_RECORDS at the end of the file;
 * -EBADMSG when there is no valid record at s->at; -ENOMEM; or a read's -errno.
 */
MUST_USE int scan_peek(struct scan *s, struct record *r, const uint8_t **body);

/* Move past the record that scan_peek found. */
void scan_next(struct scan *s, const struct record *r);

/*
 * After -EBADMSG: move to the next valid record whose offset is at least
 * `offset`.  Tries every position at which a record can begin, because the
 * length in the bad record may itself be damaged and lead past valid records.
 * An event can never be mistaken for a record, because the text of an event
 * cannot contain a zero byte, and every record header does.  Returns as
 * scan_peek; ERR_NO_MORE_RECORDS when there is no such record.
 */
MUST_USE int scan_resync(struct scan *s, uint64_t offset, struct record *r);

/*
 * Move to the next valid record, at s->at or after it, whose offset is at least
 * `offset`.  Returns as scan_resync.
 */
MUST_USE int scan_find(struct scan *s, uint64_t offset, struct record *r);

/*
 * Search, from s->at on, for a record whose durable offset is above `offset`,
 * and set *durable to it.  s->at does not change.  Returns as scan_resync.
 */
MUST_USE int scan_durable(struct scan *s, uint64_t offset, uint64_t *durable);

/* Drop the window, so that the next call reads the file again. */
void scan_forget(struct scan *s);

#endif
