/*
 * log_dump - `leat log dump`: print the events of the log on disk.
 *
 * A line of JSON for each event, as `leat tail` prints them, without batchd.
 * It takes no lock.  Events that cannot be read are counted on standard error,
 * and the dump goes on after them.  The exit status is then EXIT_NOT_WELL; it
 * is EXIT_FAILURE when the log cannot be read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "batchd/segment_file.h"
#include "batchd/segment_walk.h"
#include "leat/options.h"
#include "leat/tail_rows.h"
#include "leat/verb.h"
#include "libbase/error.h"
#include "libbase/log.h"

static struct when from, to;
static const char *dir_option;

struct log_dump {
	struct disk *disk;
	bool for_terminal;
	uint64_t next; /* offset of the event to print next */
	uint64_t to;
	uint64_t lost;
	uint64_t seed;    /* of the records */
	uint64_t segment; /* its first offset */
	bool has_printed;
	struct buf line;
};

/*
 * batchd deletes the oldest segments, and uses their files again.  If that has
 * happened before the first event was printed, the dump is one that has begun a
 * little later, and nothing is lost.
 */
static bool
dump_begins_later(const struct log_dump *d)
{
	int file = d->has_printed ? 0 : segment_file_open(d->disk, d->segment);

	if (!d->has_printed && file >= 0)
		d->disk->close(d->disk, file);
	return file == -ENOENT;
}

/* The events from d->next on and before `offset` cannot be read. */
static void
dump_lose(struct log_dump *d, uint64_t offset, const char *why)
{
	if (offset > d->to)
		offset = d->to;
	if (offset <= d->next)
		return;
	if (dump_begins_later(d)) {
		d->next = offset;
		return;
	}
	log_warn("events cannot be read offsets=%" PRIu64 "..%" PRIu64
	         " events=%" PRIu64 ": %s",
	         d->next, offset, offset - d->next, why);
	d->lost += offset - d->next;
	d->next = offset;
}

static int
dump_event(struct log_dump *d, uint64_t offset, const struct event *e)
{
	int rc = tail_json_line(&d->line, offset, e, d->for_terminal);

	if (rc == 0 && d->line.len > 0)
		(void)fwrite(d->line.data, 1, d->line.len, stdout);
	d->line.len = 0;
	d->has_printed = true;
	d->next = offset + 1;
	return rc;
}

