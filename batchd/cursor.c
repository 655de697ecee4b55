/* cursor - see cursor.h. */
#include "batchd/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "batchd/little_endian.h"
#include "libbase/error.h"

#define SLOT_BYTES 1296
#define SLOT_DISTANCE 2048
#define STREAM_AT 32
#define NAME_AT 48
#define PENDING_AT 112
#define DROPPED_AT 120
#define REJECTED_POSITION_AT 128
#define PAUSED_SINCE_AT 136
#define PAUSED_UNTIL_AT 144
#define PAUSED_UID_AT 152
#define SEEK_TO_AT 160
#define GENERATION_AT 168
#define REPLAYED_AT 176
#define PAUSED_WHY_AT 184
#define SKIPPED_AT 512 /* their number, and then the ranges */
#define RANGE_BYTES 24
#define SUM_AT (SLOT_BYTES - 8)
#define FIRST_SEQUENCE 2

static const uint8_t cursor_magic[8] = "LEATCUR5";

_Static_assert(NAME_AT + FRAME_NAME_MAX == PENDING_AT,
               "the name fills its field");
_Static_assert(PAUSED_WHY_AT + CURSOR_WHY_MAX <= SKIPPED_AT,
               "the reason of a pause has its field");
_Static_assert(SKIPPED_AT + 8 + RANGES_MAX * RANGE_BYTES == SUM_AT,
               "the ranges fill their field");

static void
put_ranges(const struct ranges *ranges, uint8_t *out)
{
	put_le64(out, ranges->n);
	for (size_t i = 0; i < ranges->n; i++) {
		uint8_t *at = out + 8 + i * RANGE_BYTES;

		put_le64(at, ranges->at[i].from);
		put_le64(at + 8, ranges->at[i].to);
		put_le64(at + 16, ranges->at[i].count);
	}
}

/* Returns 0, or -EBADMSG if they are not in order, or not below `end`. */
static int
get_ranges(struct ranges *ranges, const uint8_t *in, uint64_t end)
{
	uint64_t n = get_le64(in), before = 0;

	*ranges = (struct ranges){0};
	if (n > RANGES_MAX)
		return -EBADMSG;
	for (ranges->n = 0; ranges->n < n; ranges->n++) {
		const uint8_t *at = in + 8 + ranges->n * RANGE_BYTES;
		struct range r = {get_le64(at), get_le64(at + 8),
		                  get_le64(at + 16)};

		if (r.from < before || r.from >= r.to || r.to > end ||
		    r.count > r.to - r.from)
			return -EBADMSG;
		ranges->at[ranges->n] = r;
		before = r.to;
	}
	return 0;
}

static void
slot_put(const struct cursor *c, const struct cursor_slot *slot,
         uint8_t out[SLOT_BYTES])
{
	memset(out, 0, SLOT_BYTES);
	memcpy(out, cursor_magic, sizeof cursor_magic);
	put_le64(out + 8, slot->sequence);
	put_le64(out + 16, slot->committed);
	put_le64(out + 24, slot->in_flight_end);
	memcpy(out + STREAM_AT, c->stream, STREAM_ID_BYTES);
	memcpy(out + NAME_AT, c->name, strlen(c->name));
	put_ranges(&slot->skipped, out + SKIPPED_AT);
	put_le64(out + PENDING_AT, slot->pending_dead_letters);
	put_le64(out + DROPPED_AT, slot->dropped);
	put_le64(out + REJECTED_POSITION_AT, slot->rejected_position);
	put_le64(out + PAUSED_SINCE_AT, (uint64_t)slot->pause.since_us);
	put_le64(out + PAUSED_UNTIL_AT, (uint64_t)slot->pause.until_us);
	put_le64(out + PAUSED_UID_AT, slot->pause.uid);
	put_le64(out + SEEK_TO_AT, slot->seek_to);
	put_le64(out + GENERATION_AT, slot->generation);
	put_le64(out + REPLAYED_AT, slot->replayed_events);
	memcpy(out + PAUSED_WHY_AT, slot->pause.why, strlen(slot->pause.why));
	put_le64(out + SUM_AT, XXH3_64bits(out, SUM_AT));
}

/* Returns 0, -EBADMSG, or ERR_OTHER_LOG if another stream or sink wrote it. */
static int
slot_read(const struct cursor *c, const uint8_t in[SLOT_BYTES],
          struct cursor_slot *slot)
{
	char name[FRAME_NAME_MAX + 1] = {0};

