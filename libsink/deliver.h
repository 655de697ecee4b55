/*
 * deliver - write a batch to the store until all of its events are stored or
 * dead-lettered.
 *
 * While the store is unreachable or misconfigured, the write is repeated with a
 * back-off.  A batch that the store rejects is bisected (bisection.h), and the
 * bad events become dead letters (dead_lettering.h).  After a write whose
 * result is unknown, the position in the store decides whether the batch was
 * stored.
 *
 * A batch can exceed a limit of the store (of time, of memory).  It is halved
 * when it has failed several times with the same code, and once more each time
 * that a half fails.  Later batches are written in pieces of that size, which
 * grows again as long as pieces are stored.  What the store of a stable sink
 * may have stored is not halved, even after a crash (split_points.h).  Such a
 * batch waits until an operator raises the limit, and the status names it.
 */
#ifndef LIBSINK_DELIVER_H
#define LIBSINK_DELIVER_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/log.h"
#include "libsink/dlq_file.h"
#include "libsink/dlq_index.h"
#include "libsink/sink.h"
#include "libsink/split_journal.h"
#include "libsink/stats.h"

struct deliver {
	/* Set by the owner. */
	const struct sink *sink;
	const struct sink_common *common;
	const void *conf;
	void *state; /* sink->state_bytes, zeroed */
	struct dlq_file *dlq;
	struct stats *stats;
	/*
	 * Wait ms milliseconds.  Returns 0, or a negative error to give up,
	 * which deliver then returns.
	 */
	int (*wait)(void *arg, uint64_t ms);
	/*
	 * Called during a batch that is written in pieces.  All events below
	 * `next` are stored or dead-lettered, and the store's position is
	 * `position`.  May be NULL.  Returns as wait.
	 */
	int (*step)(void *arg, uint64_t next, uint64_t position);
	void *arg;

	/* Owned by deliver. */
	bool open;
	/*
	 * The events of the batch that have a dead letter from before.  The
	 * files are read once after a start (dead_lettering.c).
	 */
	struct dlq_index dlq_index;
	bool has_looked;
	struct split_journal splits; /* of a stable sink */
	bool had_splits;             /* a journal was there when it was read */
	unsigned failures;           /* in a row, of whatever kind */
	/* Writes in a row that failed with too_much and the same code. */
	unsigned too_much;
	char too_much_code[16]; /* code of the last of them */
	size_t most;      /* events to write at once; 0: no limit was met */
	unsigned fitting; /* pieces of that size that were stored since */
	uint64_t unavailable_since_ms;
	struct log_limit dead_letter_limit, unavailable_limit, available_limit,
	    fewer_limit;
};

/*
 * Open the store and ask for its position in `stream`, until that succeeds.
 * Returns 0, or what wait gave up with.
 */
MUST_USE int deliver_start(struct deliver *d, const char *stream, bool *found,
                           uint64_t *position);

/*
 * Store or dead-letter every event of the batch, and move the store's position
 * to next_offset.  An event that has a dead letter from before is not stored:
 * the sink crashed after it had written the dead letter and before the position
 * had passed the event.
 *
 * Returns 0; ERR_POSITION_MOVED when this batch cannot have led to the store's
 * position, so that another writer must be at work or the store was restored
 * from a copy (the owner starts again from the store's position); or what wait
 * or step gave up with.
 */
MUST_USE int deliver_batch(struct deliver *d, const struct batch *batch);

/* Close the store.  May be called twice. */
void deliver_close(struct deliver *d);

/* Release everything. */
void deliver_fini(struct deliver *d);

/*
 * Return the n-th delay in a row (n from 1): retry_min_ms, doubled each time up
 * to retry_max_ms, less a random part of up to a half.
 */
uint64_t deliver_delay_ms(const struct sink_common *common, unsigned n);

#endif
