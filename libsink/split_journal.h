/*
 * split_journal - where a batch was cut, on disk before a piece of it is
 * written: for a store without positions, which knows a repeated write by its
 * offsets alone.  After a crash the rest of the batch is cut there again, and
 * so the piece in flight comes as it was, whatever the store makes of it by
 * then.
 *
 * A piece that may be stored must not be cut: its halves have other names.  So
 * the file also says from which offset on nothing of the batch can be stored.
 *
 * One small file for a stream, `<dir>/<sink>.<stream>.cuts`; lines of one
 * width, the first of them the end of the batch that the others belong to.  A
 * last line, `unwritten` and an offset, may stand behind them.
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
	uint64_t *at;    /* owned; as read, in order */
	size_t count;
	uint64_t bytes; /* of the end and the cuts in the file */
	/* As in the file; SPLIT_JOURNAL_UNKNOWN without such a line. */
	uint64_t unwritten;
};

/*
 * Read the file of `stream`; there need be none.  dir must outlive c.  Returns
 * 0, or -errno with nothing read.
 */
MUST_USE int split_journal_read(struct split_journal *c, const char *dir,
                                const char *sink, const char *stream);

/* The lowest cut above offset that was read for this end; or UINT64_MAX. */
uint64_t split_journal_next(const struct split_journal *c, uint64_t end,
                            uint64_t offset);

/*
 * The offset from which on no write of the batch that ends at `end` can have
 * stored anything, as it is on disk; or SPLIT_JOURNAL_UNKNOWN.
 */
uint64_t split_journal_unwritten(const struct split_journal *c, uint64_t end);

/*
 * Put n cuts (0 to 2) of the batch that ends at `end` on disk, and what
 * split_journal_unwritten is from now on.  Those of another batch are
 * forgotten. Returns 0 or -errno.
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