	if (memcmp(in, cursor_magic, sizeof cursor_magic) != 0 ||
	    get_le64(in + SUM_AT) != XXH3_64bits(in, SUM_AT))
		return -EBADMSG;
	memcpy(name, in + NAME_AT, FRAME_NAME_MAX);
	if (memcmp(in + STREAM_AT, c->stream, STREAM_ID_BYTES) != 0 ||
	    strcmp(name, c->name) != 0)
		return ERR_OTHER_LOG;
	slot->sequence = get_le64(in + 8);
	slot->committed = get_le64(in + 16);
	slot->in_flight_end = get_le64(in + 24);
	slot->pending_dead_letters = get_le64(in + PENDING_AT);
	slot->dropped = get_le64(in + DROPPED_AT);
	slot->rejected_position = get_le64(in + REJECTED_POSITION_AT);
	slot->pause.since_us = (int64_t)get_le64(in + PAUSED_SINCE_AT);
	slot->pause.until_us = (int64_t)get_le64(in + PAUSED_UNTIL_AT);
	slot->pause.uid = (uint32_t)get_le64(in + PAUSED_UID_AT);
	memcpy(slot->pause.why, in + PAUSED_WHY_AT, CURSOR_WHY_MAX);
	slot->pause.why[CURSOR_WHY_MAX] = '\0';
	slot->seek_to = get_le64(in + SEEK_TO_AT);
	slot->generation = get_le64(in + GENERATION_AT);
	slot->replayed_events = get_le64(in + REPLAYED_AT);
	if (slot->committed > OFFSET_MAX ||
	    slot->in_flight_end <= slot->committed)
		return -EBADMSG;
	return get_ranges(&slot->skipped, in + SKIPPED_AT, slot->committed);
}

static uint64_t
slot_at(const struct cursor_slot *slot)
{
	return slot->sequence % 2 * SLOT_DISTANCE;
}

void
cursor_path(const char *sink, char out[CURSOR_PATH_BYTES])
{
	(void)snprintf(out, CURSOR_PATH_BYTES, "cursors/%s.cursor", sink);
}

bool
cursor_name_parse(const char *name, char sink[FRAME_NAME_MAX + 1])
{
	const char *dot = strchr(name, '.');

	if (!dot || strcmp(dot, ".cursor") != 0 || dot - name > FRAME_NAME_MAX)
		return false;
	(void)snprintf(sink, FRAME_NAME_MAX + 1, "%.*s", (int)(dot - name),
	               name);
	return true;
}

static void
init(struct cursor *c, const char *sink, const uint8_t stream[STREAM_ID_BYTES])
{
	*c = (struct cursor){.file = -1};
	(void)snprintf(c->name, sizeof c->name, "%s", sink);
	memcpy(c->stream, stream, STREAM_ID_BYTES);
}

int
cursor_open(struct cursor *c, struct disk *d, const char *sink,
            const uint8_t stream[STREAM_ID_BYTES])
{
	uint8_t bytes[CURSOR_FILE_BYTES] = {0};
	char path[CURSOR_PATH_BYTES];
	struct cursor_slot slot;
	bool found = false;
	ssize_t n;
	int rc = -EBADMSG;

	init(c, sink, stream);
	cursor_path(sink, path);
	c->file = d->open(d, path, false);
	if (c->file < 0)
		return c->file;
	/*
	 * Read what the disk holds, not the page cache.  After a failed sync
	 * the cache can show a valid slot that is torn on disk.  The next write
	 * would then go to the other slot, and if that write is torn too, no
	 * valid slot is left.
	 */
	n = d->sync(d, c->file);
	if (n == 0)
		n = d->drop_cache(d, c->file);
	if (n == 0)
		n = disk_read(d, c->file, bytes, sizeof bytes, 0);
	if (n < 0)
		rc = (int)n;
	for (int i = 0; n >= 0 && i < 2; i++) {
		int one = slot_read(c, bytes + i * SLOT_DISTANCE, &slot);

		if (one == ERR_OTHER_LOG)
			rc = one;
		if (one == 0 && (!found || slot.sequence > c->now.sequence)) {
			c->now = c->durable = slot;
			found = true;
		}
	}
	if (found)
		return 0;
	cursor_close(c, d);
	return rc;
}

int
cursor_stream(struct disk *d, const char *sink, uint8_t stream[STREAM_ID_BYTES])
{
	uint8_t bytes[CURSOR_FILE_BYTES] = {0};
	char path[CURSOR_PATH_BYTES];
	struct cursor_slot slot;
	struct cursor c;
	ssize_t n;
	int rc = -EBADMSG, file;

	cursor_path(sink, path);
	file = d->open(d, path, false);
	if (file < 0)
		return file;
	n = disk_read(d, file, bytes, sizeof bytes, 0);
	d->close(d, file);
	if (n < 0)
		return (int)n;
	for (int i = 0; rc < 0 && i < 2; i++) {
		const uint8_t *at = bytes + i * SLOT_DISTANCE;

		init(&c, sink, at + STREAM_AT);
		rc = slot_read(&c, at, &slot);
	}
	if (rc == 0)
		memcpy(stream, c.stream, STREAM_ID_BYTES);
	return rc;
}

