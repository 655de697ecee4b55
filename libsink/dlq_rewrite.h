/*
 * dlq_rewrite - replace the file of a sink's dead letters by one with fewer of
 * them.  The new file is written beside it, synced, and renamed, so that after
 * a crash either the old or the new one is there.
 *
 * The sink may append to the old file meanwhile; what it has appended is read,
 * too.  The lock of the dead letters must be held.
 */
#ifndef LIBSINK_DLQ_REWRITE_H
#define LIBSINK_DLQ_REWRITE_H

#include <limits.h>

#include "libproto/dlq_lines.h"
#include "libsink/dlq_file.h"

struct dlq_rewrite {
	struct dlq_file *dlq; /* not owned */
	char path[PATH_MAX];  /* of the new file */
	int from, to;         /* -1: not open */
	struct dlq_lines lines;
	struct buf out; /* not yet written */
	uint64_t bytes; /* written */
};

/* Nothing is open.  Call it once, before the others. */
void dlq_rewrite_init(struct dlq_rewrite *w, struct dlq_file *dlq);

/*
 * Open both files.  Returns 0, -ENOENT when there are no dead letters, or
 * -errno.  dlq_rewrite_end or dlq_rewrite_abort must follow.
 */
MUST_USE int dlq_rewrite_begin(struct dlq_rewrite *w);

/* Read a line of the old file.  Returns as dlq_lines_next. */
MUST_USE int dlq_rewrite_next(struct dlq_rewrite *w, char **line,
                              size_t *bytes);

/* Write a line, given without its newline, to the new file: 0 or -errno. */
MUST_USE int dlq_rewrite_put(struct dlq_rewrite *w, const char *line,
                             size_t bytes);

/* Sync what was put, so that the end is short. */
MUST_USE int dlq_rewrite_sync(struct dlq_rewrite *w);

/*
 * Replace the old file, from which all lines were read, or remove it if the new
 * one is empty.  Returns 0; -ESTALE when another file has taken the place of
 * the old one meanwhile, so that all must be repeated; or -errno.
 */
MUST_USE int dlq_rewrite_end(struct dlq_rewrite *w);

/* Close and remove the new file, if there is one. */
void dlq_rewrite_abort(struct dlq_rewrite *w);

#endif
