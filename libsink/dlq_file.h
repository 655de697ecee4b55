/*
 * dlq_file - the file of one sink's dead letters, `<dir>/<name>.ndjson`: events
 * that the store rejects for their content, each with the store's reason.
 *
 * A letter is on disk when dlq_file_append or dlq_file_end returns (I10), and
 * is in the file once, even if a crash makes the sink set the same event aside
 * again. The file is locked (flock) only while it is written to, so
 * --retry-dead can take it away, by renaming it, from under a running sink.
 */
#ifndef LIBSINK_DLQ_FILE_H
#define LIBSINK_DLQ_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/log.h"
#include "libsink/dlq_record.h"

/*
 * What of max_bytes letters with their payload may take: all of them together a
 * half, and those of one type an eighth.  Beyond that a letter is written
 * without its payload, so a sender who sends many or large events that are
 * refused takes no room from the letters of other types.
 */
#define DLQ_FULL_SHARE 2
#define DLQ_TYPE_SHARE 8
/* Types are told apart by a hash; two may share the share of one. */
#define DLQ_TYPES 1024

struct dlq_file {
	char *path; /* owned, as the next two */
	char *dir;
	int fd; /* -1: not open */
	dev_t dev;
	ino_t ino;
	uint64_t max_bytes;
	bool counted;             /* the next four are what is on disk */
	uint64_t bytes;           /* of the file, all whole lines */
	uint64_t records;         /* in the file */
	uint64_t own;             /* of these, those of `stream` */
	uint64_t without_payload; /* of all, those without payload */
	/* Set by the owner: letters that are retried keep what they have. */
	bool keeps_payloads;
	/* Bytes of letters with their payload, and of those by type. */
	uint64_t full_bytes;
	uint64_t type_bytes[DLQ_TYPES];
	uint64_t type_seed; /* no sender knows whose hash is the same */
	unsigned warned_percent;
	/*
	 * Events of `stream` that had no room: how many, and the offset after
	 * the last of them.  Kept in `<dir>/<name>.<stream>.dropped.place`.
	 */
	uint64_t dropped, dropped_end;
	bool dropped_known;
	struct log_limit payload_limit, dropped_limit;
	/* The last that was followed or appended to. */
	char stream[64];
	bool has_stream;
	uint64_t top_offset; /* highest offset of `stream` in the file */
	uint64_t search_at;  /* where the last search ended */
	/* From dlq_file_begin to dlq_file_end: */
	bool in_group;
	uint64_t group_at;      /* bytes of the file before it */
	uint64_t group_records; /* added by it */
	int group_error;        /* of the first write that failed */
	uint64_t group_without; /* letters of it that lost their payload */
	uint64_t group_dropped; /* events that dlq_file_drop has counted */
	struct buf lines;       /* the last of them, not yet written */
};

/*
 * Remember where the letters of sink `name` go.  Opens nothing.  Returns 0
 * or -ENOMEM.
 */
MUST_USE int dlq_file_init(struct dlq_file *d, const char *dir,
                           const char *name, uint64_t max_bytes);
void dlq_file_fini(struct dlq_file *d);

/*
 * Bring d->records and the rest in line with the file as it is now: make the
 * folder when it is missing, cut a torn last line.  A file that is not there
 * counts as empty.  Returns 0 or -errno.
 */
MUST_USE int dlq_file_refresh(struct dlq_file *d);

/*
 * Count the letters of `stream` in d->own, from the next dlq_file_refresh or
 * dlq_file_append on.  A name too long for any stream is not followed.
 */
void dlq_file_follow(struct dlq_file *d, const char *stream);

/*
 * Put the letter on disk, unless its stream and offset are there already; and
 * without its payload where that is beyond its share.  Returns 0,
 * ERR_DEAD_LETTERS_FULL when the file would pass max_bytes even so, or -errno.
 */
MUST_USE int dlq_file_append(struct dlq_file *d,
                             const struct dlq_record *record);

/*
 * The same for many letters, which are synced together: dlq_file_begin,
 * dlq_file_add for each, dlq_file_end.  The file is locked from the first to
 * the last, so nothing that waits may come between.  After
 * ERR_DEAD_LETTERS_FULL from dlq_file_add, which adds nothing, the letters
 * before can still be kept by dlq_file_end.  When dlq_file_end fails none of
 * the group is in the file. dlq_file_end must follow in any case, even if
 * dlq_file_begin or dlq_file_add has failed.
 */
MUST_USE int dlq_file_begin(struct dlq_file *d);
MUST_USE int dlq_file_add(struct dlq_file *d, const struct dlq_record *record);
MUST_USE int dlq_file_end(struct dlq_file *d);

/*
 * In a group, after ERR_DEAD_LETTERS_FULL: only count the event, of the stream
 * that is followed.  One that was counted before a crash is not counted again.
 */
MUST_USE int dlq_file_drop(struct dlq_file *d, const struct dlq_record *record);

/*
 * Move all letters to a new file beside, whose path is written to out (size
 * bytes).  Returns 0, -ENOENT when there are none, or -errno.
 */
MUST_USE int dlq_file_take(struct dlq_file *d, char *out, size_t size);

#endif