/* Print the events of one record.  Its checksum is right. */
static int
dump_record(struct log_dump *d, const struct record *r, const uint8_t *body)
{
	struct wire_reader reader = {body, body + r->body_bytes};
	struct event e;

	for (uint64_t at = r->offset; at < r->offset + r->count; at++) {
		int rc;

		if (at >= d->to)
			return 0;
		if (event_read(&reader, &e) < 0) {
			dump_lose(d, r->offset + r->count,
			          "the record has a checksum that is right, "
			          "and no events");
			return 0;
		}
		if (at < d->next)
			continue;
		rc = dump_event(d, at, &e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Print the events of an open segment. */
static int
dump_records(struct log_dump *d, struct segment_walk *w)
{
	bool reread = false;
	const uint8_t *body;
	struct record r;
	int rc = 0;

	while (d->next < d->to && !ferror(stdout) &&
	       (rc = segment_walk_find(w, &r)) == 0) {
		if (segment_walk_skipped(w, &r) && !reread) {
			/* batchd may have written it while it was read. */
			segment_walk_reread(w);
			reread = true;
			continue;
		}
		reread = false;
		dump_lose(d, r.offset, "no valid record");
		if (r.offset + r.count > d->next) {
			rc = scan_peek(&w->scan, &r, &body);
			if (rc == 0)
				rc = dump_record(d, &r, body);
			if (rc < 0)
				return rc;
		}
		segment_walk_next(w, &r);
	}
	return rc == ERR_NO_MORE_RECORDS ? 0 : rc;
}

/*
 * Print the events of the segment that begins at `first`, up to `limit`.
 * Returns 0, -ENOENT if it was deleted, or another -errno.
 */
static int
dump_segment(struct log_dump *d, uint64_t first, uint64_t limit)
{
	struct segment_walk w;
	int rc, file = segment_file_open(d->disk, first);

	d->segment = first;
	if (file < 0)
		return file;
	dump_lose(d, first, "a segment is missing");
	segment_walk_start(&w, d->disk, file, d->seed, first, limit);
	rc = dump_records(d, &w);
	segment_walk_fini(&w);
	d->disk->close(d->disk, file);
	if (rc == 0 && limit != SEGMENT_WALK_LAST && !ferror(stdout))
		dump_lose(d, limit, "no valid record at the end");
	return rc;
}

/*
 * Take the seed of the records from the first header that is good.  Returns 0;
 * ERR_DAMAGED_HEADER; -ENOENT when all segments were deleted; or -errno.
 */
static int
dump_find_seed(struct log_dump *d, const uint64_t *all, size_t count)
{
	int found = -ENOENT;

	for (size_t i = 0; i < count; i++) {
		struct segment_header h;
		int rc, file = segment_file_open(d->disk, all[i]);

		if (file == -ENOENT)
			continue;
		if (file < 0)
			return file;
		rc = segment_file_read_header(d->disk, file, all[i], &h);
		d->disk->close(d->disk, file);
		if (rc == 0)
			d->seed = record_seed(h.stream);
		if (rc != ERR_DAMAGED_HEADER)
			return rc;
		found = rc;
	}
	return found;
}

/*
 * Print the events of the segments that there are now.  Returns 0; 1 when one
 * of them was deleted meanwhile; -ENOENT when there are none; or another error.
 */
static int
dump_segments(struct log_dump *d)
{
	uint64_t *all = NULL;
	size_t count = 0;
	int rc = segment_file_list(d->disk, &all, &count);

	if (rc == 0 && count == 0)
		rc = -ENOENT;
	if (rc < 0) {
		free(all);
		return rc;
	}
	rc = dump_find_seed(d, all, count);
	/* What the log has deleted before the dump began is not lost. */
	if (rc == 0 && d->next < all[0] && !d->has_printed)
		d->next = all[0];
	if (rc == 0)
		dump_lose(d, all[0], "deleted meanwhile");
	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint64_t limit =
		    i + 1 < count ? all[i + 1] : (uint64_t)SEGMENT_WALK_LAST;

		if (d->next < limit && d->next < d->to && !ferror(stdout))
			rc = dump_segment(d, all[i], limit);
	}
	free(all);
	return rc == -ENOENT ? 1 : rc;
}

static int
log_dump_run(const struct verb_call *call)
{
	const char *dir = dir_option ? dir_option : call->log_dir;
	struct log_dump d = {.for_terminal = isatty(STDOUT_FILENO)};
	struct disk_real real;
	int rc;

	if (to.kind == WHEN_NONE)
		to.kind = WHEN_NEWEST;
	if (options_find_offset(&from, dir, 0, UINT64_MAX) < 0 ||
	    options_find_offset(&to, dir, 0, UINT64_MAX) < 0)
		return EXIT_FAILURE;
	if (to.offset < from.offset) {
		log_error("--to is before --from to=%" PRIu64 " from=%" PRIu64,
		          to.offset, from.offset);
		return EXIT_CONFIG;
	}
	rc = disk_real_open_read(&real, dir);
	d.disk = &real.disk;
	d.next = from.offset;
	d.to = to.offset;
	buf_init(&d.line, TAIL_ROW_MAX);
	/* batchd may delete segments meanwhile: go on with what is left. */
	if (rc == 0) {
		do
			rc = dump_segments(&d);
		while (rc > 0);
	}
	buf_fini(&d.line);
	disk_real_close(&real);
	if (rc < 0)
		options_log_unreadable(dir, rc,
		                       "; correct [batchd] dir, or give --dir");
	if (d.lost > 0)
		log_warn("not all events could be read events=%" PRIu64
		         "; leat log verify has more",
		         d.lost);
	return conf_finish_output(rc < 0       ? EXIT_FAILURE
	                          : d.lost > 0 ? EXIT_NOT_WELL
	                                       : EXIT_SUCCESS);
}

const struct verb log_dump_verb = {
    .noun = "log",
    .name = "dump",
    .summary = "Prints the events of the log on disk, a JSON object a line.",
    .details =
	"It changes nothing, needs no batchd, and can run beside one.  Events "
	"that cannot be read are reported, and the exit status is then 3.",
    .flags = VERB_FLAGS(
	VERB_VALUE("--from", "WHEN", options_when, &from,
                   "begin at " WHEN_FORMS " (default oldest)"),
	VERB_VALUE(
	    "--to", "WHEN", options_when, &to,
	    "end before this offset or time (default: the end of the log)"),
	OPTIONS_DIR_FLAG("dump", &dir_option)),
    .examples = VERB_EXAMPLES(
	{"leat log dump >events.ndjson", "all events that the log has"},
	{"leat log dump --from -1h | jq .type", "those of the last hour"},
	{"leat log dump --dir /mnt/backup/log --from 8812004 --to 8812005",
         "one event of a copy"}),
    .run = log_dump_run,
};
