/*
 * dead_lettering - move the events of a batch that the store refuses to the
 * dead letters, and leave those alone that have a dead letter already.
 */
#ifndef LIBSINK_DEAD_LETTERING_H
#define LIBSINK_DEAD_LETTERING_H

#include "libsink/delivery.h"

/*
 * The file of dead letters cannot be read, for the reason rc: what is in it
 * must not be stored again, so wait until the next try.  Returns 0, or what
 * the wait gave up with.
 */
MUST_USE int dead_lettering_await_file(struct deliver *d, int rc);

/*
 * Find the events of the batch that have a dead letter from before, and leave
 * them out.  Returns 0, -ENOMEM, or what the wait gave up with.
 */
MUST_USE int dead_lettering_begin(struct deliver *d, struct delivery *w);

/*
 * The store has refused the piece, which has one event: put its dead letter on
 * disk, and go past it.  Returns 0, or what the wait gave up with.
 */
MUST_USE int dead_lettering_add(struct deliver *d, struct delivery *w,
                                const struct batch *piece,
                                const struct sink_error *why);

/*
 * Return true if the sink's probe is to look for what the store refuses in the
 * next piece.
 */
bool dead_lettering_wants_probe(const struct deliver *d,
                                const struct delivery *w);

/*
 * Have the sink's probe find all that the store refuses in the piece, and put
 * that on disk as dead letters, which are synced together.  Returns 0, with the
 * probe's result, and its error if that is not SINK_DONE; or -ENOMEM, or what
 * the wait gave up with.
 */
MUST_USE int dead_lettering_probe(struct deliver *d, struct delivery *w,
                                  const struct batch *piece,
                                  enum sink_result *result,
                                  struct sink_error *error);

#endif
