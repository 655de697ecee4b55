/* store_append - see store_append.h. */
#include "batchd/store_append.h"

#include <assert.h>
#include <string.h>

#include "batchd/segment_pool.h"
#include "libbase/clock.h"

/*
 * When a segment fills in less than this time, writing the next one with zeros
 * would compete with the appends, so its space is only reserved.
 */
#define QUICK_SEGMENT_US 1000000

void
store_append_roll(struct store *s)
{
	s->spare_ready = false;
	s->claimed_bytes = s->spare_bytes;
	s->end_bytes = SEGMENT_HEADER;
	s->room_bytes = s->spare_bytes;
	s->filling->roll = true;
}

/* Return true if the segment being filled has room for the largest frame. */
static bool
segment_has_room(const struct store *s)
{
	size_t need = record_size(FRAME_BODY_MAX);

	return s->room_bytes >= need && s->end_bytes <= s->room_bytes - need;
}

bool
store_is_full(const struct store *s)
{
	return s->full_reason[0] && !s->spare_ready && !segment_has_room(s);
}

bool
store_accepts_requests(const struct store *s)
{
	uint64_t left =
	    s->end_bytes < s->room_bytes ? s->room_bytes - s->end_bytes : 0;

	return !s->full_reason[0] || s->spare_ready || left > s->room_bytes / 2;
}

uint8_t *
store_append_buffer(struct store *s)
{
	struct group *g = s->filling;

	if (g->used >= s->conf.group_max_bytes)
		return NULL;
	if (!segment_has_room(s)) {
		/* A group never spans two segments. */
		if (g->used > 0 || g->roll || !s->spare_ready)
			return NULL;
		store_append_roll(s);
	}
	return g->bytes + g->used + RECORD_HEADER;
}

uint64_t
store_append(struct store *s, uint32_t body_bytes, uint32_t count,
             int64_t now_us)
{
	struct group *g = s->filling;
	struct record r = {.body_bytes = body_bytes,
	                   .count = count,
	                   .offset = s->next_offset,
	                   .appended_us = now_us};
	size_t bytes = record_size(body_bytes);

	_Static_assert(sizeof r <= RECORD_HEADER,
	               "it is kept in the header's place until it is sealed");
	assert(body_bytes > 0 && body_bytes <= FRAME_BODY_MAX);
	memcpy(g->bytes + g->used, &r, sizeof r);
	if (g->records == 0) {
		g->at = s->end_bytes;
		g->first_offset = r.offset;
	}
	g->used += bytes;
	g->records++;
	s->end_bytes += bytes;
	s->next_offset += count;
	g->end_offset = s->next_offset;
	s->appended_events += count;
	s->appended_bytes += body_bytes;
	return r.offset;
}

static bool
sync_is_due(const struct store *s, int64_t now_us)
{
	switch (s->conf.fsync) {
	case FSYNC_ALWAYS:
		return true;
	case FSYNC_INTERVAL:
		return now_us - s->synced_us >= s->conf.fsync_interval_us ||
		       now_us < s->synced_us;
	case FSYNC_NEVER:
		return false;
	}
	return true;
}

bool
store_append_begin(struct store *s, int64_t now_us)
{
	struct group *g = s->filling;
	bool sync = sync_is_due(s, now_us);

	if (s->writing ||
	    (g->records == 0 && !g->roll && !(s->unsynced && sync)))
		return false;
	if (g->records == 0)
		g->first_offset = g->end_offset = s->next_offset;
	if (g->roll) {
		g->header.first_offset = g->first_offset;
		g->header.previous_first =
		    store_previous_first(s, s->segment_count);
		g->header.created_us = now_us;
		memcpy(g->header.stream, s->stream, STREAM_ID_BYTES);
		g->at = SEGMENT_HEADER;
	}
	g->file = s->file;
	g->previous_file =
	    g->roll && s->unsynced && s->conf.fsync != FSYNC_NEVER ? s->file
								   : -1;
	g->sync = sync;
	g->synced_offset = s->synced_offset;
	s->writing = g;
	s->filling = g == &s->groups[0] ? &s->groups[1] : &s->groups[0];
	return true;
}

