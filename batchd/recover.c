/* recover - see recover.h. */
#include "batchd/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "batchd/cursor.h"
#include "batchd/segment_file.h"
#include "batchd/segment_pool.h"
#include "batchd/segment_walk.h"
#include "batchd/store_damage.h"
#include "libbase/clock.h"
#include "libbase/compare.h"
#include "libbase/error.h"
#include "libbase/log.h"

static int
recover_on_segment(void *arg, const char *name)
{
	struct store *s = arg;
	struct segment_info one = {.previous_first = SEGMENT_NO_PREVIOUS};

	if (!segment_name_parse(name, &one.first_offset))
		return 0;
	if (one.first_offset > OFFSET_MAX) {
		log_error("%s is not a segment of the log: no offset is that "
		          "high; move the file away",
		          name);
		return ERR_OPERATOR_NEEDED;
	}
	return store_add_segment(s, &one);
}

/*
 * Take the log's stream from the first cursor file that can be read.  Returns 1
 * then, which ends the listing, and 0 otherwise.
 */
static int
recover_on_cursor(void *arg, const char *name)
{
	struct store *s = arg;
	char sink[FRAME_NAME_MAX + 1];

	s->is_new = false;
	if (!cursor_name_parse(name, sink))
		return 0;
	return cursor_stream(s->disk, sink, s->stream) == 0 ? 1 : 0;
}

/*
 * Return the time of the monotonic clock when the wall clock was created_us.
 * That one may have been set back since.
 */
static int64_t
monotonic_time(int64_t created_us)
{
	int64_t age_us = clock_wall_us() - created_us;

	return (int64_t)clock_mono_us() - (age_us > 0 ? age_us : 0);
}

static int
recover_read_header(struct store *s, struct segment_info *one,
                    bool *stream_known)
{
	struct segment_header h = {0};
	struct disk *d = s->disk;
	int64_t size;
	int rc, file = segment_file_open(d, one->first_offset);

	if (file < 0)
		return file;
	size = d->size(d, file);
	rc = size < 0
	         ? (int)size
	         : segment_file_read_header(d, file, one->first_offset, &h);
	if (rc == ERR_DAMAGED_HEADER)
		store_damage_report(s, one->first_offset, file, 0,
		                    SEGMENT_HEADER, 0, 0,
		                    "damaged segment header");
	d->close(d, file);
	if (rc < 0 && rc != ERR_DAMAGED_HEADER)
		return rc;
	one->bytes = (uint64_t)size;
	s->bytes += one->bytes;
	one->since_us = monotonic_time(0);
	if (rc < 0)
		return 0;
	one->previous_first = h.previous_first;
	one->created_us = h.created_us > 0 ? h.created_us : 1;
	one->since_us = monotonic_time(one->created_us);
	if (*stream_known &&
	    memcmp(s->stream, h.stream, STREAM_ID_BYTES) != 0) {
		log_error("segment %020" PRIu64 ".seg belongs to another log: "
		          "move the file away",
		          one->first_offset);
		rc = ERR_OPERATOR_NEEDED;
	}
	memcpy(s->stream, h.stream, STREAM_ID_BYTES);
	*stream_known = true;
	return rc;
}

/* Set *zero if the bytes from..to of the file are all zeros. */
static int
is_zero(struct disk *d, int file, uint64_t from, uint64_t to, bool *zero)
{
	uint8_t block[16 * KIB];

	*zero = true;
	while (*zero && from < to) {
		uint64_t left = to - from;
		ssize_t n = disk_read(
		    d, file, block,
		    left < sizeof block ? (size_t)left : sizeof block, from);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		*zero = block[0] == 0 &&
		        memcmp(block, block + 1, (size_t)n - 1) == 0;
		from += (uint64_t)n;
	}
	return 0;
}

/*
 * Walk the last segment, and report damage in it.  Sets *end to the byte after
 * its last record, and s->next_offset to the offset after that record's events.
 */
