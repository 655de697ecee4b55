/*
 * reporting - what a sink tells batchd about itself: its statistics, and how
 * many events its store has refused.
 *
 * Both are read from the file of dead letters again before each report, since
 * an operator may have changed or moved it.
 */
#ifndef LIBSINK_REPORTING_H
#define LIBSINK_REPORTING_H

#include "libsink/dlq_file.h"
#include "libsink/stats.h"
#include "libsink/subscription.h"

struct reporting {
	/* Set by the owner, and not owned. */
	struct subscription *subscription;
	struct dlq_file *dlq;
	struct stats *stats;
	const char *dead_dir, *sink;
	/* What the store has refused of the events below dlq->position. */
	struct frame_refused refused;
	bool has_base; /* of the counters; sent on this connection */
	/* What the last report contained, and when it was sent. */
	struct report last; /* the last that a batchd has received */
	enum stats_state state;
	uint64_t dead;
	uint64_t sent_ms;
	struct log_limit limit;
};

/* The connection is a new one. */
void reporting_begin(struct reporting *r);

/* Return true if a report must be sent, even if nothing has changed. */
bool reporting_is_due(const struct reporting *r);

/*
 * Read again what is on disk.  batchd admits one process of a sink, which takes
 * the lock of the dead letters.  Returns true if it has the lock and everything
 * could be read; the other cases are logged.
 */
bool reporting_refresh(struct reporting *r);

/*
 * Update what the store has refused of the events below the position, and
 * return it.  What cannot be read now was read at the start.
 */
const struct frame_refused *reporting_refused(struct reporting *r);

/*
 * Report that, if dead letters have gone or come without a batch.  Returns 0 or
 * -errno.
 */
MUST_USE int reporting_send_refused(struct reporting *r);

/*
 * Report the statistics if the state or the number of dead letters has changed,
 * or if `due`.  Returns 0 or -errno.
 */
MUST_USE int reporting_send_changes(struct reporting *r, bool due);

/*
 * Report the statistics now.  If the socket is full, a later report replaces
 * this one.  Returns 0 or -errno.
 */
MUST_USE int reporting_send(struct reporting *r);

#endif
