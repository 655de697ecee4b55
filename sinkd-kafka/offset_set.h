/*
 * offset_set - which offsets of a log have been seen.
 *
 * Offsets come nearly in order.  A set keeps a bit for each offset, in chunks
 * that are released when they are full, so that it takes little memory where
 * nothing is missing.
 */
#ifndef SINKD_KAFKA_OFFSET_SET_H
#define SINKD_KAFKA_OFFSET_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

/* All zeros is an empty set. */
struct offset_set {
	struct offset_chunk *chunks; /* owned; by offset / OFFSET_CHUNK */
	size_t count;
	size_t partial; /* chunks that take memory for their bits */
};

#define OFFSET_CHUNK 65536

/* The most chunks with bits: 128 MiB. */
#define OFFSET_PARTIAL_MAX 16384

/*
 * Add an offset.  *was_there is set if it was in the set already.  Returns 0,
 * -ENOMEM, or -EOVERFLOW if so many gaps, or so high an offset, do not fit.
 */
MUST_USE int offset_set_add(struct offset_set *set, uint64_t offset,
                            bool *was_there);

/* Count the offsets of the set from `from` to below `upto`. */
uint64_t offset_set_count(const struct offset_set *set, uint64_t from,
                          uint64_t upto);

void offset_set_free(struct offset_set *set);

#endif
