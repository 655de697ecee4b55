/* store - see store.h.  Recovery is in recover.c, deletion in retention.c. */
#include "batchd/store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/segment_pool.h"
#include "libbase/clock.h"
#include "libbase/error.h"
#include "libbase/log.h"

/* Most bytes of one damaged stretch that are copied. */
#define QUARANTINE_MAX_BYTES (64 * MIB)

/* Filled in less than this: no time to write the next one with zeros. */
#define QUICK_SEGMENT_US 1000000

static int
group_init(struct group *g, const struct store_conf *conf)
{
	/* Room for one more frame than the limit, received in place. */
	g->bytes = malloc(conf->group_max_bytes + RECORD_HEADER + FRAME_MAX);
	g->file = -1;
	return g->bytes ? 0 : -ENOMEM;
}

int
store_open(struct store *s, struct disk *disk, const struct store_conf *conf)
{
	int rc;

	*s = (struct store){.disk = disk, .conf = *conf, .file = -1};
	for (int i = 0; i < 2; i++) {
		rc = group_init(&s->groups[i], conf);
		if (rc < 0)
			return rc;
	}
	s->filling = &s->groups[0];
	rc = store_recover(s);
	if (rc < 0)
		return rc;
	s->seed = record_seed(s->stream);
	return 0;
}

/* Make the spare the active segment: an empty group, and nothing but that. */
static int
begin_segment(struct store *s, int64_t now_us)
{
	int rc;

	segment_pool_claim(s);
	s->filling->roll = true;
	if (!store_append_begin(s, now_us))
		return 0;
	rc = store_append_run(s);
	return rc < 0 ? rc : store_append_end(s, now_us);
}

/*
 * An empty last segment gives its name to the new one (store_recover); when
 * that gets another, its file would be taken for one that the headers forgot.
 */
static int
forget_empty(struct store *s)
{
	char name[SEGMENT_NAME_BYTES];
	int rc;

	segment_name(s->next_offset, name);
	rc = s->disk->unlink(s->disk, name);
	return rc == -ENOENT ? 0 : rc;
}

int
store_start(struct store *s, uint64_t least)
{
	int64_t now_us = clock_wall_us();
	int rc;

	if (least > s->next_offset) {
		rc = forget_empty(s);
		if (rc < 0)
			return rc;
		s->next_offset = least;
	}
	s->durable_offset = s->synced_offset = s->next_offset;
	s->filling->first_offset = s->filling->end_offset = s->next_offset;
	s->synced_us = now_us;

	if (retention_begin(s, store_first_offset(s), now_us)) {
		retention_run(s);
		retention_end(s);
	}
	if (!s->spare_ready) {
		/* A full disk may become free; a log must have a start. */
		if (!s->is_new)
			return 0;
		log_error("cannot create the first segment why=%s",
		          log_quote(s->full_reason));
		return -ENOSPC;
	}
	return begin_segment(s, now_us);
}

int
store_finish(struct store *s)
{
	struct disk *d = s->disk;
	int rc = 0;

	if (s->file < 0 || s->filling->records > 0)
		return 0;
	assert(!s->writing && !s->retention_running);
	if (s->unsynced)
		rc = d->sync(d, s->file);
	if (rc < 0 || !s->spare_ready ||
	    s->next_offset == s->segments[s->segment_count - 1].first_offset)
		return rc;
	s->unsynced = false;
	/* Recovery gives back the room of the last segment only. */
	rc = d->truncate(d, s->file, s->end_bytes);
	if (rc == 0)
		rc = d->sync(d, s->file);
	return rc < 0 ? rc : begin_segment(s, clock_wall_us());
}

void
store_close(struct store *s)
{
	if (s->file >= 0)
		s->disk->close(s->disk, s->file);
	s->file = -1;
	for (int i = 0; i < 2; i++) {
		free(s->groups[i].bytes);
		s->groups[i].bytes = NULL;
	}
	free(s->retention.doomed);
	s->retention.doomed = NULL;
	free(s->segments);
	s->segments = NULL;
	s->segment_count = s->segment_cap = 0;
}

uint64_t
store_first_offset(const struct store *s)
{
	/* What is being deleted is gone for who has not held it till now. */
	size_t gone = s->retention_running ? s->retention.doomed_count : 0;

	return s->segment_count > gone ? s->segments[gone].first_offset
	                               : s->next_offset;
}

