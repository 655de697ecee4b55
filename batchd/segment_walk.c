/* segment_walk - see segment_walk.h. */
#include "batchd/segment_walk.h"

#include "libbase/error.h"

void
segment_walk_start(struct segment_walk *w, struct disk *disk, int file,
                   uint64_t seed, uint64_t first_offset, uint64_t limit)
{
	*w = (struct segment_walk){
	    .limit = limit, .next_offset = first_offset, .end = SEGMENT_HEADER};
	scan_start(&w->scan, disk, file, seed);
}

void
segment_walk_fini(struct segment_walk *w)
{
	scan_fini(&w->scan);
}

int
segment_walk_find(struct segment_walk *w, struct record *r)
{
	int rc = scan_find(&w->scan, w->next_offset, r);

	/*
	 * Look ahead only once for all invalid bytes of one group: when a
	 * later record shows that the events up to w->synced were synced, the
	 * records in between are as good as any other.
	 */
	if (rc == 0 && w->limit == SEGMENT_WALK_LAST && w->scan.at > w->end &&
	    w->synced <= w->next_offset)
		rc = scan_durable(&w->scan, w->next_offset, &w->synced);
	/* A recycled file can still hold records of its earlier use. */
	if (rc == 0 && r->offset >= w->limit)
		rc = ERR_NO_MORE_RECORDS;
	return rc;
}

bool
segment_walk_skipped(const struct segment_walk *w, const struct record *r)
{
	return w->scan.at > w->end || r->offset > w->next_offset;
}

void
segment_walk_next(struct segment_walk *w, const struct record *r)
{
	w->next_offset = r->offset + r->count;
	scan_next(&w->scan, r);
	w->end = w->scan.at;
}

void
segment_walk_reread(struct segment_walk *w)
{
	w->scan.at = w->end;
	scan_forget(&w->scan);
}