/*
 * Turn the spare into the segment of g's header.  Sets g->file.  Returns 0 or
 * -errno.
 *
 * The header is synced before the rename, and the directory after it, so that
 * after a crash a file with a segment's name has a valid header, unless fsync
 * is never.
 */
static int
activate(struct store *s, struct group *g)
{
	uint8_t header[SEGMENT_HEADER];
	char name[SEGMENT_NAME_BYTES];
	struct disk *d = s->disk;
	int rc, file;

	file = d->open(d, SPARE_NAME, false);
	if (file < 0)
		return file;
	segment_header_put(&g->header, header);
	segment_name(g->header.first_offset, name);
	rc = disk_write(d, file, header, sizeof header, 0);
	if (rc == 0 && s->conf.fsync != FSYNC_NEVER)
		rc = d->sync(d, file);
	if (rc == 0)
		rc = d->rename(d, SPARE_NAME, name);
	if (rc == 0 && s->conf.fsync != FSYNC_NEVER)
		rc = d->sync_dir(d, "");
	if (rc < 0)
		d->close(d, file);
	else
		g->file = file;
	return rc;
}

/* Write the records' headers.  All records of a group have one durable offset.
 */
static void
seal(struct group *g, uint64_t seed)
{
	struct record r;

	for (size_t at = 0; at < g->used; at += record_size(r.body_bytes)) {
		memcpy(&r, g->bytes + at, sizeof r);
		r.durable = g->synced_offset;
		record_seal(g->bytes + at, &r, seed);
	}
}

int
store_append_run(struct store *s)
{
	struct group *g = s->writing;
	struct disk *d = s->disk;
	int rc = 0;

	seal(g, s->seed);
	/* A segment that is not the last one must be complete on disk. */
	if (g->previous_file >= 0)
		rc = d->sync(d, g->previous_file);
	if (rc == 0 && g->roll)
		rc = activate(s, g);
	if (rc == 0 && g->used > 0)
		rc = disk_write(d, g->file, g->bytes, g->used, g->at);
	/* Syncing an empty group syncs what earlier groups wrote. */
	g->sync_us = clock_mono_us();
	if (rc == 0 && g->sync && (g->used > 0 || !g->roll))
		rc = d->sync(d, g->file);
	g->sync_us = clock_mono_us() - g->sync_us;
	return rc;
}

/* Note where the newest group that may be read begins. */
static void
note_newest(struct store *s, const struct group *g)
{
	/* A roll syncs the segment before it: all of the groups before. */
	if (s->synced_offset == g->first_offset)
		s->newest = s->written;
	if (g->records > 0)
		s->written = (struct log_place){
		    .offset = g->first_offset,
		    .segment_first =
			s->segments[s->segment_count - 1].first_offset,
		    .at = g->at};
	if (s->synced_offset == s->durable_offset)
		s->newest = s->written;
}

int
store_append_end(struct store *s, int64_t now_us)
{
	struct group *g = s->writing;
	struct segment_info one = {.first_offset = g->header.first_offset,
	                           .previous_first = g->header.previous_first,
	                           .created_us = g->header.created_us,
	                           .since_us = (int64_t)clock_mono_us(),
	                           .bytes = s->claimed_bytes};
	uint64_t synced;
	int rc = 0;

	if (g->roll) {
		if (s->segment_count > 0)
			s->fills_fast =
			    now_us -
				s->segments[s->segment_count - 1].created_us <
			    QUICK_SEGMENT_US;
		if (s->file >= 0)
			s->disk->close(s->disk, s->file);
		s->file = g->file;
		rc = store_add_segment(s, &one);
	}
	synced = s->synced_offset;
	s->durable_offset = g->end_offset;
	if (g->sync || s->conf.fsync == FSYNC_NEVER)
		s->synced_offset = g->end_offset;
	else if (g->previous_file >= 0)
		s->synced_offset = g->first_offset;
	note_newest(s, g);
	durable_times_add(&s->durable_times, synced, s->synced_offset,
	                  clock_mono_us());
	if (g->sync) {
		s->syncs++;
		histogram_add(&s->sync_times, g->sync_us, 1);
		s->synced_us = now_us;
		s->unsynced = false;
	} else if (g->used > 0 || g->roll) {
		s->unsynced = g->used > 0;
	}
	g->used = 0;
	g->records = 0;
	g->roll = false;
	s->writing = NULL;
	return rc;
}