/* Bytes used in segment i, and where its events end. */
static uint64_t
segment_used(const struct store *s, size_t i, uint64_t *end_offset)
{
	bool last = i + 1 == s->segment_count;
	/* end_bytes is of a segment that is not in the list yet. */
	bool rolling = s->filling->roll || (s->writing && s->writing->roll);

	*end_offset = last ? s->next_offset : s->segments[i + 1].first_offset;
	return last && !rolling ? s->end_bytes : s->segments[i].bytes;
}

uint64_t
store_bytes_from(const struct store *s, uint64_t offset)
{
	uint64_t bytes = 0;

	for (size_t i = s->segment_count; i-- > 0;) {
		uint64_t first = s->segments[i].first_offset, end;
		uint64_t used = segment_used(s, i, &end);

		if (offset >= end)
			continue; /* in the last one: no event is lacking */
		if (offset <= first) {
			bytes += used;
			continue;
		}
		bytes += (uint64_t)((double)used * (double)(end - offset) /
		                    (double)(end - first));
		break;
	}
	return bytes;
}

int
store_add_segment(struct store *s, const struct segment_info *one)
{
	size_t cap = s->segment_cap ? 2 * s->segment_cap : 64;
	struct segment_info *more;

	if (s->segment_count == s->segment_cap) {
		more = realloc(s->segments, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		s->segments = more;
		s->segment_cap = cap;
	}
	s->segments[s->segment_count++] = *one;
	return 0;
}

size_t
store_find(const struct store *s, uint64_t offset)
{
	size_t low = 0, high = s->segment_count;

	/* The last segment that does not start above offset. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->segments[middle].first_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? s->segment_count : low - 1;
}

/* What the header of segment i should say of the one before it. */
static uint64_t
previous_of(const struct store *s, size_t i)
{
	return i > 0 ? s->segments[i - 1].first_offset : SEGMENT_NO_PREVIOUS;
}

bool
store_complete(struct store *s, uint64_t lowest)
{
	bool complete = true;

	for (size_t i = 0; i < s->segment_count; i++) {
		const struct segment_info *one = &s->segments[i];

		if (one->first_offset <= lowest || one->created_us == 0 ||
		    one->previous_first == previous_of(s, i))
			continue;
		complete = false;
		log_error("events are missing: a segment before the one at "
		          "offset %" PRIu64 " is gone, and a sink at offset "
		          "%" PRIu64 " still wants it",
		          one->first_offset, lowest);
	}
	if (s->segment_count > 0 && lowest < s->segments[0].first_offset &&
	    s->segments[0].previous_first == SEGMENT_NO_PREVIOUS &&
	    s->segments[0].created_us != 0) {
		complete = false;
		log_error("events are missing: the log starts at offset "
		          "%" PRIu64 ", and a sink is at %" PRIu64,
		          s->segments[0].first_offset, lowest);
	}
	return complete;
}

static int
rewrite_header(struct store *s, size_t i)
{
	struct segment_info *one = &s->segments[i];
	struct segment_header h = {.first_offset = one->first_offset,
	                           .previous_first = previous_of(s, i),
	                           .created_us = one->created_us};
	uint8_t bytes[SEGMENT_HEADER];
	char name[SEGMENT_NAME_BYTES];
	struct disk *d = s->disk;
	int rc, file;

	memcpy(h.stream, s->stream, STREAM_ID_BYTES);
	segment_header_put(&h, bytes);
	segment_name(one->first_offset, name);
	file = d->open(d, name, false);
	if (file < 0)
		return file;
	rc = disk_write(d, file, bytes, sizeof bytes, 0);
	if (rc == 0)
		rc = d->sync(d, file);
	d->close(d, file);
	if (rc == 0)
		one->previous_first = h.previous_first;
	return rc;
}

int
store_accept_gaps(struct store *s)
{
	int rc = 0;

	for (size_t i = 1; rc == 0 && i < s->segment_count; i++) {
		const struct segment_info *one = &s->segments[i];

		if (one->created_us != 0 &&
		    one->previous_first != previous_of(s, i))
			rc = rewrite_header(s, i);
	}
	return rc;
}

/* --- append --- */

void
segment_pool_claim(struct store *s)
{
	s->spare_ready = false;
	s->claimed_bytes = s->spare_bytes;
	s->end_bytes = SEGMENT_HEADER;
	s->room_bytes = s->spare_bytes;
}

/* Whether the segment that is being filled has room for any frame. */
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
		/* A group lies in one segment. */
		if (g->used > 0 || g->roll || !s->spare_ready)
			return NULL;
		segment_pool_claim(s);
		g->roll = true;
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
	               "it waits there for its seal");
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
		size_t n = s->segment_count;

		g->header.first_offset = g->first_offset;
		g->header.previous_first = n > 0
		                               ? s->segments[n - 1].first_offset
		                               : SEGMENT_NO_PREVIOUS;
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

/* The spare becomes the segment of g's header.  Sets g->file. */
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

/* Every record gets its header; all in a group know the same synced end. */
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
	/* A segment that is not the last one is whole. */
	if (g->previous_file >= 0)
		rc = d->sync(d, g->previous_file);
	if (rc == 0 && g->roll)
		rc = activate(s, g);
	if (rc == 0 && g->used > 0)
		rc = disk_write(d, g->file, g->bytes, g->used, g->at);
	/* Of an empty group: what the ones before it wrote. */
	g->sync_us = clock_mono_us();
	if (rc == 0 && g->sync && (g->used > 0 || !g->roll))
		rc = d->sync(d, g->file);
	g->sync_us = clock_mono_us() - g->sync_us;
	return rc;
}

