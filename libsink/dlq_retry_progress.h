/*
 * dlq_retry_progress - how far a --retry-dead has come in a file of taken
 * letters: a small file beside it, `<file>.place`.  For what no store
 * remembers: the letters that were set aside again, and all of them where it
 * has no position.
 */
#ifndef LIBSINK_DLQ_RETRY_PROGRESS_H
#define LIBSINK_DLQ_RETRY_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

struct dlq_retry_progress {
	int fd; /* -1: not open */
	bool found;
	uint64_t line;     /* lines that are dealt with */
	uint64_t position; /* the store's, when that was so */
};

/*
 * Read the place in the file at `path`, in folder dir; make one when there is
 * none.  Returns 0 or -errno.
 */
MUST_USE int dlq_retry_progress_open(struct dlq_retry_progress *p,
                                     const char *dir, const char *path);

/*
 * Read the place in the file at `path` and close it.  There need be none: then
 * all is 0.  Returns 0 or -errno.
 */
MUST_USE int dlq_retry_progress_read(struct dlq_retry_progress *p,
                                     const char *path);

/* Put it on disk.  Returns 0 or -errno. */
MUST_USE int dlq_retry_progress_save(struct dlq_retry_progress *p,
                                     uint64_t line, uint64_t position);

void dlq_retry_progress_close(struct dlq_retry_progress *p);

/* The file at `path` is gone: so goes its place. */
MUST_USE int dlq_retry_progress_remove(const char *path);

#endif
