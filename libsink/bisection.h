/*
 * bisection - which events of a batch to write next, while the store refuses
 * some of them.
 *
 * The whole batch is written first.  A piece that the store refuses is split
 * around the event that the store named, or in halves, until a single event is
 * refused.  The ends of the pieces that are not written yet are on a stack.
 * Pieces are written in the order of the log, so the next one begins with the
 * first event that is neither stored nor dead-lettered and goes up to the
 * topmost end.
 *
 * Indices are those of events in the whole batch, if not stated otherwise.
 */
#ifndef LIBSINK_BISECTION_H
#define LIBSINK_BISECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libsink/sink.h"

/*
 * A batch has at most 2^20 events, so pieces are halved at most 20 times one
 * inside another.  Each of these pieces may have been split once more by a
 * hint, which leaves two ends.  The whole batch is one more; others come from
 * the limit of what the store takes at once, and from a split point on disk.
 */
#define BISECTION_DEPTH_MAX 66

struct bisection {
	const struct batch *whole; /* not owned */
	uint64_t position;         /* of the store */
	size_t low; /* events before this one are stored or dead-lettered */
	struct bisection_piece {
		size_t end;
		/* The sink's probe cannot find what is bad in it. */
		bool no_probe;
	} pieces[BISECTION_DEPTH_MAX];
	size_t depth;
	size_t refused; /* events that the store has refused one by one */
	size_t hints;   /* that were followed */
	/*
	 * Events that are not written, since they have a dead letter.  All
	 * three are owned, and NULL until bisection_leave_out_begin.
	 */
	bool *left_out;         /* of each event of the whole batch */
	struct event *events;   /* of the next piece, if some are left out */
	struct origin *origins; /* of these events */
};

/* Begin with one piece, the whole batch, which must outlive b. */
void bisection_init(struct bisection *b, const struct batch *whole);
void bisection_fini(struct bisection *b);

/* Return true if all events are dealt with and the position has moved. */
bool bisection_done(const struct bisection *b);

/*
 * Return the next piece to write, valid until the next call of a function that
 * changes b.  It has no events when only the position is left to move.
 */
struct batch bisection_next(struct bisection *b);

/* Return the index after the last event of the next piece. */
size_t bisection_end(const struct bisection *b);

/* Return the index of the nth event, from 0, of the next piece. */
size_t bisection_index(const struct bisection *b, size_t nth);

/* Cut the next piece down to the events before index `end`. */
void bisection_push(struct bisection *b, size_t end);

/* The events of the next piece are stored or dead-lettered: go past them. */
void bisection_pass(struct bisection *b);

/*
 * Split the next piece, of `count` events, which the store has refused, and of
 * which it has named one (bad_event of struct sink_error).  Set at[] to the
 * indices where the new pieces end and return their number, 1 or 2.
 */
size_t bisection_split(struct bisection *b, size_t count, size_t bad_event,
                       size_t at[2]);

/*
 * Leaving out events: allocate for it once (0 or -ENOMEM), then name each
 * event.
 */
MUST_USE int bisection_leave_out_begin(struct bisection *b);
void bisection_leave_out(struct bisection *b, size_t index);
bool bisection_is_left_out(const struct bisection *b, size_t index);

/* Go past the events at the start of the next piece that are left out. */
void bisection_skip_left_out(struct bisection *b);

/* Where event i of a batch is in the log. */
struct origin batch_origin(const struct batch *batch, size_t i);

#endif
