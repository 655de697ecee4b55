/* verify - see verify.h. */
#include "leat/verify.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/cursor.h"
#include "batchd/segment_file.h"
#include "batchd/segment_walk.h"
#include "leat/options.h"
#include "leat/verb.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/printable.h"

struct verify_segment {
	uint64_t first_offset, previous_first;
	uint64_t next_offset; /* after its last record */
	uint64_t records;
	bool header_good;
	bool gone; /* deleted since it was listed */
};

struct verify_cursor {
	char sink[FRAME_NAME_MAX + 1];
	struct cursor_slot slot;
	int rc; /* 0, or why it cannot be read */
};

static void
verify_damaged(struct verify *v, const struct verify_damage *d,
               const char *what)
{
	if (v->damages++ == 0)
		v->first = *d;
	v->lost_events += d->to - d->from;
	(void)fprintf(v->out,
	              "DAMAGED  %020" PRIu64 ".seg bytes=%" PRIu64 "..%" PRIu64
	              " offsets=%" PRIu64 "..%" PRIu64 " events=%" PRIu64
	              ": %s\n",
	              d->segment_first, d->at, d->end, d->from, d->to,
	              d->to - d->from, what);
}

static void
verify_missing(struct verify *v, uint64_t from, uint64_t to, const char *what)
{
	v->damages++;
	v->lost_events += to - from;
	(void)fprintf(v->out,
	              "MISSING  offsets=%" PRIu64 "..%" PRIu64
	              " events=%" PRIu64 ": %s\n",
	              from, to, to - from, what);
}

/* --- find segments and cursors --- */

static int
verify_find_segments(struct verify *v)
{
	uint64_t *first_offsets;
	int rc = segment_file_list(v->disk, &first_offsets, &v->found_count);

	if (v->found_count > 0)
		v->found = calloc(v->found_count, sizeof *v->found);
	if (v->found_count > 0 && !v->found) {
		v->found_count = 0;
		rc = -ENOMEM;
	}
	for (size_t i = 0; i < v->found_count; i++)
		v->found[i] = (struct verify_segment){
		    .first_offset = first_offsets[i],
		    .previous_first = SEGMENT_NO_PREVIOUS};
	free(first_offsets);
	return rc;
}

static int
verify_read_header(struct verify *v, struct verify_segment *one)
{
	struct verify_damage bad = {one->first_offset, 0, SEGMENT_HEADER, 0, 0};
	struct segment_header h;
	int rc, file = segment_file_open(v->disk, one->first_offset);

	one->gone = file == -ENOENT;
	if (file < 0)
		return one->gone ? 0 : file;
	rc = segment_file_read_header(v->disk, file, one->first_offset, &h);
	v->disk->close(v->disk, file);
	if (rc == ERR_DAMAGED_HEADER) {
		verify_damaged(v, &bad, "damaged segment header");
		return 0;
	}
	if (rc < 0)
		return rc;
	one->previous_first = h.previous_first;
	one->header_good = true;
	if (!v->stream_known)
		memcpy(v->stream, h.stream, STREAM_ID_BYTES);
	v->stream_known = true;
	if (memcmp(v->stream, h.stream, STREAM_ID_BYTES) != 0)
		verify_damaged(v, &bad, "the segment belongs to another log");
	return 0;
}

