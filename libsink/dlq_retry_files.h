/*
 * dlq_retry_files - the dead letters that a --retry-dead has moved out of a
 * sink's file, `<sink>.retry-<time>.ndjson` in the same directory, and has not
 * finished: a run is working on them, or one was interrupted and must be run
 * again.  These functions only read.
 */
#ifndef LIBSINK_DLQ_RETRY_FILES_H
#define LIBSINK_DLQ_RETRY_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

struct dlq_retry_files {
	uint64_t records; /* in all such files */
	uint64_t own;     /* of these, the ones of the stream asked for */
	uint64_t seen;    /* hash of names, sizes and times when counted */
};

/* Called with an open directory and the name of a file in it. */
typedef int (*dlq_retry_files_on_file)(void *arg, int dir_fd, const char *name);

/*
 * Call f for each of the sink's files of dead letters being retried, in no
 * order, until it returns something else than 0.  A missing directory has none.
 * Returns 0, -errno, or what f returned.
 */
MUST_USE int dlq_retry_files_each(const char *dir, const char *sink,
                                  dlq_retry_files_on_file f, void *arg);

/*
 * Update t.  The files are read only if they have changed since the last time.
 * Returns 0 or -errno, with t unchanged.
 */
MUST_USE int dlq_retry_files_refresh(struct dlq_retry_files *t, const char *dir,
                                     const char *sink, const char *stream);

#endif