int
store_append_end(struct store *s, int64_t now_us)
{
	struct group *g = s->writing;
	struct segment_info one = {.first_offset = g->header.first_offset,
	                           .previous_first = g->header.previous_first,
	                           .created_us = g->header.created_us,
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

/* --- damage --- */

/*
 * Whether the damage at `at` was told up to `to`; if not, *from is where what
 * is new begins: when its end was not yet written, it may have grown.
 */
static bool
is_reported(struct store *s, uint64_t segment_first, uint64_t at,
            uint64_t *from, uint64_t to)
{
	for (size_t i = 0; i < s->reported_damage_count; i++) {
		struct reported_damage *d = &s->reported_damages[i];

		if (d->segment_first != segment_first || d->at != at)
			continue;
		if (to <= d->to)
			return true;
		if (*from < d->to)
			*from = d->to;
		d->to = to;
		return false;
	}
	if (s->reported_damage_count < REPORTED_DAMAGES_MAX)
		s->reported_damages[s->reported_damage_count++] =
		    (struct reported_damage){segment_first, at, to};
	return false;
}

/* Copy bytes at..end of file.  A copy helps people; it is best effort. */
static int
quarantine(struct disk *d, const char *name, int file, uint64_t at,
           uint64_t end)
{
	uint8_t block[16 * KIB];
	uint64_t done = 0;
	int rc = 0, copy = d->open(d, name, true);

	if (copy < 0)
		return copy;
	if (end > at + QUARANTINE_MAX_BYTES)
		end = at + QUARANTINE_MAX_BYTES;
	while (rc == 0 && at < end) {
		size_t want =
		    end - at < sizeof block ? (size_t)(end - at) : sizeof block;
		ssize_t n = disk_read(d, file, block, want, at);

		if (n <= 0) {
			rc = (int)n;
			break;
		}
		rc = disk_write(d, copy, block, (size_t)n, done);
		done += (uint64_t)n;
		at += (uint64_t)n;
	}
	if (rc == 0)
		rc = d->sync(d, copy);
	d->close(d, copy);
	return rc < 0 ? rc : d->sync_dir(d, "quarantine");
}

void
store_damage(struct store *s, uint64_t segment_first, int file, uint64_t at,
             uint64_t end, uint64_t from, uint64_t to, const char *what)
{
	char name[SEGMENT_NAME_BYTES + 40];
	int rc;

	if (is_reported(s, segment_first, at, &from, to))
		return;
	s->lost_events += to - from;
	(void)snprintf(name, sizeof name, "quarantine/%020" PRIu64 ".%" PRIu64,
	               segment_first, at);
	rc = end > at ? quarantine(s->disk, name, file, at, end) : 0;
	log_error("%s segment=%020" PRIu64 ".seg bytes=%" PRIu64 "..%" PRIu64
	          " offsets=%" PRIu64 "..%" PRIu64 " events=%" PRIu64
	          " copy=%s",
	          what, segment_first, at, end, from, to, to - from,
	          end == at ? "none"
	          : rc == 0 ? name
	                    : log_quote(error_text(rc)));
}
