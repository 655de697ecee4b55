/* reader - see reader.h. */
#include "batchd/reader.h"

#include <errno.h>
#include <string.h>

#include "batchd/segment_file.h"
#include "batchd/store_damage.h"
#include "libbase/error.h"
#include "libproto/event.h"

/* How many bytes the kernel is asked to read before they are needed. */
#define READ_AHEAD_BYTES (4 * MIB)

void
reader_init(struct reader *r, struct store *store)
{
	*r = (struct reader){.store = store, .file = -1};
	r->scan.file = -1;
}

static void
reader_close_file(struct reader *r)
{
	if (r->file >= 0)
		r->store->disk->close(r->store->disk, r->file);
	r->file = -1;
}

void
reader_fini(struct reader *r)
{
	reader_close_file(r);
	scan_fini(&r->scan);
}

static int
reader_open_segment(struct reader *r, uint64_t first_offset)
{
	struct disk *d = r->store->disk;

	reader_close_file(r);
	r->file = segment_file_open(d, first_offset);
	if (r->file < 0)
		return r->file;
	r->segment_first = first_offset;
	r->hinted_at = 0;
	scan_start(&r->scan, d, r->file, r->store->seed);
	return 0;
}

static void
read_ahead(struct reader *r)
{
	struct disk *d = r->store->disk;

	if (r->scan.at + READ_AHEAD_BYTES / 2 < r->hinted_at)
		return;
	d->will_need(d, r->file, r->scan.at, READ_AHEAD_BYTES);
	r->hinted_at = r->scan.at + READ_AHEAD_BYTES;
}

/*
 * Open the segment of next_offset, unless it is open.  *end is where that
 * segment ends: UINT64_MAX for the active one.
 *
 * A segment that was deleted is closed here, because it is no longer in the
 * store's list.  That must happen before its file is read again, since the file
 * may be used for a new segment with other events by now.
 */
static int
enter_segment(struct reader *r, uint64_t *end)
{
	const struct store *s = r->store;
	size_t i = store_find(s, r->next_offset);
	uint64_t first_offset;

	if (i == s->segment_count)
		return ERR_OFFSET_OUT_OF_RANGE;
	first_offset = s->segments[i].first_offset;
	*end = i + 1 < s->segment_count ? s->segments[i + 1].first_offset
	                                : UINT64_MAX;
	if (r->file >= 0 && r->segment_first == first_offset)
		return 0;
	return reader_open_segment(r, first_offset);
}

/*
 * Find the record that holds next_offset.  If that event is lost, report it,
 * and move next_offset to the first event after it that is not.  Returns 0;
 * ERR_NO_MORE_RECORDS when all events before `limit` are lost; or -errno.
 *
 * Each round of the loop looks at the record at the scan's place:
 *
 *  - It ends before next_offset: go on to the record after it.
 *  - It holds next_offset: done.
 *  - It is damaged, it belongs to an earlier use of the file (a segment's file
 *    is used again for a later segment, and offsets only grow), or it begins
 *    after next_offset, so that events are missing before it.  The scan's
 *    window may have been read before the record was written.  So the same
 *    place is looked at once more with a new window (`fresh`), and only if the
 *    result is the same, events are lost.  They are lost up to the next valid
 *    record, the next segment, or the limit, whichever comes first; next_offset
 *    moves there.
 *
 * If there is no valid record after the bad one, the scan stays where it is,
 * since the records that belong there may not be written yet.
 */
MUST_USE static int
reader_find_record(struct reader *r, uint64_t limit, struct record *rec,
                   const uint8_t **body)
{
	struct store *s = r->store;
	uint64_t bad_at, end;
	bool fresh = false;
	int rc;

	for (;;) {
		if (r->next_offset >= limit)
			return ERR_NO_MORE_RECORDS;
		rc = enter_segment(r, &end);
		if (rc < 0)
			return rc;
		bad_at = r->scan.at;
		rc = scan_peek(&r->scan, rec, body);
		if (rc == 0 && rec->offset + rec->count <= r->next_offset &&
		    rec->offset >= r->segment_first) {
			scan_next(&r->scan, rec);
			fresh = false;
			continue;
		}
		if (rc == 0 && rec->offset <= r->next_offset &&
		    rec->offset >= r->segment_first)
			return 0;
		if (rc == 0 && rec->offset < r->segment_first)
			rc = -EBADMSG; /* of an earlier use of the file */
		if ((rc < 0 || rec->offset > r->next_offset) && !fresh) {
			scan_forget(&r->scan);
			fresh = true;
			continue;
		}
		fresh = false;
		if (rc == -EBADMSG)
			rc = scan_resync(&r->scan, r->next_offset, rec);
		if (rc < 0 && rc != ERR_NO_MORE_RECORDS)
			return rc;
		if (rc == ERR_NO_MORE_RECORDS)
			r->scan.at = bad_at;
		if (rc == 0 && rec->offset < end && rec->offset < limit)
			end = rec->offset;
		else if (end > limit)
			end = limit;
		if (!r->quiet)
			store_damage_report(
			    s, r->segment_first, r->file, bad_at,
			    rc == 0 ? r->scan.at : bad_at, r->next_offset, end,
			    "damaged or missing record");
		r->next_offset = end;
	}
}