static int
recover_walk(struct store *s, const struct segment_info *last, int file,
             uint64_t *end)
{
	struct segment_walk walk;
	struct record r;
	int rc;

	segment_walk_start(&walk, s->disk, file, record_seed(s->stream),
	                   last->first_offset, SEGMENT_WALK_LAST);
	while ((rc = segment_walk_find(&walk, &r)) == 0) {
		if (segment_walk_skipped(&walk, &r))
			store_damage_report(
			    s, last->first_offset, file, walk.end, walk.scan.at,
			    walk.next_offset, r.offset, "damaged record");
		segment_walk_next(&walk, &r);
	}
	s->next_offset = walk.next_offset;
	*end = walk.end;
	segment_walk_fini(&walk);
	return rc == ERR_NO_MORE_RECORDS ? 0 : rc;
}

static int
recover_last(struct store *s, struct segment_info *last)
{
	char name[SEGMENT_NAME_BYTES];
	struct disk *d = s->disk;
	uint64_t end = 0;
	bool zero = true;
	int rc, file = segment_file_open(d, last->first_offset);

	segment_name(last->first_offset, name);
	if (file < 0)
		return file;
	rc = d->sync(d, file);
	if (rc == 0)
		rc = d->drop_cache(d, file);
	if (rc == 0)
		rc = recover_walk(s, last, file, &end);
	if (rc == 0)
		rc = is_zero(d, file, end, last->bytes, &zero);
	if (rc == 0 && !zero && last->bytes == s->conf.segment_bytes)
		/*
		 * A file of this size may be a recycled one, in which records
		 * of its earlier use follow: not worth a warning.
		 */
		log_info("bytes after the last record cut off segment=%s "
		         "at=%" PRIu64 " next_offset=%" PRIu64,
		         name, end, s->next_offset);
	else if (rc == 0 && !zero)
		log_warn("torn tail cut off segment=%s at=%" PRIu64
		         " next_offset=%" PRIu64,
		         name, end, s->next_offset);
	if (rc == 0 && end < last->bytes) {
		rc = d->truncate(d, file, end);
		if (rc == 0)
			rc = d->sync(d, file);
		s->bytes -= last->bytes - end;
		last->bytes = end;
	}
	d->close(d, file);
	return rc;
}

/* Name a new log with a random (version 4) UUID. */
static int
new_stream(struct store *s)
{
	if (getrandom(s->stream, STREAM_ID_BYTES, 0) != STREAM_ID_BYTES)
		return -EIO;
	s->stream[6] = (uint8_t)((s->stream[6] & 0x0f) | 0x40);
	s->stream[8] = (uint8_t)((s->stream[8] & 0x3f) | 0x80);
	return 0;
}

/*
 * Set *end to the offset after the last valid record of segment i, or to the
 * segment's first offset when it has none.
 */
static int
find_end(struct store *s, size_t i, uint64_t *end)
{
	struct scan scan = {.file = -1};
	struct disk *d = s->disk;
	struct record r;
	int rc, file = segment_file_open(d, s->segments[i].first_offset);

	if (file < 0)
		return file;
	scan_start(&scan, d, file, record_seed(s->stream));
	*end = s->segments[i].first_offset;
	while ((rc = scan_find(&scan, *end, &r)) == 0) {
		*end = r.offset + r.count;
		scan_next(&scan, &r);
	}
	scan_fini(&scan);
	d->close(d, file);
	return rc == ERR_NO_MORE_RECORDS ? 0 : rc;
}

/*
 * Set *member if segment i, whose header is damaged, belongs to this log.  It
 * does if it holds records of the log, or if the header of the segment after it
 * names it, or else if it begins where the segment before it ends.  That last
 * rule is dropped with FSYNC_NEVER, because a power cut can then remove the end
 * of the segment before it.
 */
static int
is_member(struct store *s, size_t i, bool *member)
{
	const struct segment_info *one = &s->segments[i];
	bool last = i + 1 == s->segment_count;
	uint64_t end = 0;
	int rc = find_end(s, i, &end);

	*member = end > one->first_offset;
	if (rc < 0 || *member)
		return rc;
	if (!last && one[1].created_us != 0) {
		*member = one[1].previous_first == one->first_offset;
		return 0;
	}
	*member = i == 0 || s->conf.fsync == FSYNC_NEVER;
	if (*member)
		return 0;
	rc = find_end(s, i - 1, &end);
	*member = end == one->first_offset;
	return rc;
}

