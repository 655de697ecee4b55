/*
 * log_ls - `leat log ls`: list the segments of the log on disk.
 *
 * It reads the headers, and the records of the newest segment, and takes no
 * lock, as `leat log verify`.  The exit status is EXIT_NOT_WELL when a header
 * is damaged, EXIT_FAILURE when the log cannot be read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "batchd/disk.h"
#include "batchd/segment_file.h"
#include "batchd/segment_walk.h"
#include "leat/options.h"
#include "leat/units.h"
#include "leat/verb.h"
#include "libbase/error.h"
#include "libbase/log.h"

static const char *dir_option;

/* One line of the list. */
struct segment_line {
	uint64_t first, next; /* the offset after its last event */
	uint64_t bytes;       /* of the file */
	int64_t created_us;
	bool newest, damaged; /* damaged: its header */
};

/* Find the end of the newest segment, which no other segment follows. */
static int
find_end(struct disk *d, int file, const struct segment_header *h,
         struct segment_line *line)
{
	struct segment_walk w;
	struct record r;
	int rc;

	segment_walk_start(&w, d, file, record_seed(h->stream), line->first,
	                   SEGMENT_WALK_LAST);
	while ((rc = segment_walk_find(&w, &r)) == 0)
		segment_walk_next(&w, &r);
	line->next = w.next_offset;
	segment_walk_fini(&w);
	return rc == ERR_NO_MORE_RECORDS ? 0 : rc;
}

/* Read what the line shows of an open segment. */
static int
read_segment(struct disk *d, int file, struct segment_line *line)
{
	struct segment_header h;
	int64_t bytes = d->size(d, file);
	int rc = bytes < 0 ? (int)bytes
	                   : segment_file_read_header(d, file, line->first, &h);

	line->bytes = bytes < 0 ? 0 : (uint64_t)bytes;
	line->damaged = rc == ERR_DAMAGED_HEADER;
	if (rc < 0)
		return line->damaged ? 0 : rc;
	line->created_us = h.created_us;
	return line->newest ? find_end(d, file, &h, line) : 0;
}

static void
print_segment(const struct segment_line *line)
{
	char name[SEGMENT_NAME_BYTES], bytes[UNITS_TEXT_BYTES];
	char created[UNITS_TEXT_BYTES];

	segment_name(line->first, name);
	printf("%-24s %20" PRIu64 " %12" PRIu64 " %9s  %-20s  %s\n", name,
	       line->next, line->next - line->first,
	       units_bytes(line->bytes, bytes),
	       line->damaged ? "?"
	                     : units_time((uint64_t)line->created_us, created),
	       line->damaged  ? "HEADER DAMAGED"
	       : line->newest ? "newest"
	                      : "complete");
}

/* Print the segments.  Returns 0 with *damaged set, or -errno. */
static int
list_segments(struct disk *d, bool *damaged)
{
	uint64_t *all = NULL;
	size_t count = 0;
	int rc = segment_file_list(d, &all, &count);

	if (rc == 0 && count == 0)
		rc = -ENOENT;
	if (rc == 0)
		printf("%-24s %20s %12s %9s  %-20s  %s\n", "FILE",
		       "NEXT OFFSET", "EVENTS", "BYTES", "CREATED", "STATE");
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct segment_line line = {.first = all[i],
		                            .newest = i + 1 == count};
		int file = segment_file_open(d, line.first);

		line.next = line.newest ? line.first : all[i + 1];
		if (file == -ENOENT)
			continue; /* batchd has deleted it meanwhile */
		rc = file < 0 ? file : read_segment(d, file, &line);
		if (file >= 0)
			d->close(d, file);
		if (rc == 0)
			print_segment(&line);
		*damaged |= line.damaged;
	}
	free(all);
	return rc;
}

static int
log_ls_run(const struct verb_call *call)
{
	const char *dir = dir_option ? dir_option : call->log_dir;
	struct disk_real real;
	bool damaged = false;
	int rc = disk_real_open_read(&real, dir);

	if (rc == 0)
		rc = list_segments(&real.disk, &damaged);
	disk_real_close(&real);
	if (rc < 0)
		options_log_unreadable(dir, rc,
		                       "; correct [batchd] dir, or give --dir");
	if (damaged)
		log_warn("a segment's header is damaged; leat log verify has "
		         "more");
	return conf_finish_output(rc < 0    ? EXIT_FAILURE
	                          : damaged ? EXIT_NOT_WELL
	                                    : EXIT_SUCCESS);
}

const struct verb log_ls_verb = {
    .noun = "log",
    .name = "ls",
    .summary = "Lists the segments of the log on disk, in [batchd] dir.",
    .details = "It changes nothing, needs no batchd, and can run beside one.",
    .flags = VERB_FLAGS(OPTIONS_DIR_FLAG("list", &dir_option)),
    .examples = VERB_EXAMPLES(
	{"leat log ls", "which files hold which events, and since when"}),
    .run = log_ls_run,
};
