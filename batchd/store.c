/* store - see store.h. */
#include "batchd/store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "batchd/recover.h"
#include "batchd/segment_file.h"
#include "libbase/clock.h"
#include "libbase/log.h"

int
store_open(struct store *s, struct disk *disk, const struct store_conf *conf)
{
	int rc;

	*s = (struct store){.disk = disk, .conf = *conf, .file = -1};
	/*
	 * A frame is received into a group's buffer as long as the group is
	 * below its limit, so one frame must fit beyond it.
	 */
	for (int i = 0; i < 2; i++) {
		s->groups[i].bytes =
		    malloc(conf->group_max_bytes + RECORD_HEADER + FRAME_MAX);
		if (!s->groups[i].bytes)
			return -ENOMEM;
	}
	s->filling = &s->groups[0];
	rc = recover_log(s);
	if (rc < 0)
		return rc;
	s->seed = record_seed(s->stream);
	return 0;
}

/* Make the spare the active segment, by writing an empty group. */
static int
begin_segment(struct store *s, int64_t now_us)
{
	int rc;

	store_append_roll(s);
	if (!store_append_begin(s, now_us))
		return 0;
	rc = store_append_run(s);
	return rc < 0 ? rc : store_append_end(s, now_us);
}

/*
 * Remove an empty last segment.  The new segment usually has the same name and
 * replaces it (recover.c).  When the log continues at a higher offset instead,
 * the empty file would stay, and no header would name it as the segment before.
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

	if (retention_begin(s, store_first_offset(s))) {
		retention_run(s);
		retention_end(s);
	}
	if (!s->spare_ready) {
		/*
		 * An existing log can wait for space and serve its sinks
		 * meanwhile.  A new log cannot begin without a segment.
		 */
		if (!s->is_new)
			return 0;
		log_error("cannot create the first segment err=%s",
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

	if (s->file < 0)
		return 0;
	assert(!s->writing && !s->retention_running);
	if (s->unsynced)
		rc = d->sync(d, s->file);
	if (rc < 0)
		return rc;
	s->unsynced = false;
	/* Records that were not written are not part of the log. */
	if (s->filling->records > 0 || !s->spare_ready ||
	    s->next_offset == s->segments[s->segment_count - 1].first_offset)
		return 0;
	/*
	 * Recovery cuts off the unused space of the last segment only, and this
	 * one will not be the last any more.
	 */
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

bool
store_complete(struct store *s, uint64_t lowest)
{
	bool complete = true;

	for (size_t i = 0; i < s->segment_count; i++) {
		const struct segment_info *one = &s->segments[i];

		if (one->first_offset <= lowest || one->created_us == 0 ||
		    one->previous_first == store_previous_first(s, i))
			continue;
		complete = false;
		log_error("events are missing: a segment before the one at "
		          "offset %" PRIu64 " is gone, and a sink at offset "
		          "%" PRIu64 " still needs it",
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
	                           .previous_first = store_previous_first(s, i),
	                           .created_us = one->created_us};
	uint8_t bytes[SEGMENT_HEADER];
	struct disk *d = s->disk;
	int rc, file;

	memcpy(h.stream, s->stream, STREAM_ID_BYTES);
	segment_header_put(&h, bytes);
	file = segment_file_open(d, one->first_offset);
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
		    one->previous_first != store_previous_first(s, i))
			rc = rewrite_header(s, i);
	}
	return rc;
}
