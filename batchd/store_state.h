/*
 * store_state - what batchd knows of its log, and what follows from that alone.
 *
 * struct store is shared by the modules that implement the log.  Each of them
 * owns a part of it, which nothing else changes:
 *
 *   recover        finds the segments and the end of the log at start
 *   store_append   writes groups of records and syncs them
 *   retention      deletes segments
 *   segment_pool   keeps one segment ready for the append
 *   store_damage   reports lost events, and copies what is left of them
 *   store          opens, starts, finishes and closes the whole
 *
 * They call each other in this direction only: store -> all others,
 * store_append -> segment_pool, retention -> segment_pool, recover ->
 * store_damage.
 */
#ifndef BATCHD_STORE_STATE_H
#define BATCHD_STORE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/disk.h"
#include "batchd/durable_times.h"
#include "batchd/segment.h"

enum store_fsync { FSYNC_ALWAYS, FSYNC_INTERVAL, FSYNC_NEVER };

struct store_conf {
	uint64_t max_bytes;      /* of all segments */
	uint64_t segment_bytes;  /* of a new segment */
	uint64_t min_free_bytes; /* to leave free on the file system */
	int64_t retain_us;       /* keep segments after the last commit */
	uint64_t group_max_bytes;
	enum store_fsync fsync;
	int64_t fsync_interval_us;
};

struct segment_info {
	uint64_t first_offset;   /* first: compare_u64 sorts by it */
	uint64_t previous_first; /* from the segment's header */
	int64_t created_us;      /* 0 when the header is damaged */
	int64_t since_us;        /* the same time on the monotonic clock */
	uint64_t bytes;          /* size of the file */
};

/* Records that one write and one sync make durable. */
struct group {
	uint8_t *bytes; /* the records, whose headers are not sealed yet */
	size_t used;
	uint32_t records;
	uint64_t first_offset, end_offset;
	uint64_t at;       /* file position */
	bool roll;         /* it starts a new segment, at SEGMENT_HEADER */
	int file;          /* the file written to: a new one after a roll */
	int previous_file; /* to be synced before a roll; -1 when none is */
	bool sync;
	uint64_t sync_us;             /* how long the sync took */
	uint64_t synced_offset;       /* everything below was synced before */
	struct segment_header header; /* of the new segment */
};

/* What one run of retention deletes. */
struct retention {
	uint64_t *doomed; /* first offsets of the segments to delete */
	size_t doomed_count;
	size_t deleted; /* how many of them are gone */
};

/* How one run of retention provides the next spare segment, if it does. */
struct spare_plan {
	bool recycle; /* the oldest deleted segment becomes the spare */
	bool make;    /* create a file of make_bytes */
	bool zero;    /* write it with zeros instead of only reserving it */
	bool made;    /* the spare is there */
	uint64_t make_bytes;
	int rc; /* of making it; errors of deletion are logged instead */
};

/* Where a record is: `at` in the file of a segment; 0: not known. */
struct log_place {
	uint64_t offset; /* of its first event */
	uint64_t segment_first, at;
};

/* A range of lost events that was already reported. */
struct reported_damage {
	uint64_t segment_first, at;
	uint64_t to; /* the events below this offset were reported */
};
#define REPORTED_DAMAGES_MAX 64

struct store {
	/* --- for all to read --- */

	struct disk *disk; /* borrowed */
	struct store_conf conf;
	uint8_t stream[STREAM_ID_BYTES];
	char stream_text[FRAME_STREAM_MAX + 1];
	uint64_t seed; /* of record checksums */

	struct segment_info *segments; /* in order; the last is active */
	size_t segment_count;
	uint64_t bytes; /* of all segments and the spare */

	uint64_t next_offset; /* of the next event to be appended */
	/*
	 * Events below durable_offset were written and, with FSYNC_ALWAYS,
	 * synced; they are acknowledged.  Events below synced_offset may be
	 * read.  A sink must not get events that a power cut would take from
	 * the log, because their offsets would then be used again for other
	 * events.  With FSYNC_NEVER, both are the same.
	 */
	uint64_t durable_offset, synced_offset;

	/*
	 * The first record of the newest group below synced_offset, for a
	 * reader that wants the newest events and no others.
	 */
	struct log_place newest;

	bool spare_ready;      /* a spare that no group has claimed */
	char full_reason[128]; /* why there can be no spare; "" if there can */

	uint64_t appended_events, appended_bytes, syncs, lost_events;
	struct histogram sync_times;
	struct durable_times durable_times; /* of synced_offset */

	/* --- private to store and recover --- */

	bool is_new; /* the directory held no log */
	size_t segment_cap;

	/* --- private to store_append --- */

	int file;            /* of the active segment; -1 before the start */
	uint64_t end_bytes;  /* where the filling group ends in its segment */
	uint64_t room_bytes; /* size of that segment */
	struct group groups[2];
	struct group *filling;
	struct group *writing;    /* NULL when no append runs */
	int64_t synced_us;        /* time of the last sync */
	bool unsynced;            /* something was written since */
	struct log_place written; /* the first record of the newest group */
	bool fills_fast;          /* too fast to write segments with zeros */

	/* --- private to retention and segment_pool --- */

	uint64_t spare_bytes;   /* size of the spare */
	uint64_t claimed_bytes; /* size of the one that a group has claimed */
	bool retention_running;
	struct retention retention;
	struct spare_plan spare_plan;

	/* --- private to store_damage --- */

	struct reported_damage reported_damages[REPORTED_DAMAGES_MAX];
	size_t reported_damage_count;
};

/* The offset of the oldest event kept. */
uint64_t store_first_offset(const struct store *s);

/*
 * When the segment with that event was created, which was before the event
 * came; 0 if there is no segment or its header is damaged.
 */
int64_t store_oldest_us(const struct store *s);

/*
 * Return the index of the segment that holds offset, or segment_count when the
 * offset is below the oldest event.
 */
size_t store_find(const struct store *s, uint64_t offset);

/*
 * Estimate the bytes of the log from the event at `offset` on, as if all events
 * of a segment had one size.
 */
uint64_t store_bytes_from(const struct store *s, uint64_t offset);

/* Add to the list of segments.  Returns 0 or -ENOMEM. */
MUST_USE int store_add_segment(struct store *s, const struct segment_info *one);

/* The previous_first that the header of segment i should have. */
uint64_t store_previous_first(const struct store *s, size_t i);

#endif
