/* log_time - see log_time.h. */
#include "leat/log_time.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "batchd/segment_file.h"
#include "batchd/segment_walk.h"
#include "libbase/error.h"
#include "libbase/file.h"
#include "libbase/log.h"
#include "libbase/permissions.h"

/* The segments of a log, in ascending order. */
struct log_time_segments {
	uint64_t *first_offsets;
	size_t count;
	size_t start; /* the one in which the search begins */
	uint64_t seed;
	bool seed_known;
};

/*
 * Read the header of a segment: take the seed of the records from it, and begin
 * the search there if the segment was begun at or before at_us.  A segment that
 * batchd has deleted meanwhile, or whose header is damaged, changes nothing.
 */
static int
log_time_read_header(struct disk *d, struct log_time_segments *all, size_t i,
                     int64_t at_us)
{
	struct segment_header h;
	int rc, file = segment_file_open(d, all->first_offsets[i]);

	if (file < 0)
		return file == -ENOENT ? 0 : file;
	rc = segment_file_read_header(d, file, all->first_offsets[i], &h);
	d->close(d, file);
	if (rc < 0)
		return rc == ERR_DAMAGED_HEADER ? 0 : rc;
	all->seed = record_seed(h.stream);
	all->seed_known = true;
	if (h.created_us <= at_us)
		all->start = i;
	return 0;
}

/*
 * Search one segment.  Returns 1 with *offset set if it has a record of at_us
 * or later; 0 with *offset set to the offset after its last record if not; or
 * -errno.
 */
static int
log_time_search(struct disk *d, const struct log_time_segments *all, size_t i,
                int64_t at_us, uint64_t *offset)
{
	bool last = i + 1 == all->count, found = false;
	struct segment_walk w;
	struct record r;
	int rc = 0, file = segment_file_open(d, all->first_offsets[i]);

	*offset = all->first_offsets[i];
	if (file < 0)
		return file == -ENOENT ? 0 : file;
	segment_walk_start(&w, d, file, all->seed, all->first_offsets[i],
	                   last ? SEGMENT_WALK_LAST
	                        : all->first_offsets[i + 1]);
	while (!found && (rc = segment_walk_find(&w, &r)) == 0) {
		found = r.appended_us >= at_us;
		if (!found)
			segment_walk_next(&w, &r);
	}
	*offset = found ? r.offset : w.next_offset;
	segment_walk_fini(&w);
	d->close(d, file);
	if (found)
		return 1;
	return rc == ERR_NO_MORE_RECORDS ? 0 : rc;
}

int
log_time_find(struct disk *disk, int64_t at_us, uint64_t *offset)
{
	struct log_time_segments all = {0};
	int rc = segment_file_list(disk, &all.first_offsets, &all.count);

	if (rc == 0 && all.count == 0)
		rc = -ENOENT;
	for (size_t i = 0; rc == 0 && i < all.count; i++)
		rc = log_time_read_header(disk, &all, i, at_us);
	if (rc == 0 && !all.seed_known)
		rc = ERR_DAMAGED_HEADER;
	/*
	 * The first records of the segment found can still be older than
	 * at_us, and so can all of them.
	 */
	for (size_t i = all.start; rc == 0 && i < all.count; i++)
		rc = log_time_search(disk, &all, i, at_us, offset);
	free(all.first_offsets);
	return rc < 0 ? rc : 0;
}

int
log_time_find_in(const char *dir, int64_t at_us, uint64_t *offset)
{
	char who[PERMISSIONS_TEXT_BYTES];
	struct disk_real real;
	int rc = disk_real_open_read(&real, dir);

	if (rc == 0)
		rc = log_time_find(&real.disk, at_us, offset);
	disk_real_close(&real);
	if (rc == -EACCES) {
		permissions_describe(dir, who);
		log_error("cannot read the log to find the offset of a time "
		          "dir=%s err=%s: %s: run this as one of them, or "
		          "give an offset instead of a time",
		          log_quote(dir), log_quote(file_error(rc)), who);
	} else if (rc == -ENOENT) {
		log_error("no log in this directory, in which to find the "
		          "offset of a time dir=%s; correct [batchd] dir, or "
		          "give an offset instead of a time",
		          log_quote(dir));
	} else if (rc < 0) {
		log_error("cannot read the log to find the offset of a time "
		          "dir=%s err=%s; give an offset instead",
		          log_quote(dir), log_quote(file_error(rc)));
	}
	return rc;
}
