/*
 * delivery - one batch on its way into the store: what the three files that
 * deliver it share.  Its steps are in deliver.c; split_points.c keeps on disk
 * where the batch of a stable sink is split, and dead_lettering.c moves the
 * events that the store refuses to the dead letters.
 */
#ifndef LIBSINK_DELIVERY_H
#define LIBSINK_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libsink/bisection.h"
#include "libsink/deliver.h"

struct delivery {
	struct bisection b;
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

/* The store has accepted something: end the back-off and log it. */
void deliver_recovered(struct deliver *d);

/* Log and report what is wrong, and wait.  Returns as d->wait. */
MUST_USE int deliver_back_off(struct deliver *d, enum sink_result result,
                              const struct sink_error *error);

/*
 * The piece is neither stored nor refused: close the store, wait, and go on
 * from the position that the store has then.  Returns 0, ERR_POSITION_MOVED as
 * deliver_batch, or what d->wait gave up with.
 */
MUST_USE int deliver_interrupted(struct deliver *d, struct delivery *w,
                                 const struct batch *piece,
                                 enum sink_result result,
                                 struct sink_error *error);

#endif
