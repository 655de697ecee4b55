/*
 * store - the log: segments, group commit, recovery, deletion.
 *
 * Knows nothing of sockets or of the event loop.  The work that blocks comes
 * in threes: X_begin (main thread: take what is to do), X_run (any thread:
 * do it, touching the disk only), X_end (main thread: take the result in).
 * At most one append and one retention are between begin and end at any time.
 *
 * Order of disk operations, and why:
 *  - an append writes its records and syncs them before store_append_end
 *    moves durable_offset (I1, I3);
 *  - a new segment is written with zeros under another name first.  Its
 *    header is synced, then it is renamed, then the folder is synced, then
 *    come its records: so a segment that is not the last one is whole;
 *  - a segment is deleted, or renamed to be used again, only below the offset
 *    that the caller names, which is the lowest cursor on disk (I5).
 */
#ifndef BATCHD_STORE_H
#define BATCHD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/disk.h"
#include "batchd/durable_times.h"
#include "batchd/scan.h"
#include "batchd/segment.h"

enum store_fsync { FSYNC_ALWAYS, FSYNC_INTERVAL, FSYNC_NEVER };

struct store_conf {
	uint64_t max_bytes;      /* of all segments */
	uint64_t segment_bytes;  /* of a new one */
	uint64_t min_free_bytes; /* to leave on the file system */
	int64_t retain_us;       /* keep segments after the last commit */
	uint64_t group_max_bytes;
	enum store_fsync fsync;
	int64_t fsync_interval_us;
};

struct segment_info {
	uint64_t first_offset;
	uint64_t previous_first; /* as its header says */
	int64_t created_us;      /* 0: its header is damaged */
	uint64_t bytes;          /* of the file */
};

/* Records that one write and one sync make durable. */
struct group {
	uint8_t *bytes; /* the records, headers not yet sealed */
	size_t used;
	uint32_t records;
	uint64_t first_offset, end_offset;
	uint64_t at; /* file position */
	bool roll;   /* starts a new segment; `at` is then SEGMENT_HEADER */
	int file;    /* that was written: a new one after a roll */
	int previous_file; /* of a roll: the file to be synced first; -1 */
	bool sync;
	uint64_t sync_us;             /* how long that took */
	uint64_t synced_offset;       /* everything below was synced before */
	struct segment_header header; /* of the new segment */
};

/* What one retention does. */
struct retention {
	uint64_t *doomed; /* first offsets of segments to delete */
	size_t doomed_count;
	bool recycle; /* doomed[0] becomes the spare */
	bool make;    /* a spare of make_bytes */
	bool zero;    /* write it, rather than reserve it */
	uint64_t make_bytes;
	bool made;
	size_t deleted;
	int rc; /* of making a spare; what else fails is logged */
};

/* A stretch of lost offsets that was told already. */
struct reported_damage {
	uint64_t segment_first, at;
	uint64_t to; /* offsets below were told */
};
#define REPORTED_DAMAGES_MAX 64

struct store {
	struct disk *disk; /* borrowed */
	struct store_conf conf;
	uint8_t stream[STREAM_ID_BYTES];
	char stream_text[FRAME_STREAM_MAX + 1];
	uint64_t seed; /* of record checksums */

	struct segment_info *segments; /* in order; the last is active */
	size_t segment_count, segment_cap;
	uint64_t bytes; /* of all segments and the spare */

	int file;             /* of the active segment; -1 before start */
	uint64_t end_bytes;   /* where the filling group ends in its segment */
	uint64_t room_bytes;  /* size of that segment */
	uint64_t next_offset; /* of the next event appended */
	/*
	 * Below durable_offset events were written and, with FSYNC_ALWAYS,
	 * synced: they are acknowledged.  Below synced_offset they may be
	 * read: a sink must not have what a power cut takes from the log.
	 * FSYNC_NEVER takes the one for the other.
	 */
	uint64_t durable_offset, synced_offset;

	struct group groups[2];
	struct group *filling;
	struct group *writing; /* NULL when no append runs */

	bool spare_ready;       /* there is one that no group has claimed */
	uint64_t spare_bytes;   /* its size */
	uint64_t claimed_bytes; /* of the one that a group has claimed */
	bool retention_running;
	bool fills_fast; /* segments fill faster than zeros can be written */
	struct retention retention;
	char full_reason[128]; /* why there can be no spare; empty when there
	                          can */
	bool is_new;           /* the folder held no log */