static int
verify_on_cursor(void *arg, const char *name)
{
	struct verify *v = arg;
	struct verify_cursor *more;
	char sink[FRAME_NAME_MAX + 1];

	if (!cursor_name_parse(name, sink))
		return 0;
	if (v->cursor_count == v->cursor_cap) {
		v->cursor_cap = v->cursor_cap ? 2 * v->cursor_cap : 16;
		more = realloc(v->cursors, v->cursor_cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		v->cursors = more;
	}
	more = &v->cursors[v->cursor_count++];
	*more = (struct verify_cursor){0};
	memcpy(more->sink, sink, sizeof sink);
	/* Cursors name the stream, too, if every header is damaged. */
	if (!v->stream_known)
		v->stream_known =
		    cursor_stream(v->disk, more->sink, v->stream) == 0;
	return 0;
}

static void
read_cursor(struct verify *v, struct verify_cursor *one)
{
	struct cursor c;

	one->rc = cursor_open(&c, v->disk, one->sink, v->stream);
	if (one->rc < 0)
		return;
	one->slot = c.now;
	cursor_close(&c, v->disk);
}

/*
 * Find and read headers and cursors.  The cursors are read before the records,
 * because events below a cursor must then be in the segments that are read
 * later, or in segments that were begun since (has_moved_on).
 */
static int
find_all(struct verify *v)
{
	struct disk *d = v->disk;
	int rc = verify_find_segments(v);

	for (size_t i = 0; rc == 0 && i < v->found_count; i++)
		rc = verify_read_header(v, &v->found[i]);
	if (rc == 0)
		rc = d->list(d, "cursors", verify_on_cursor, v);
	if (rc == -ENOENT)
		rc = 0; /* no cursors */
	if (rc < 0)
		return rc;
	if (v->found_count == 0 && v->cursor_count == 0)
		return -ENOENT;
	for (size_t i = 0; i < v->cursor_count; i++)
		read_cursor(v, &v->cursors[i]);
	return 0;
}

/* --- one segment --- */

/* Return true if the segment still has a file of its name. */
static bool
is_there(struct verify *v, uint64_t first_offset)
{
	int file = segment_file_open(v->disk, first_offset);

	if (file >= 0)
		v->disk->close(v->disk, file);
	return file >= 0;
}

/*
 * Read the records of an open segment, and report damage in it.  Returns 0, or
 * -errno when the file cannot be read.
 */
static int
walk_records(struct verify *v, struct verify_segment *one,
             struct segment_walk *w)
{
	struct verify_damage bad = {.segment_first = one->first_offset};
	bool reread = false;
	struct record r;
	int rc;

	while ((rc = segment_walk_find(w, &r)) == 0) {
		bool skipped = segment_walk_skipped(w, &r);

		if (skipped && !reread) {
			/* batchd may have written it while it was read. */
			segment_walk_reread(w);
			reread = true;
			continue;
		}
		reread = false;
		if (skipped && !is_there(v, one->first_offset)) {
			one->gone = true;
			return 0;
		}
		if (skipped) {
			bad.at = w->end;
			bad.end = w->scan.at;
			bad.from = w->next_offset;
			bad.to = r.offset;
			verify_damaged(v, &bad, "no valid record");
		}
		one->records++;
		v->events += r.count;
		segment_walk_next(w, &r);
	}
	return rc == ERR_NO_MORE_RECORDS ? 0 : rc;
}

/*
 * Report bytes after the last record of the log, other than zeros.  They are
 * not damage.
 */
static int
verify_report_tail(struct verify *v, const struct verify_segment *one,
                   struct segment_walk *w, uint64_t bytes)
{
	uint8_t block[RECORD_HEADER], zeros[RECORD_HEADER] = {0};
	const uint8_t *body;
	struct record r;
	ssize_t n;

	segment_walk_reread(w);
	if (scan_peek(&w->scan, &r, &body) == 0)
		return 0; /* batchd has appended a record */
	n = disk_read(v->disk, w->scan.file, block, sizeof block, w->end);
	if (n < 0)
		return (int)n;
	if (memcmp(block, zeros, (size_t)n) != 0)
		(void)fprintf(v->out,
		              "tail     %020" PRIu64 ".seg bytes=%" PRIu64
		              "..%" PRIu64 ": a torn write that was never "
		              "acknowledged, or of an earlier use of the "
		              "file\n",
		              one->first_offset, w->end, bytes);
	return 0;
}

/* A segment that is not the last one has all events up to the next one. */
static void
verify_check_end(struct verify *v, const struct verify_segment *one,
                 const struct segment_walk *w, uint64_t bytes)
{
	struct verify_damage bad = {one->first_offset, w->end, bytes,
	                            w->next_offset, w->limit};
	const struct verify_segment *next = one + 1;

	if (w->next_offset >= w->limit || !is_there(v, one->first_offset))
		return;
	if (!next->header_good || next->previous_first == one->first_offset)
		verify_damaged(v, &bad, "no valid record at the end");
	else
		verify_missing(v, w->next_offset, w->limit,
		               "a segment in between is missing");
}

static int
walk_segment(struct verify *v, size_t i)
{
	bool last = i + 1 == v->found_count;
	struct verify_segment *one;
	struct segment_walk w;
	int64_t bytes;
	int file, rc;

	assert(v->found);
	one = &v->found[i];
	file = segment_file_open(v->disk, one->first_offset);
	one->gone = file == -ENOENT;
	if (file < 0)
		return one->gone ? 0 : file;
	segment_walk_start(&w, v->disk, file, record_seed(v->stream),
	                   one->first_offset,
	                   last ? SEGMENT_WALK_LAST : one[1].first_offset);
	bytes = v->disk->size(v->disk, file);
	rc = bytes < 0 ? (int)bytes : walk_records(v, one, &w);
	if (rc == 0 && !one->gone && !last)
		verify_check_end(v, one, &w, (uint64_t)bytes);
	if (rc == 0 && !one->gone && last)
		rc = verify_report_tail(v, one, &w, (uint64_t)bytes);
	segment_walk_fini(&w);
	v->disk->close(v->disk, file);
	if (rc < 0 || one->gone)
		return rc;
	v->segments++;
	v->records += one->records;
	v->bytes += (uint64_t)bytes;
	(void)fprintf(v->out,
	              "segment  %020" PRIu64 ".seg offsets=%" PRIu64
	              "..%" PRIu64 " records=%" PRIu64 " bytes=%" PRId64
	              " used=%" PRIu64 "\n",
	              one->first_offset, one->first_offset, w.next_offset,
	              one->records, bytes, w.end);
	one->next_offset = w.next_offset;
	return 0;
}

/* --- cursors --- */

static int
verify_on_later_segment(void *arg, const char *name)
{
	const struct verify *v = arg;
	uint64_t first_offset;

	return segment_name_parse(name, &first_offset) &&
	       first_offset > v->found[v->found_count - 1].first_offset;
}

/* Return true if a running batchd has begun a segment after those found. */
static bool
has_moved_on(struct verify *v)
{
	return v->disk->list(v->disk, "", verify_on_later_segment, v) > 0;
}

/* Return true if the sink has by now committed all events below `first`. */
static bool
has_followed(struct verify *v, const struct verify_cursor *c, uint64_t first)
{
	struct verify_cursor now = *c;

	read_cursor(v, &now);
	return now.rc == 0 && now.slot.committed >= first;
}

static void
check_cursor(struct verify *v, const struct verify_cursor *c, uint64_t first,
             uint64_t end)
{
	char name[PRINTABLE_GROWTH * FRAME_NAME_MAX + 1];

	/* The name of a file, which may contain any byte. */
	(void)printable_put(name, c->sink, strlen(c->sink), "");
	if (c->rc < 0) {
		v->damages++;
		(void)fprintf(v->out, "DAMAGED  cursor of %s: %s\n", name,
		              c->rc == ERR_OTHER_LOG
		                  ? "it belongs to another log"
		                  : file_error(c->rc));
		return;
	}
	(void)fprintf(v->out,
	              "cursor   %s offset=%" PRIu64 " pending=%" PRIu64 "\n",
	              name, c->slot.committed,
	              c->slot.committed < end ? end - c->slot.committed : 0);
	if (c->slot.committed < first && !has_followed(v, c, first))
		verify_missing(v, c->slot.committed, first,
		               "deleted before this sink committed them");
	if (cursor_max_sent_offset(&c->slot) > end && !has_moved_on(v))
		verify_missing(
		    v, end, cursor_max_sent_offset(&c->slot),
		    "sent to this sink; the end of the log is missing");
}

int
verify_run(struct verify *v, struct disk *disk, FILE *out)
{
	uint64_t first = 0, end = 0;
	bool any = false;
	int rc;

	*v = (struct verify){.disk = disk, .out = out};
	rc = find_all(v);
	for (size_t i = 0; rc == 0 && i < v->found_count; i++) {
		rc = walk_segment(v, i);
		if (rc < 0 || v->found[i].gone)
			continue;
		if (!any)
			first = v->found[i].first_offset;
		end = v->found[i].next_offset;
		any = true;
	}
	if (rc < 0)
		return rc;
	if (!any) {
		v->damages++;
		(void)fprintf(out, "MISSING  all segments\n");
		return 0;
	}
	for (size_t i = 0; i < v->cursor_count; i++)
		check_cursor(v, &v->cursors[i], first, end);
	(void)fprintf(out,
	              "%s offsets=%" PRIu64 "..%" PRIu64 " segments=%" PRIu64
	              " records=%" PRIu64 " events=%" PRIu64 " bytes=%" PRIu64
	              " damages=%" PRIu64 " lost_events=%" PRIu64 "\n",
	              v->damages ? "damaged " : "intact  ", first, end,
	              v->segments, v->records, v->events, v->bytes, v->damages,
	              v->lost_events);
	return 0;
}

void
verify_fini(struct verify *v)
{
	free(v->found);
	free(v->cursors);
	v->found = NULL;
	v->cursors = NULL;
}

static const char *dir_option;

static int
log_verify_run(const struct verb_call *call)
{
	const char *dir = dir_option ? dir_option : call->log_dir;
	struct disk_real real;
	struct verify v = {0};
	int rc = disk_real_open_read(&real, dir);

	if (rc == 0)
		rc = verify_run(&v, &real.disk, stdout);
	verify_fini(&v);
	disk_real_close(&real);
	if (rc < 0)
		options_log_unreadable(dir, rc, "");
	return conf_finish_output(rc < 0          ? EXIT_FAILURE
	                          : v.damages > 0 ? EXIT_NOT_WELL
	                                          : EXIT_SUCCESS);
}

const struct verb log_verify_verb = {
    .noun = "log",
    .name = "verify",
    .summary = "Reads the whole log on disk, in [batchd] dir, and reports what "
	       "is damaged.",
    .details = "It changes nothing, needs no batchd, and can run beside one.  "
	       "The exit status is 3 if the log is damaged.",
    .flags = VERB_FLAGS(OPTIONS_DIR_FLAG("check", &dir_option)),
    .examples = VERB_EXAMPLES(
	{"leat log verify", "is any part of the log damaged?"},
	{"leat log verify --dir /mnt/backup/log", "the same, of a copy"}),
    .run = log_verify_run,
};
