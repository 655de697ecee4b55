/*
 * dlq_retry_progress - a number in a small file, `<file>.progress`: how many
 * lines of a selection of dead letters are dealt with, for a store that has no
 * position, or has forgotten it.
 */
#ifndef LIBSINK_DLQ_RETRY_PROGRESS_H
#define LIBSINK_DLQ_RETRY_PROGRESS_H

#include <stdint.h>

#include "libbase/base.h"

struct dlq_retry_progress {
	int fd;        /* -1: not open */
	uint64_t line; /* lines that are done */
};

/*
 * Read the progress of the file at `path`, in directory dir.  Creates it if
 * there is none.  Returns 0 or -errno.
 */
MUST_USE int dlq_retry_progress_open(struct dlq_retry_progress *p,
                                     const char *dir, const char *path);

/* Put it on disk.  Returns 0 or -errno. */
MUST_USE int dlq_retry_progress_save(struct dlq_retry_progress *p,
                                     uint64_t line);

void dlq_retry_progress_close(struct dlq_retry_progress *p);

#endif
