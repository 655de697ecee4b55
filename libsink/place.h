/*
 * place - how far a --retry-dead has come in a file of taken letters: a small
 * file beside it, `<file>.place`.  For what no store remembers: the letters
 * that were set aside again, and all of them where it has no position.
 */
#ifndef LIBSINK_PLACE_H
#define LIBSINK_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

struct place {
	int fd; /* -1: not open */
	bool found;
	uint64_t line;     /* lines that are dealt with */
	uint64_t position; /* the store's, when that was so */
};

/*
 * Read the place in the file at `path`, in folder dir; make one when there is
 * none.  Returns 0 or -errno.
 */
MUST_USE int place_open(struct place *p, const char *dir, const char *path);

/*
 * Read the place in the file at `path` and close it.  There need be none: then
 * all is 0.  Returns 0 or -errno.
 */
MUST_USE int place_read(struct place *p, const char *path);

/* Put it on disk.  Returns 0 or -errno. */
MUST_USE int place_save(struct place *p, uint64_t line, uint64_t position);

void place_close(struct place *p);

/* The file at `path` is gone: so goes its place. */
MUST_USE int place_remove(const char *path);

#endif
