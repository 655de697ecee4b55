/*
 * dlq_file - the file of one sink's dead letters, `<dir>/<name>.ndjson`: events
 * that the store rejects for their content, each with the store's reason.
 *
 * A dead letter is on disk when dlq_file_append or dlq_file_end returns (I10).
 * It is in the file once, even if a crash makes the sink write it again.
 *
 * Only one process writes to the dead letters of a sink: the one that holds the
 * lock of `<dir>/<name>.lock`.  Commands read the file at any time.
 */
#ifndef LIBSINK_DLQ_FILE_H
#define LIBSINK_DLQ_FILE_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/log.h"
#include "libproto/dlq_record.h"
#include "libsink/dlq_dropped.h"

/*
 * The shares of max_bytes for dead letters with their payload: a half for all
 * of them, and an eighth for those of one type.  Beyond that a dead letter is
 * written without its payload.  So a sender of many or large bad events takes
 * no room from the dead letters of other types.
 */
#define DLQ_FULL_SHARE 2
#define DLQ_TYPE_SHARE 8
/*
 * Types are distinguished by a hash.  Two types with one hash have one share.
 */
#define DLQ_TYPES 1024

struct dlq_file {
	char *path; /* owned, as the next two */
	char *dir;
	char *lock_path;
	int lock_fd; /* -1: the lock is not held */
	int fd;      /* -1: not open */
	uint64_t max_bytes;
	bool counted;             /* the next four are what is on disk */
	uint64_t bytes;           /* of the file, all whole lines */
	uint64_t records;         /* in the file */
	uint64_t own;             /* of these, the ones of `stream` */
	uint64_t without_payload; /* of all, the ones without payload */
	/*
	 * Set by the owner, for the file of dead letters that a retry keeps.
	 * They keep their payload, the owner adds none twice, and the lock of
	 * the sink's file covers this one.
	 */
	bool is_part;
	/* Bytes of the dead letters with their payload, of all and by type. */
	uint64_t full_bytes;
	uint64_t type_bytes[DLQ_TYPES];
	/* random, so that no sender can choose a type with the same hash */
	uint64_t type_seed;
	unsigned warned_percent;
	/*
	 * Events of `stream` that were refused and have no dead letter, because
	 * there was no room or an operator has dropped it: below the position,
	 * or in the batch from there on.  Kept in
	 * `<dir>/<name>.<stream>.dropped`.
	 */
	struct dlq_dropped dropped;
	struct log_limit payload_limit, dropped_limit;
	/* The stream that was last followed or appended to. */
	char stream[64];
	bool has_stream;
	uint64_t position; /* of the sink in `stream` */
	/*
	 * The offsets of the dead letters of `stream` from the position on,
	 * ascending: those of the batch in flight, and those from before a
	 * crash or before the position was set back.  Once they are known,
	 * they remain so while the file cannot be counted.
	 */
	bool ahead_known;
	uint64_t *ahead; /* owned */
	size_t ahead_count, ahead_cap;
	/* From dlq_file_begin to dlq_file_end: */
	bool in_group;
	uint64_t group_at;      /* bytes of the file before it */
	uint64_t group_records; /* added by it */
	int group_error;        /* of the first write that failed */
	uint64_t group_without; /* dead letters of it that lost their payload */
	uint64_t group_dropped; /* events that dlq_file_drop has counted */
	struct buf lines;       /* the last lines of it, not yet written */
};

/*
 * Set the path of the dead letters of sink `name`.  Opens nothing.  Returns 0
 * or -ENOMEM.
 */
MUST_USE int dlq_file_init(struct dlq_file *d, const char *dir,
                           const char *name, uint64_t max_bytes);
void dlq_file_fini(struct dlq_file *d);

/*
 * Take the lock, without waiting for it, unless it is held.  Creates the
 * directory if it is missing.  Returns 0, ERR_DEAD_LETTERS_LOCKED when another
 * process has it, or -errno.
 */
MUST_USE int dlq_file_lock(struct dlq_file *d);

/* Release the lock, which may not be held. */
void dlq_file_unlock(struct dlq_file *d);

/*
 * Update d->records and the other counts from the file.  Creates the directory
 * if it is missing, and with the lock truncates a torn last line.  A missing
 * file counts as empty.  Returns 0 or -errno.
 */
MUST_USE int dlq_file_refresh(struct dlq_file *d);

/* Open and count the file again at the next use, since it was replaced. */
void dlq_file_close(struct dlq_file *d);

/*
 * Return 0 if a dead letter could be written, or -errno.  dlq_file_refresh
 * cannot tell while there is no file: it creates none.
 */
MUST_USE int dlq_file_check(const struct dlq_file *d);

/*
 * Count the dead letters of `stream` in d->own, from the next dlq_file_refresh
 * or dlq_file_append on.  A name that is too long for a stream is ignored.
 */
void dlq_file_follow(struct dlq_file *d, const char *stream);

/*
 * The sink is at `position` in `stream`.  The events from there on come again:
 * those that had no room are forgotten.  Reads the file again.  Returns 0 or
 * -errno.
 */
MUST_USE int dlq_file_start(struct dlq_file *d, const char *stream,
                            uint64_t position);

/* The sink's position is `position` now, which is not lower than before. */
void dlq_file_advance(struct dlq_file *d, uint64_t position);

/* Return the number of dead letters of the stream below the position. */
uint64_t dlq_file_below(const struct dlq_file *d);

/*
 * Return the offsets in from..to, not below the position, that have a dead
 * letter, and set *n to their number, or NULL.  They are ascending, and may
 * repeat if the file was edited.  Valid until the next call.
 */
const uint64_t *dlq_file_find(const struct dlq_file *d, uint64_t from,
                              uint64_t to, size_t *n);

/* Return how many events of the stream were dropped. */
uint64_t dlq_file_dropped(const struct dlq_file *d);

/*
 * Put the dead letter on disk, unless one of its stream and offset is there
 * already.  If it exceeds its share, it is written without its payload.
 * Returns 0; ERR_DEAD_LETTERS_FULL when the file would exceed max_bytes even
 * so; or -errno.
 */
MUST_USE int dlq_file_append(struct dlq_file *d,
                             const struct dlq_record *record);

/*
 * The same for many dead letters, which are synced together: dlq_file_begin,
 * dlq_file_add for each, dlq_file_end.  dlq_file_begin takes the lock, and
 * dlq_file_unlock releases it.
 *
 * After ERR_DEAD_LETTERS_FULL from dlq_file_add, which adds nothing,
 * dlq_file_end still keeps the dead letters before.  If dlq_file_end fails,
 * none of the group is in the file.  Call dlq_file_end in every case, even if
 * dlq_file_begin or dlq_file_add has failed.
 */
MUST_USE int dlq_file_begin(struct dlq_file *d);
MUST_USE int dlq_file_add(struct dlq_file *d, const struct dlq_record *record);
MUST_USE int dlq_file_end(struct dlq_file *d);

/*
 * In a group, after ERR_DEAD_LETTERS_FULL: only count the event, which must be
 * of the stream that is followed.  An event that was counted before a crash is
 * not counted again.
 */
MUST_USE int dlq_file_drop(struct dlq_file *d, const struct dlq_record *record);

/*
 * Record that the events of the stream that is followed at these offsets, which
 * are below the position, were dropped in the drop of this name.  Does nothing
 * if that was the last drop.  Returns 0 or -errno.
 */
MUST_USE int dlq_file_drop_selected(struct dlq_file *d, const char *drop,
                                    const struct dlq_key *keys, size_t n);

#endif
