/*
 * heavy_hitters - the most frequent keys of a stream, in fixed memory.
 *
 * The algorithm is Space-Saving (Metwally, Agrawal, El Abbadi: "Efficient
 * computation of frequent and top-k elements in data streams", 2005).  A table
 * of N entries counts keys.  A key that has no entry takes the one with the
 * lowest count, and begins with that count, which is then also the most by
 * which its own count can be too high.  After `total` events no count is too
 * high by more than total / N, and every key with more events than that is in
 * the table.
 */
#ifndef SINKD_DASHBOARD_HEAVY_HITTERS_H
#define SINKD_DASHBOARD_HEAVY_HITTERS_H

#include <stddef.h>

#include "libbase/base.h"
#include "sinkd-dashboard/key.h"

/* Entries are numbered by 16 bits. */
#define HEAVY_HITTERS_MAX 4096

struct heavy_hitter {
	struct key key;
	uint64_t count;
	uint64_t error; /* count is too high by at most this */
	uint16_t heap_at;
	uint16_t next; /* in its bucket */
};

struct heavy_hitters {
	uint64_t total; /* events counted */
	size_t size;
	size_t used;
	struct heavy_hitter *entries; /* owned */
	uint16_t *heap;    /* owned; entries, the lowest count first */
	uint16_t *buckets; /* owned; first entry of each, by hash */
	size_t bucket_mask;
};

/*
 * Make an empty table of `size` entries, 1 to HEAVY_HITTERS_MAX.  Returns 0 or
 * -ENOMEM.  The caller must heavy_hitters_fini it in either case.
 */
MUST_USE int heavy_hitters_init(struct heavy_hitters *h, size_t size);
void heavy_hitters_fini(struct heavy_hitters *h);

/* Count `count` more events of this key. */
void heavy_hitters_add(struct heavy_hitters *h, const struct key *key,
                       uint64_t count);

/* Forget all keys; the memory stays. */
void heavy_hitters_clear(struct heavy_hitters *h);

#endif
