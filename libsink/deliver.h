/*
 * deliver - get a batch into the store, whatever it takes: retry while the
 * store is away, bisect what it rejects, set bad events aside, and after
 * every doubt go by the position that the store itself remembers.
 *
 * A batch that the store's limits do not allow (of time, of memory) is
 * halved when it has failed in the same way several times, and once more each
 * time that a half fails.  Later batches are written in pieces of that size,
 * which grows again as long as they are stored.  What a stable sink's store may
 * have kept is not halved, not after a crash either: it waits for the limit to
 * be raised, and says so.
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
	 * Let ms pass.  Returns 0, or -errno to give up: deliver then returns
	 * that.
	 */
	int (*wait)(void *arg, uint64_t ms);
	/*
	 * In the midst of a batch that is split: all events below `next` are
	 * stored or set aside, and the store's position is `position`.  May
	 * be NULL.  Returns as wait.
	 */
	int (*step)(void *arg, uint64_t next, uint64_t position);
	void *arg;

	/* Owned by deliver. */
	bool open;
	/* Events of the batch with a letter; once looked for, see there. */
	struct dlq_index dlq_index;
	bool has_looked;
	struct split_journal splits; /* of a stable sink */
	bool had_splits;             /* there was a file of them */
	unsigned failures;           /* in a row */
	/* Writes in a row that failed with too_much and the same code. */
	unsigned too_much;
	char too_much_code[16]; /* as sink_error has it */
	size_t most;      /* events to write at once; 0: no limit was met */
	unsigned fitting; /* pieces of that size that were stored since */
	uint64_t away_since_ms;
	struct log_limit aside_limit, away_limit, back_limit, less_limit;
};

/*
 * Open the store and ask for its position in `stream`; tries until it works.
 * Returns 0, or what wait gave up with.
 */
MUST_USE int deliver_start(struct deliver *d, const char *stream, bool *found,
                           uint64_t *position);

/*
 * Store every event of the batch or set it aside, and move the position to
 * next_offset.  An event that has a dead letter from before (a crash came
 * before the position had passed it) is left to its letter.  Returns 0;
 * ERR_POSITION_MOVED when the store's position is none that this batch can have
 * led to, so that another writer must be at work or the store has gone back:
 * start again from its position; or what wait gave up with.
 */
MUST_USE int deliver_batch(struct deliver *d, const struct batch *batch);

/* Close the store.  May be called twice. */
void deliver_close(struct deliver *d);

/* Let go of everything. */
void deliver_fini(struct deliver *d);

/* The n-th wait in a row (from 1): min doubling to max, less up to a half. */
uint64_t deliver_delay_ms(const struct sink_common *common, unsigned n);

#endif
