/*
 * split_journal - a journal of the points where a batch was split, synced
 * before each piece is written.
 *
 * It is for a store without positions, which recognizes a repeated write by its
 * offsets alone.  After a crash the batch is split at the same points, so the
 * piece in flight is written again unchanged, whatever the store would accept
 * by then.  A piece that may be stored must not be split, since its halves have
 * other offsets.  So the journal also records from which offset on nothing of
 * the batch can be stored.
 *
 * There is one small file for a stream, `<dir>/<sink>.<stream>.splits`, of
 * lines of one width.  The first line is the end of the batch that the others
 * belong to.  The last line may be `unwritten` and an offset.
 */
#ifndef LIBSINK_SPLIT_JOURNAL_H
#define LIBSINK_SPLIT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* Any part of the batch may be stored. */
#define SPLIT_JOURNAL_UNKNOWN UINT64_MAX

struct split_journal {
	char *stream; /* owned, as path; NULL: nothing is read */
	char *path;
	const char *dir; /* not owned */
	bool found;      /* the file has an end */
	uint64_t end;    /* of the batch, as in the file */
	uint64_t *at;    /* owned; the points as read, sorted */
	size_t count;
	uint64_t bytes; /* of the end and the points in the file */
	/* As in the file; SPLIT_JOURNAL_UNKNOWN if it has no such line. */
	uint64_t unwritten;
};

/*
 * Read the file of `stream`, which may be missing.  dir must outlive c.
 * Returns 0, or -errno with nothing read.
 */
MUST_USE int split_journal_read(struct split_journal *c, const char *dir,
                                const char *sink, const char *stream);

/*
 * Return the lowest split point above offset that was read for this end, or
 * UINT64_MAX.
 */
uint64_t split_journal_next(const struct split_journal *c, uint64_t end,
                            uint64_t offset);

/*
 * Return the offset from which on no write of the batch that ends at `end` can
 * have stored anything, as it is on disk; or SPLIT_JOURNAL_UNKNOWN.
 */
uint64_t split_journal_unwritten(const struct split_journal *c, uint64_t end);

/*
 * Put n split points (0 to 2) of the batch that ends at `end` on disk, and the
 * new value of split_journal_unwritten.  The points of another batch are
 * removed.  Returns 0 or -errno.
 */
MUST_USE int split_journal_add(struct split_journal *c, uint64_t end,
                               const uint64_t *at, size_t n,
                               uint64_t unwritten);

/* Remove the file, if there is one.  Returns 0 or -errno. */
MUST_USE int split_journal_remove(const char *dir, const char *sink,
                                  const char *stream);

/* Forget what was read. */
void split_journal_fini(struct split_journal *c);

#endif
