/*
 * reader - read the log from an offset on, as the bodies of batch frames.
 *
 * One for each sink.  Checks every record again: the disk may have changed
 * since.  Main thread only; reads block, mostly in the page cache.
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
	uint64_t hinted_at;     /* read-ahead was asked for up to here */
};

/* A place to go back to. */
struct reader_savepoint {
	uint64_t next_offset, segment_first, at;
};

/* What reader_frame has read: events that follow each other. */
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
 * Go to offset, which may be next_offset.  Returns 0, ERR_OFFSET_OUT_OF_RANGE
 * when it is below the oldest event kept or beyond what is durable.
 */
MUST_USE int reader_seek(struct reader *r, uint64_t offset);

struct reader_savepoint reader_save(const struct reader *r);
/* As reader_seek to the mark's offset, without a search if it is near. */
MUST_USE int reader_restore(struct reader *r,
                            const struct reader_savepoint *mark);

/*
 * Read the next stretch: up to `limit` (at most durable_offset), max_bytes
 * of body, and one frame.  At least one event is read whatever max_bytes
 * says.  Lost events are told (store_damage) and passed over, before the
 * stretch only.  Returns 0 or -errno of a read.
 */
MUST_USE int reader_frame(struct reader *r, uint64_t limit, size_t max_bytes,
                          struct batch_chunk *out);

#endif
