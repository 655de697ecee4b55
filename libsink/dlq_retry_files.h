/*
 * dlq_retry_files - the letters that a --retry-dead has taken out of a sink's
 * file,
 * `<sink>.retry-<time>.ndjson` beside it, and has not settled yet: one is at
 * work, or was cut short and has to be run again.  Read only.
 */
#ifndef LIBSINK_DLQ_RETRY_FILES_H
#define LIBSINK_DLQ_RETRY_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"

struct dlq_retry_files {
	uint64_t records; /* in all such files */
	uint64_t own;     /* of these, those of the stream asked for */
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
 * Bring t in line with the files now; they are read only when they are not
 * those of the last time.  Returns 0 or -errno, with t as before.
 */
MUST_USE int dlq_retry_files_refresh(struct dlq_retry_files *t, const char *dir,
                                     const char *sink, const char *stream);

#endif
