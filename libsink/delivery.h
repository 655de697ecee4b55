/*
 * delivery - what the three files that deliver batches share: the state of the
 * deliverer and of the batch on its way into the store.  The steps of a batch
 * are in deliver.c; split_points.c keeps on disk where the batch of a stable
 * sink is split, and dead_lettering.c moves the events that the store refuses
 * to the dead letters.
 */
#ifndef LIBSINK_DELIVERY_H
#define LIBSINK_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/log.h"
#include "libproto/frame.h"
#include "libsink/bisection.h"
#include "libsink/dlq_file.h"
#include "libsink/sink.h"
#include "libsink/split_journal.h"
#include "libsink/stats.h"

/*
 * Where the batches of a stable sink are split.  Batches of two streams, the
 * log's and that of a retry of dead letters, come in turn, and each stream has
 * a journal.
 */
struct split_state {
	struct split_journal journal;
	bool had_splits; /* a journal was there when it was read */
};

/* What deliver calls meanwhile. */
struct delivery_calls {
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
};

/* In a retry of dead letters: what the store refuses again. */
struct delivery_kept {
	struct dlq_file *file; /* where it is recorded */
	bool *events; /* which events of the batch are there; deliver adds to it
	               */
};

struct deliver {
	/* Set by the owner. */
	const struct sink *sink;
	const struct sink_common *common;
	const void *conf;
	void *state; /* sink->state_bytes, zeroed */
	struct dlq_file *dlq;
	struct stats *stats;
	struct delivery_calls calls;
	struct log_limit dead_letter_limit, unavailable_limit, available_limit,
	    fewer_limit, kept_limit;

	/* Owned by deliver. */
	bool open;
	char log[FRAME_STREAM_MAX + 1]; /* stream of the log, or "" */
	struct split_state log_splits, retry_splits;
	unsigned failures; /* in a row, of whatever kind */
	/* Writes in a row that failed with too_much and the same code. */
	unsigned too_much;
	char too_much_code[16]; /* code of the last of them */
	size_t most;      /* events to write at once; 0: no limit was met */
	unsigned fitting; /* pieces of that size that were stored since */
	uint64_t unavailable_since_ms;
};

/* One batch on its way. */
struct delivery {
	struct bisection b;
	const struct delivery_kept *kept; /* NULL: the batch is from the log */
	struct split_state *splits;
	/*
	 * Of a stable sink.  The store may have a piece that begins below this
	 * offset, since a write of it has ended with an unknown result.  Such a
	 * piece is not split: the store knows it by its offsets, and would
	 * store its halves again.
	 */
	uint64_t unwritten;
	/* An earlier write of the piece in hand may have stored it. */
	bool in_doubt;
};

#endif
