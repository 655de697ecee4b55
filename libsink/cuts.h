/*
 * cuts - where a batch was cut, on disk before a piece of it is written: for
 * a store without positions, which knows a repeated write by its offsets
 * alone.  After a crash the rest of the batch is cut there again, and so the
 * piece in flight comes as it was, whatever the store makes of it by then.
 *
 * One small file for a stream, `<dir>/<sink>.<stream>.cuts`; lines of one
 * width, the first of them the end of the batch that the others belong to.
 */
#ifndef LIBSINK_CUTS_H
#define LIBSINK_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

struct cuts {
	char *stream; /* owned, as path; NULL: nothing is read */
	char *path;
	const char *dir; /* not owned */
	bool found;      /* the file has an end */
	uint64_t end;    /* of the batch, as in the file */
	uint64_t *at;    /* owned; as read, in order */
	size_t count;
	uint64_t bytes; /* of whole lines in the file */
};

/*
 * Read the file of `stream`; there need be none.  dir must outlive c.  Returns
 * 0, or -errno with nothing read.
 */
MUST_USE int cuts_read(struct cuts *c, const char *dir, const char *sink,
                       const char *stream);

/* The lowest cut above offset that was read for this end; or UINT64_MAX. */
uint64_t cuts_next(const struct cuts *c, uint64_t end, uint64_t offset);

/*
 * Put n cuts of the batch that ends at `end` on disk.  Those of another batch
 * are forgotten.  Returns 0 or -errno.
 */
MUST_USE int cuts_add(struct cuts *c, uint64_t end, const uint64_t *at,
                      size_t n);

/* Remove the file, if there is one.  Returns 0 or -errno. */
MUST_USE int cuts_remove(const char *dir, const char *sink, const char *stream);

/* Forget what was read. */
void cuts_fini(struct cuts *c);

#endif
