/*
 * position - how far one sink is in the log, and what has become of the events
 * below that.
 *
 * A sink's position is the offset of the next event that it wants.  batchd
 * keeps it on disk in a cursor.  A store with transactions keeps a position of
 * its own, which its sink sends when it subscribes; if the two differ, that
 * one counts, unless it must be rejected (position_subscribe).
 *
 * Each event below the position is stored, skipped (never sent), a dead letter,
 * or dropped (without one); each event from it on is waiting:
 *
 *	committed = stored + skipped + pending_dead_letters + dropped
 *
 * batchd knows what is skipped, and the sink reports its dead letters and what
 * was dropped, with each position.  The cursor has all of that in one update,
 * and `stored` follows.
 * Main thread only.
 */
#ifndef BATCHD_POSITION_H
#define BATCHD_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/cursor.h"
#include "batchd/store.h"
#include "libbase/log.h"
#include "libproto/frame.h"

struct position {
	struct store *store; /* borrowed */
	struct cursor cursor;

	/*
	 * No store can rightly be further than this: what was synced when
	 * batchd started, or the end of a batch that it has sent since.
	 */
	uint64_t max_sent_offset;

	bool skip_is_new; /* the sink has not reported since the last skip */

	struct log_limit rewinds; /* log lines of a store that goes back */

	/* Since the start of batchd: */
	uint64_t committed_events;
	struct histogram commit_times; /* of each, from durable to committed */
};

/*
 * Open the cursor of the sink `name`.  A missing or damaged cursor is no
 * failure: position_start makes a new one.  Returns 0, ERR_OTHER_LOG for a
 * cursor of another log, or -errno.  The error was logged.  position_close must
 * follow either way.
 */
MUST_USE int position_open(struct position *p, struct store *store,
                           const char *name);

/*
 * Call before position_start if --accept-gap was given.  A cursor that is
 * before the oldest event of the log is moved there.
 */
void position_accept_gap(struct position *p);

/*
 * Call once the log has started.  Make the cursor if there is none: at the
 * oldest event kept (I6), or at the newest if `newest`.  Returns 0 or -errno,
 * which was logged.
 */
MUST_USE int position_start(struct position *p, bool newest);

void position_close(struct position *p);

/*
 * A sink subscribes.  Decide whether its position, if it has one, is accepted,
 * and move the cursor there.  Returns
 *
 *  - ERROR_NONE;
 *  - ERROR_TOO_OLD when the log no longer has the events from the position on;
 *  - ERROR_AHEAD when the log never had, or has lost, the events before the
 *    position, so that they cannot be those that the store has.
 *
 * If accept_gap is set, missing events are skipped instead.  *text is the text
 * for the error frame.
 */
MUST_USE enum frame_error position_subscribe(struct position *p,
                                             const struct frame *subscribe,
                                             bool accept_gap,
                                             const char **text);

/*
 * The sink has committed the events up to next_offset.  in_flight_end is the
 * end of the batch, part of which is still in flight, or CURSOR_NO_BATCH.
 * older_us is how long ago the events became durable, for those of which
 * durable_times does not know it.
 */
void position_commit(struct position *p, uint64_t next_offset,
                     uint64_t in_flight_end, int64_t older_us,
                     const struct frame_refused *refused);

/*
 * The sink, whose position is `at`, reports only what its store has refused:
 * dead letters were retried or dropped, or events before its next batch were
 * skipped.  Returns 0, or -EPROTO if it cannot be there.
 */
MUST_USE int position_report(struct position *p, uint64_t at,
                             const struct frame_refused *refused);

/*
 * The events up to `to` will not be sent.  That must be on disk before any
 * event after them is sent (position_may_send): the store can then be past
 * them, and nothing else tells that they are not in it.
 */
void position_skip(struct position *p, uint64_t to);

/* Return true if what was skipped is on disk. */
bool position_may_send(const struct position *p);

/*
 * An operator moves the position to `to`, which the log has.  From now on the
 * log keeps the events from there on.
 */
void position_begin_seek(struct position *p, uint64_t to);

/*
 * The store's position is seek_to now, and `refused` is of the events below it;
 * or it was not moved, if that is NULL.  If the position has gone back, the
 * events from there on come again.  If it has gone ahead, those between count
 * as skipped.
 */
void position_end_seek(struct position *p, const struct frame_refused *refused);

/* The number of events below the position that are in the store. */
uint64_t position_stored_events(const struct position *p);

/* The number of durable events that the sink has not committed. */
uint64_t position_lag_events(const struct position *p);

#endif
