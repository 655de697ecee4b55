/*
 * split_points - where the batch of a stable sink is split, and what of it the
 * store may have.
 *
 * The store of a stable sink has no positions: it recognizes a repeated write
 * by its offsets alone.  So a piece that may be stored is written again as it
 * was, even after a crash.  The split points are on disk (split_journal.h)
 * before a piece is written that ends there, and a piece that may be stored is
 * not split. For other sinks these functions do nothing.
 */
#ifndef LIBSINK_SPLIT_POINTS_H
#define LIBSINK_SPLIT_POINTS_H

#include "libsink/delivery.h"

/*
 * Read where the batch was split before a crash, and find out what of it may be
 * stored.  All functions that return int: 0, or what the wait gave up with.
 */
MUST_USE int split_points_begin(struct deliver *d, struct delivery *w);

/* Return true if the store may have the next piece. */
bool split_points_may_be_stored(const struct delivery *w);

/* Cut the next piece where it was split before a crash. */
void split_points_follow(const struct deliver *d, struct delivery *w);

/* Put n split points (1 or 2), given as indices of events, on disk. */
MUST_USE int split_points_add(struct deliver *d, const struct delivery *w,
                              const size_t *at, size_t n);

/* Cut the next piece down to what the store takes at once (d->most). */
MUST_USE int split_points_limit(struct deliver *d, struct delivery *w);

/* The piece is written next: record on disk that it may be stored. */
MUST_USE int split_points_before_write(struct deliver *d, struct delivery *w,
                                       const struct batch *piece);

/*
 * The store has certainly kept nothing of the next piece.  That is recorded on
 * disk, so that the piece can be split after a crash, too.
 */
MUST_USE int split_points_not_stored(struct deliver *d, struct delivery *w);

#endif
