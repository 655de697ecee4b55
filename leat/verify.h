/*
 * verify - `leat log verify`: check the log on disk.
 *
 * Reads every record of every segment, and the cursors, and changes nothing.
 * It takes no lock.  While it runs, a batchd may delete segments, use them
 * again and append to them.  Anything that looks damaged is therefore read once
 * more before it is reported.
 *
 * The exit status of the verb is EXIT_NOT_WELL when the log is damaged, and
 * EXIT_FAILURE when it cannot be read.
 */
#ifndef LEAT_VERIFY_H
#define LEAT_VERIFY_H

#include <stdio.h>

#include "batchd/disk.h"
#include "batchd/segment.h"
#include "libbase/base.h"

/* A damaged range of a segment. */
struct verify_damage {
	uint64_t segment_first; /* names the file */
	uint64_t at, end;       /* its bytes */
	uint64_t from, to;      /* the offsets of the events lost in it */
};

struct verify {
	struct disk *disk; /* borrowed */
	FILE *out;         /* text for an operator; borrowed */

	/* What was found. */
	uint64_t segments, records, events, bytes;
	uint64_t damages;           /* ranges, files and cursors */
	uint64_t lost_events;       /* in damage, or missing */
	struct verify_damage first; /* of the damaged ranges */

	uint8_t stream[STREAM_ID_BYTES];
	bool stream_known;
	struct verify_segment *found;
	size_t found_count;
	struct verify_cursor *cursors;
	size_t cursor_count, cursor_cap;
};

/*
 * Verify the log on disk, and print what it finds as it goes.  Returns 0,
 * whatever was found; -ENOENT when there is no log; or another -errno when a
 * file cannot be read.  verify_fini must follow.
 */
MUST_USE int verify_run(struct verify *v, struct disk *disk, FILE *out);
void verify_fini(struct verify *v);

#endif