int
reader_seek(struct reader *r, uint64_t offset)
{
	const struct store *s = r->store;

	if (offset < store_first_offset(s) || offset > s->durable_offset)
		return ERR_OFFSET_OUT_OF_RANGE;
	if (r->file >= 0 && r->next_offset == offset)
		return 0;
	/* The next read searches the record from the segment's start. */
	reader_close_file(r);
	r->next_offset = offset;
	return 0;
}

struct reader_savepoint
reader_save(const struct reader *r)
{
	return (struct reader_savepoint){.next_offset = r->next_offset,
	                                 .segment_first = r->segment_first,
	                                 .at = r->file >= 0 ? r->scan.at : 0};
}

int
reader_restore(struct reader *r, const struct reader_savepoint *mark)
{
	const struct store *s = r->store;
	size_t i = store_find(s, mark->next_offset);
	int rc = 0;

	if (mark->at == 0 || mark->next_offset < store_first_offset(s) ||
	    i == s->segment_count ||
	    s->segments[i].first_offset != mark->segment_first)
		return reader_seek(r, mark->next_offset);
	if (r->file < 0 || r->segment_first != mark->segment_first)
		rc = reader_open_segment(r, mark->segment_first);
	if (rc < 0)
		return rc;
	r->next_offset = mark->next_offset;
	r->scan.at = mark->at;
	r->hinted_at = 0;
	return 0;
}

int
reader_search(struct reader *r, uint64_t bytes)
{
	const uint8_t *body;
	struct record rec;
	uint64_t from, end;
	int rc = enter_segment(r, &end);

	if (rc < 0)
		return rc;
	r->scan.grown = true;
	for (from = r->scan.at; r->scan.at - from < bytes;) {
		rc = scan_peek(&r->scan, &rec, &body);
		/* reader_find_record deals with all that is not good. */
		if (rc < 0 || rec.offset < r->segment_first ||
		    rec.offset + rec.count > r->next_offset)
			return 0;
		read_ahead(r);
		scan_next(&r->scan, &rec);
	}
	return 1;
}

void
reader_release(struct reader *r)
{
	if (r->file >= 0 && r->segment_first < store_first_offset(r->store))
		reader_close_file(r);
}

/* Bytes of the first `count` events of a body. */
static int
measure(const uint8_t *body, uint32_t body_bytes, uint64_t count, size_t *bytes)
{
	struct wire_reader events = {.at = body, .end = body + body_bytes};
	int rc = event_skip(&events, count);

	*bytes = (size_t)(events.at - body);
	return rc;
}

/*
 * Find the part of a record from next_offset on and before `limit`.  On entry
 * *body is the record's body; on return it is that of the part.  Returns 0, or
 * -EBADMSG when the body does not hold as many events as the record's header
 * has.
 */
static int
part_of_record(const struct reader *r, uint64_t limit, const struct record *rec,
               const uint8_t **body, size_t *bytes, uint32_t *count)
{
	uint64_t skip = r->next_offset - rec->offset;
	uint64_t until =
	    rec->offset + rec->count < limit ? rec->count : limit - rec->offset;
	size_t from = 0, to = rec->body_bytes;
	int rc = 0;

	if (skip > 0)
		rc = measure(*body, rec->body_bytes, skip, &from);
	if (rc == 0 && until < rec->count)
		rc = measure(*body, rec->body_bytes, until, &to);
	*body += from;
	*bytes = to - from;
	*count = (uint32_t)(until - skip);
	return rc;
}

int
reader_frame(struct reader *r, uint64_t limit, size_t max_bytes,
             struct batch_chunk *out)
{
	uint64_t expected = 0;
	const uint8_t *body;
	struct record rec;
	size_t bytes;
	uint32_t count;
	int rc;

	out->bytes = 0;
	out->count = 0;
	out->ends = true;
	r->scan.grown = true;
	for (;;) {
		rc = reader_find_record(r, limit, &rec, &body);
		if (rc == ERR_NO_MORE_RECORDS)
			return 0; /* the limit: ends */
		if (rc < 0)
			return rc;
		if (out->count > 0 && r->next_offset != expected)
			return 0; /* a gap: ends */
		rc = part_of_record(r, limit, &rec, &body, &bytes, &count);
		if (rc < 0)
			return rc;
		if (out->count > 0 && bytes > max_bytes - out->bytes)
			return 0; /* max_bytes: ends */
		if (bytes > FRAME_BODY_MAX - out->bytes) {
			out->ends = false;
			return 0;
		}
		if (out->count == 0) {
			read_ahead(r);
			out->offset = r->next_offset;
			out->appended_us = rec.appended_us;
		}
		memcpy(out->body + out->bytes, body, bytes);
		out->bytes += bytes;
		out->count += count;
		r->next_offset += count;
		expected = r->next_offset;
		if (r->next_offset >= rec.offset + rec.count)
			scan_next(&r->scan, &rec);
		if (out->bytes > max_bytes)
			return 0;
	}
}