/*
 * Refuse a log with a file that has the name of a segment but is not one.  As
 * the last segment, such a file would move the end of the log.  Elsewhere, it
 * would hide events of the segment before it, whose records end where the name
 * of the next segment begins.
 */
static int
refuse_strays(struct store *s)
{
	for (size_t i = 0; i < s->segment_count; i++) {
		bool member = true;
		int rc = s->segments[i].created_us == 0
		             ? is_member(s, i, &member)
		             : 0;

		if (rc < 0)
			return rc;
		if (member)
			continue;
		log_error("%020" PRIu64 ".seg is not a segment of the log: it "
		          "holds no record of the log, and the segments before "
		          "and after it do not adjoin it; move the file away, "
		          "or, if the power failed while fsync was never, "
		          "start once with fsync = never",
		          s->segments[i].first_offset);
		return ERR_OPERATOR_NEEDED;
	}
	return 0;
}

static int
recover_segments(struct store *s)
{
	bool stream_known = false;
	int rc = 0;

	for (size_t i = 0; i < s->segment_count && rc == 0; i++)
		rc = recover_read_header(s, &s->segments[i], &stream_known);
	if (rc < 0)
		return rc;
	if (!stream_known) {
		/* Every header is damaged, but cursors name the stream, too. */
		rc = s->disk->list(s->disk, "cursors", recover_on_cursor, s);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			log_error("cannot identify the log: every segment "
			          "header and every cursor is damaged; restore "
			          "the log, or rename its directory to begin "
			          "a new log");
			return ERR_OPERATOR_NEEDED;
		}
	}
	rc = refuse_strays(s);
	if (rc == 0)
		rc = recover_last(s, &s->segments[s->segment_count - 1]);
	if (rc < 0)
		return rc;
	/*
	 * An empty last segment is not part of the log: the segment that the
	 * start creates gets the same name and replaces it.
	 */
	if (s->next_offset == s->segments[s->segment_count - 1].first_offset) {
		s->segment_count--;
		s->bytes -= s->segments[s->segment_count].bytes;
	}
	return 0;
}

int
recover_log(struct store *s)
{
	struct disk *d = s->disk;
	int rc;

	rc = d->mkdir(d, "cursors");
	if (rc == 0)
		rc = d->mkdir(d, "quarantine");
	/*
	 * Files created just before a crash may be visible, but not yet durable
	 * in the directory.  Make them so before anything relies on them.
	 */
	if (rc == 0)
		rc = d->sync_dir(d, "");
	if (rc == 0)
		rc = d->sync_dir(d, "cursors");
	/*
	 * A spare holds no events: it is not a segment yet, or, if it was to be
	 * recycled, no longer.
	 */
	if (rc == 0)
		rc = d->unlink(d, SPARE_NAME);
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0)
		rc = d->list(d, "", recover_on_segment, s);
	if (rc < 0)
		return rc;
	if (s->segment_count > 0) {
		qsort(s->segments, s->segment_count, sizeof *s->segments,
		      compare_u64);
		rc = recover_segments(s);
	} else {
		s->is_new = true;
		rc = d->list(d, "cursors", recover_on_cursor, s);
		if (rc >= 0 && !s->is_new) {
			log_error(
			    "there are cursors, but the segments of the log "
			    "are missing; restore the log, or rename its "
			    "directory to begin a new log");
			return ERR_OPERATOR_NEEDED;
		}
		rc = rc < 0 ? rc : new_stream(s);
	}
	if (rc < 0)
		return rc;
	segment_stream_text(s->stream, s->stream_text);
	log_info("log opened stream=%s segments=%zu first_offset=%" PRIu64
	         " next_offset=%" PRIu64 " bytes=%" PRIu64,
	         s->stream_text, s->segment_count, store_first_offset(s),
	         s->next_offset, s->bytes);
	return 0;
}
