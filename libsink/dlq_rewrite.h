/*
 * dlq_rewrite - replace the file of a sink's dead letters by one without those
 * that were retried or dropped.  The new file is written beside it, synced, and
 * renamed, so that after a crash either the old or the new one is there.
 *
 * It looks for events, not for lines, so it may be done twice.  The sink may
 * append to the old file meanwhile; what it has appended is read, too.  The
 * lock of the dead letters must be held.
 */
#ifndef LIBSINK_DLQ_REWRITE_H
#define LIBSINK_DLQ_REWRITE_H

#include <limits.h>

#include "libproto/dlq_lines.h"
#include "libsink/dlq_file.h"
#include "libsink/dlq_selection.h"

struct dlq_rewrite {
	struct dlq_file *dlq;                  /* not owned, nor the next two */
	const struct dlq_selection *selection; /* to be removed */
	const bool *is_kept; /* of its lines, those to be kept; NULL: none */
	char path[PATH_MAX]; /* of the new file */
	int from, to;        /* -1: not open */
	struct dlq_lines lines;
	struct dlq_lines_writer out; /* to the file `to` */
	/* The dead letters that were refused again, with their new reason. */
	int kept_fd; /* -1: not open */
	struct dlq_lines kept_lines;
	char *kept_line;
	size_t kept_bytes; /* of the line; 0: none is left */
};

/* Nothing is open.  Call it once, before the others. */
void dlq_rewrite_init(struct dlq_rewrite *w, struct dlq_file *dlq);

/*
 * Begin to remove what the selection has, except its lines of is_kept, which
 * may be NULL.  These get the reason that the file at kept_path has for them.
 * Returns 0, -ENOENT when there are no dead letters, or -errno.
 * dlq_rewrite_abort must follow, unless dlq_rewrite_step has returned 0.
 */
MUST_USE int dlq_rewrite_begin(struct dlq_rewrite *w,
                               const struct dlq_selection *selection,
                               const bool *is_kept, const char *kept_path);
bool dlq_rewrite_is_open(const struct dlq_rewrite *w);

/*
 * Read about `most` bytes of the old file, and sync what is written of the new
 * one.  Returns 1 when there are more; 0 when the new file has taken the place
 * of the old one, or that is removed because nothing is left; -ESTALE when
 * another file has taken the place of the old one meanwhile, so that all must
 * be repeated; or -errno.
 */
MUST_USE int dlq_rewrite_step(struct dlq_rewrite *w, uint64_t most);

/* Close and remove the new file, if there is one. */
void dlq_rewrite_abort(struct dlq_rewrite *w);

#endif
