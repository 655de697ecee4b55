/*
 * reader - read the log from an offset on, as the bodies of batch frames.
 *
 * Each consumer has a reader of its own.  A reader checks every record again,
 * although recovery or the append has checked it before, since the disk may
 * have changed it.  All functions are called from the main thread, and their
 * reads block it; most are served from the page cache.
 */
#ifndef BATCHD_READER_H
#define BATCHD_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/scan.h"
#include "batchd/store.h"

struct reader {
	struct store *store; /* borrowed */
	struct scan scan;
	int file;               /* owned; -1 when none is open */
	uint64_t segment_first; /* of the open file */
	uint64_t next_offset;   /* of the event to read next */
	uint64_t hinted_at;     /* the kernel was asked to read up to here */
	/*
	 * Skip lost events without a report.  A tail reads events that all
	 * sinks may have long since: these are not lost.
	 */
	bool quiet;
};

/* A place in the log to return to. */
struct reader_savepoint {
	uint64_t next_offset, segment_first, at;
};

/* Events that follow each other without a gap: the body of one frame. */
struct batch_chunk {
	uint8_t *body; /* the caller's memory, FRAME_BODY_MAX bytes */
	size_t bytes;
	uint64_t offset;     /* of the first event */
	uint32_t count;      /* 0: everything up to the limit is lost */
	int64_t appended_us; /* when the first event came */
	bool ends; /* a batch must end here: limit, max_bytes or a gap */
};

void reader_init(struct reader *r, struct store *store);
void reader_fini(struct reader *r);

/*
 * Make `offset` the next offset to read.  Returns 0, or
 * ERR_OFFSET_OUT_OF_RANGE when it is before the oldest event kept or past the
 * durable end of the log.
 */
MUST_USE int reader_seek(struct reader *r, uint64_t offset);

/* Remember the place of the next read. */
struct reader_savepoint reader_save(const struct reader *r);
/*
 * Go to that place.  Returns as reader_seek, or the -errno of opening the
 * segment.  Need not search for the record from the start of the segment if the
 * log still has that.
 */
MUST_USE int reader_restore(struct reader *r,
                            const struct reader_savepoint *mark);

/*
 * Do a part of the search for the record of next_offset, which reader_frame
 * would do as a whole: move past records of about `bytes` bytes at most.
 * next_offset must be in the log.  Returns 1 if the search has not ended, 0 if
 * it has, or the -errno of a read.
 */
MUST_USE int reader_search(struct reader *r, uint64_t bytes);

/* Close the file of a segment that was deleted or is being deleted. */
void reader_release(struct reader *r);

/*
 * Read the next events into *out: up to `limit`, which is at most the log's
 * durable_offset, up to max_bytes of body, and up to one frame.  At least one
 * event is read, even if it is larger than max_bytes.  Events that are lost are
 * reported (store_damage) unless `quiet`, and skipped, but only before the
 * first event of *out.  Returns 0 or the -errno of a read.
 */
MUST_USE int reader_frame(struct reader *r, uint64_t limit, size_t max_bytes,
                          struct batch_chunk *out);

#endif
