/*
 * verify - `leat log verify`: whether the log on disk is what it should be.
 *
 * Reads every record of every segment, and the cursors, and changes nothing.
 * Takes no lock: beside a batchd that runs, segments may be deleted, used
 * again and appended to meanwhile, so whatever looks damaged is looked at
 * once more before it is told.
 */
#ifndef LEAT_VERIFY_H
#define LEAT_VERIFY_H

#include <stdio.h>

#include "batchd/disk.h"
#include "batchd/segment.h"

/* A stretch that is not as it was written. */
struct verify_damage {
	uint64_t segment_first; /* names the file */
	uint64_t at, end;       /* its bytes */
	uint64_t from, to;      /* the offsets of the events lost in it */
};

struct verify {
	struct disk *disk; /* borrowed */
	FILE *out;         /* for people; borrowed */

	/* What was found. */
	uint64_t segments, records, events, bytes;
	uint64_t damages;           /* stretches, files and cursors */
	uint64_t lost_events;       /* in damage, or missing */
	struct verify_damage first; /* of the stretches */

	uint8_t stream[STREAM_ID_BYTES];
	bool stream_known;
	struct verify_segment *found;
	size_t found_count, found_cap;
	struct verify_cursor *cursors;
	size_t cursor_count, cursor_cap;
};

/*
 * Verify the log on disk, printing as it goes.  Returns 0, whatever was
 * found; or -errno: -ENOENT when there is no log.
 */
MUST_USE int verify_run(struct verify *v, struct disk *disk, FILE *out);
void verify_fini(struct verify *v);

/*
 * Verify the log in folder dir.  Returns the exit status: EXIT_FAILURE when
 * it is damaged, or cannot be read.
 */
MUST_USE int verify_print(const char *dir);

#endif