int
cursor_create(struct cursor *c, struct disk *d, const char *sink,
              const uint8_t stream[STREAM_ID_BYTES], uint64_t committed)
{
	uint8_t bytes[CURSOR_FILE_BYTES] = {0};
	const char *temporary = "cursors/new.tmp";
	char path[CURSOR_PATH_BYTES];
	int rc;

	init(c, sink, stream);
	c->now = (struct cursor_slot){.sequence = FIRST_SEQUENCE,
	                              .committed = committed,
	                              .in_flight_end = CURSOR_NO_BATCH,
	                              .seek_to = CURSOR_NO_SEEK};
	ranges_add(&c->now.skipped, 0, committed);
	slot_put(c, &c->now, bytes);
	cursor_path(sink, path);
	c->file = d->open(d, temporary, true);
	if (c->file < 0)
		return c->file;
	rc = disk_write(d, c->file, bytes, sizeof bytes, 0);
	if (rc == 0)
		rc = d->sync(d, c->file);
	if (rc == 0)
		rc = d->rename(d, temporary, path);
	if (rc == 0)
		rc = d->sync_dir(d, "cursors");
	if (rc < 0)
		cursor_close(c, d);
	else
		c->durable = c->now;
	return rc;
}

void
cursor_close(struct cursor *c, struct disk *d)
{
	if (c->file >= 0)
		d->close(d, c->file);
	c->file = -1;
}

/* Only a value that differs has to be written. */
static void
cursor_change(struct cursor *c, uint64_t *field, uint64_t value)
{
	if (*field == value)
		return;
	*field = value;
	c->dirty = true;
}

void
cursor_set(struct cursor *c, uint64_t committed, uint64_t in_flight_end)
{
	cursor_change(c, &c->now.committed, committed);
	cursor_change(c, &c->now.in_flight_end, in_flight_end);
	ranges_cut(&c->now.skipped, committed);
}

void
cursor_skip(struct cursor *c, uint64_t to)
{
	uint64_t from = c->now.committed;
	uint64_t end = c->now.in_flight_end;

	cursor_set(c, to, end > to ? end : CURSOR_NO_BATCH);
	ranges_add(&c->now.skipped, from, to);
}

void
cursor_unskip(struct cursor *c, uint64_t n)
{
	if (n == 0)
		return;
	ranges_uncount(&c->now.skipped, n);
	c->dirty = true;
}

uint64_t
cursor_skipped(const struct cursor *c)
{
	return ranges_count(&c->now.skipped, c->now.committed);
}

bool
cursor_has_skipped(const struct cursor *c, uint64_t from)
{
	const struct range *last = ranges_last(&c->now.skipped);

	return last && last->from <= from && from < last->to &&
	       last->to == c->now.committed;
}

bool
cursor_skips_are_durable(const struct cursor *c)
{
	const struct range *now = ranges_last(&c->now.skipped);
	const struct range *durable = ranges_last(&c->durable.skipped);

	return !now || (durable && durable->to == now->to);
}

void
cursor_set_dead_letters(struct cursor *c, uint64_t pending_dead_letters,
                        uint64_t dropped)
{
	cursor_change(c, &c->now.pending_dead_letters, pending_dead_letters);
	cursor_change(c, &c->now.dropped, dropped);
}

void
cursor_set_rejected_position(struct cursor *c, uint64_t rejected_position)
{
	cursor_change(c, &c->now.rejected_position, rejected_position);
}

void
cursor_set_pause(struct cursor *c, const struct cursor_pause *pause)
{
	c->now.pause = *pause;
	c->dirty = true;
}

void
cursor_set_seek(struct cursor *c, uint64_t seek_to)
{
	cursor_change(c, &c->now.seek_to, seek_to);
}

void
cursor_set_replay(struct cursor *c, uint64_t generation,
                  uint64_t replayed_events)
{
	cursor_change(c, &c->now.generation, generation);
	cursor_change(c, &c->now.replayed_events, replayed_events);
}

/* A write that is under way has the number of `now`, and the next one more. */
uint64_t
cursor_want_write(struct cursor *c)
{
	c->dirty = true;
	return c->now.sequence + 1;
}

bool
cursor_is_new(const struct cursor *c)
{
	return c->now.sequence == FIRST_SEQUENCE && !c->dirty;
}

bool
cursor_begin(struct cursor *c)
{
	if (c->busy || !c->dirty)
		return false;
	c->now.sequence++;
	c->writing = c->now;
	c->busy = true;
	c->dirty = false;
	return true;
}

int
cursor_write(const struct cursor *c, struct disk *d)
{
	uint8_t bytes[SLOT_BYTES];
	int rc;

	slot_put(c, &c->writing, bytes);
	rc = disk_write(d, c->file, bytes, sizeof bytes, slot_at(&c->writing));
	return rc < 0 ? rc : d->sync(d, c->file);
}

void
cursor_end(struct cursor *c)
{
	c->durable = c->writing;
	c->busy = false;
}