	int64_t synced_us; /* when last */
	bool unsynced;     /* something was written since */

	struct reported_damage reported_damages[REPORTED_DAMAGES_MAX];
	size_t reported_damage_count;

	uint64_t appended_events, appended_bytes, syncs, lost_events;
	struct histogram sync_times;
	struct durable_times durable_times; /* of synced_offset */
};

/*
 * Open the log on disk: find the segments, recover the last one.  Returns 0,
 * or -errno after saying why; ERR_OPERATOR_NEEDED when an operator must decide.
 * Either way store_close must follow.
 */
MUST_USE int store_open(struct store *s, struct disk *disk,
                        const struct store_conf *conf);

/*
 * Whether every event from `lowest` (the lowest cursor) up is there as far
 * as names and headers tell.  Says what is missing.
 */
MUST_USE bool store_complete(struct store *s, uint64_t lowest);

/*
 * Go on without the segments that are missing between others, for good: the
 * headers behind them forget them, and readers say which events are lost.
 * Returns 0 or -errno.
 */
MUST_USE int store_accept_gaps(struct store *s);

/*
 * Begin to append, at next_offset or at `least` if that is higher (a log
 * that has lost its end must not use offsets twice).  Returns 0 or -errno.
 */
MUST_USE int store_start(struct store *s, uint64_t least);

/*
 * The last word of a clean stop, when nothing is under way: sync what is not,
 * and begin a segment that stays empty.  Its name declares where the records
 * before it end, so that damage in the last of them is not taken for a torn
 * write; where there is no room for it there is none.  Returns 0 or a failed
 * call's -errno, after which the log is as after a crash.
 */
MUST_USE int store_finish(struct store *s);

void store_close(struct store *s);

/*
 * Bytes of the log from the event at `offset` on: an estimate, which takes the
 * events of a segment to be of one size.
 */
uint64_t store_bytes_from(const struct store *s, uint64_t offset);

/* The oldest event kept. */
uint64_t store_first_offset(const struct store *s);

/* --- append --- */

/*
 * Where to put the body of the next record: FRAME_BODY_MAX bytes, with
 * FRAME_APPEND_HEADER writable bytes before it.  NULL: there is no room now.
 */
uint8_t *store_append_buffer(struct store *s);

/* Whether there is no room, and none to come until segments are deleted. */
bool store_is_full(const struct store *s);

/*
 * Whether senders may begin more requests.  Not in the last half segment of a
 * log that is filling up: that is kept for the requests that are on their way
 * when the senders' daemons hear of it, so that these are kept as a whole.
 */
bool store_accepts_requests(const struct store *s);

/* Take the record whose body stands at store_append_buffer.  Returns its
 * offset. */
uint64_t store_append(struct store *s, uint32_t body_bytes, uint32_t count,
                      int64_t now_us);

/*
 * Whether there is something to write, or the interval's sync is due; then
 * run and end must follow.
 */
MUST_USE bool store_append_begin(struct store *s, int64_t now_us);
MUST_USE int store_append_run(struct store *s);
/* After success of run only: a failed write ends the daemon (I2). */
MUST_USE int store_append_end(struct store *s, int64_t now_us);

/* --- retention: delete, recycle, prepare the next segment --- */

/* `lowest`: lowest durable cursor, or durable_offset without sinks. */
MUST_USE bool retention_begin(struct store *s, uint64_t lowest, int64_t now_us);
void retention_run(struct store *s);
void retention_end(struct store *s);

/* --- for readers and recovery --- */

/*
 * Index of the segment that holds offset; the number of segments when it is
 * below the oldest.
 */
size_t store_find(const struct store *s, uint64_t offset);

/*
 * Say, once, that events from..to of a segment are lost, and keep a copy of
 * its bytes at..end in quarantine/.  from == to: bytes only.
 */
void store_damage(struct store *s, uint64_t segment_first, int file,
                  uint64_t at, uint64_t end, uint64_t from, uint64_t to,
                  const char *what);

/* recover.c: the segments of the folder into s.  As store_open. */
MUST_USE int store_recover(struct store *s);

/* Add to the list of segments.  Returns 0 or -ENOMEM. */
MUST_USE int store_add_segment(struct store *s, const struct segment_info *one);

#endif
