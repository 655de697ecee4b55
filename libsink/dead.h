/*
 * dead - the file of one sink's dead letters, `<dir>/<name>.ndjson`: events
 * that the store rejects for their content, each with the store's reason.
 *
 * A letter is on disk when dead_append or dead_end returns (I10), and is in
 * the file once, even if a crash makes the sink set the same event aside again.
 * The file is locked (flock) only while it is written to, so --retry-dead
 * can take it away, by renaming it, from under a running sink.
 */
#ifndef LIBSINK_DEAD_H
#define LIBSINK_DEAD_H

#include <stdbool.h>
#include <sys/types.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libsink/letter.h"

struct dead {
	char *path; /* owned, as the next two */
	char *dir;
	int fd; /* -1: not open */
	dev_t dev;
	ino_t ino;
	uint64_t max_bytes;
	uint64_t bytes;   /* of the file, all whole lines */
	uint64_t letters; /* in the file */
	uint64_t own;     /* of these, those of `stream` */
	/* The last that was followed or appended to. */
	char stream[64];
	bool has_stream;
	uint64_t top_offset; /* highest offset of `stream` in the file */
	uint64_t search_at;  /* where the last search ended */
	/* From dead_begin to dead_end: */
	bool in_group;
	uint64_t group_at;      /* bytes of the file before it */
	uint64_t group_letters; /* added by it */
	int group_error;        /* of the first write that failed */
	struct buf lines;       /* the last of them, not yet written */
};

/*
 * Remember where the letters of sink `name` go.  Opens nothing.  Returns 0
 * or -ENOMEM.
 */
MUST_USE int dead_init(struct dead *d, const char *dir, const char *name,
                       uint64_t max_bytes);
void dead_fini(struct dead *d);

/*
 * Bring d->letters and the rest in line with the file as it is now: make the
 * folder when it is missing, cut a torn last line.  A file that is not there
 * counts as empty.  Returns 0 or -errno.
 */
MUST_USE int dead_refresh(struct dead *d);

/*
 * Count the letters of `stream` in d->own, from the next dead_refresh or
 * dead_append on.  A name too long for any stream is not followed.
 */
void dead_follow(struct dead *d, const char *stream);

/*
 * Put the letter on disk, unless its stream and offset are there already.
 * Returns 0, -EDQUOT when the file would pass max_bytes, or -errno.
 */
MUST_USE int dead_append(struct dead *d, const struct letter *letter);

/*
 * The same for many letters, which are synced together: dead_begin, dead_add
 * for each, dead_end.  The file is locked from the first to the last, so
 * nothing that waits may come between.  After -EDQUOT from dead_add, which adds
 * nothing, the letters before can still be kept by dead_end.  When dead_end
 * fails none of the group is in the file.  dead_end must follow in any case,
 * even if dead_begin or dead_add has failed.
 */
MUST_USE int dead_begin(struct dead *d);
MUST_USE int dead_add(struct dead *d, const struct letter *letter);
MUST_USE int dead_end(struct dead *d);

/*
 * Move all letters to a new file beside, whose path is written to out (size
 * bytes).  Returns 0, -ENOENT when there are none, or -errno.
 */
MUST_USE int dead_take(struct dead *d, char *out, size_t size);

#endif
