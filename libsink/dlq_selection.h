/*
 * dlq_selection - the dead letters that an operator wants to have retried or
 * dropped, recorded durably in `<dir>/<sink>.retry.ndjson`.
 *
 * The first line has what is to be done, and the lines after it are the dead
 * letters as they were.  Neither they nor their order change once they are
 * recorded: line n, from 0, has offset n in a stream of its own, under which
 * the store keeps the position of the retry.
 *
 * A selection is recorded when dlq_selection_commit returns.  Until then it is
 * in `<sink>.retry.new`, and a crash leaves nothing of it.
 */
#ifndef LIBSINK_DLQ_SELECTION_H
#define LIBSINK_DLQ_SELECTION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/dlq_lines.h"
#include "libproto/event.h"

/* Most dead letters of one selection, which bounds its memory. */
#define DLQ_SELECTION_MAX 1000000

enum dlq_action { DLQ_RETRY = 1, DLQ_DROP = 2 };

/* Which event a dead letter is of, and in which line it is. */
struct dlq_key {
	uint64_t stream_hash, offset;
	uint32_t line;
};

/* The name of a selection's stream, with its NUL. */
#define DLQ_STREAM_BYTES (sizeof "dead-" + 16)

struct dlq_selection {
	const char *dir, *sink;  /* not owned */
	char path[PATH_MAX];     /* once it is recorded */
	char new_path[PATH_MAX]; /* before */
	int fd;                  /* -1: there is none */
	/* From the first line: */
	enum dlq_action action;
	char stream[DLQ_STREAM_BYTES];
	/*
	 * The size of the batches in which it is retried.  The settings may
	 * change before the end, and the ends of batches must not.
	 */
	uint64_t batch_events, batch_bytes;
	bool is_edited; /* the event is not the one of the dead letter */

	uint64_t lines_at;    /* where the second line begins */
	struct dlq_key *keys; /* owned; sorted once it is recorded */
	size_t count, cap;
	/*
	 * Of a new selection.  The owner syncs it now and then, so that the
	 * commit is short.
	 */
	struct dlq_lines_writer out;
};

/* Returns 0 or -ENAMETOOLONG.  dir and sink must outlive s. */
MUST_USE int dlq_selection_init(struct dlq_selection *s, const char *dir,
                                const char *sink);
void dlq_selection_fini(struct dlq_selection *s);

/*
 * Open the recorded selection and read its keys.  Returns 1; 0 when there is
 * none; -EBADMSG when it is damaged; or -errno.
 */
MUST_USE int dlq_selection_open(struct dlq_selection *s);

/*
 * Begin a new selection, for which the owner has set action, batch_events,
 * batch_bytes and is_edited.  Returns 0 or -errno.
 */
MUST_USE int dlq_selection_begin(struct dlq_selection *s);

/* Add a line, given without its newline.  Returns 0 or -errno. */
MUST_USE int dlq_selection_add(struct dlq_selection *s, const void *line,
                               size_t bytes, const struct slice *stream,
                               uint64_t offset);

MUST_USE int dlq_selection_commit(struct dlq_selection *s);

/* Close it, and remove what is not recorded. */
void dlq_selection_close(struct dlq_selection *s);

/* Remove the recorded selection durably.  It stays open. */
MUST_USE int dlq_selection_remove(struct dlq_selection *s);

/*
 * Remove the files of selections that are no longer recorded, and those that a
 * crash has left.  Returns 0 or -errno.
 */
MUST_USE int dlq_selection_clean_up(const struct dlq_selection *s);

/*
 * Return the line that has the dead letter, or SIZE_MAX.  If several have it,
 * the first of them counts.
 */
size_t dlq_selection_find(const struct dlq_selection *s,
                          const struct slice *stream, uint64_t offset);

/*
 * Return the number of its dead letters, of which one that is there twice
 * counts once; with `lines`, only of those whose first line is marked there.
 */
size_t dlq_selection_count(const struct dlq_selection *s, const bool *lines);

/* Mark the lines whose dead letter is in an earlier line, too. */
void dlq_selection_mark_repeated(const struct dlq_selection *s, bool *lines);

/*
 * Return the keys of the dead letters that are of that stream, by ascending
 * offset, and set *n to their number.
 */
const struct dlq_key *dlq_selection_of(const struct dlq_selection *s,
                                       const char *stream, size_t *n);

#endif
