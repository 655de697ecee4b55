/*
 * dlq_dropped - which events of one stream a store has refused that have no
 * dead letter, because there was no room or an operator has dropped it.
 *
 * They are kept as ranges in a small file, `<dir>/<sink>.<stream>.dropped`,
 * which an operator can read: a line for each range, with the number of its
 * events.
 */
#ifndef LIBSINK_DLQ_DROPPED_H
#define LIBSINK_DLQ_DROPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/ranges.h"
#include "libsink/dlq_selection.h"

/* All zero is one that was not read. */
struct dlq_dropped {
	struct ranges ranges;
	char last_drop[DLQ_STREAM_BYTES]; /* the operator's last; "-": none */
	bool is_known; /* false: what is on disk must be read first */
};

/*
 * Read the file at `path`, which may be missing.  Returns 0; -EBADMSG if leat
 * has not written it; or -errno.
 */
MUST_USE int dlq_dropped_read(struct dlq_dropped *d, const char *path);

/*
 * Put them on disk at `path`, in directory dir.  Returns 0 or -errno; then the
 * file has what it had, and must be read again.
 */
MUST_USE int dlq_dropped_write(struct dlq_dropped *d, const char *dir,
                               const char *path);

/*
 * Add an event that had no room.  Events come in the order of their offsets.
 * Returns false if it was counted before a crash already.
 */
bool dlq_dropped_add(struct dlq_dropped *d, uint64_t offset);

/*
 * Add the events at the offsets of the keys, which are ascending, of an
 * operator's drop of this name.  Returns false if there is nothing to add,
 * or it was the last drop already.
 */
bool dlq_dropped_add_drop(struct dlq_dropped *d, const char *drop,
                          const struct dlq_key *keys, size_t n);

/* Forget the events from the position on.  Returns false if there are none. */
bool dlq_dropped_cut(struct dlq_dropped *d, uint64_t position);

#endif
