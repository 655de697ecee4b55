/* heavy_hitters - see heavy_hitters.h. */
#include "sinkd-dashboard/heavy_hitters.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT16_MAX

int
heavy_hitters_init(struct heavy_hitters *h, size_t size)
{
	size_t buckets = 1;

	assert(size >= 1 && size <= HEAVY_HITTERS_MAX);
	while (buckets < 2 * size)
		buckets *= 2;
	*h = (struct heavy_hitters){
	    .size = size,
	    .entries = calloc(size, sizeof *h->entries),
	    .heap = calloc(size, sizeof *h->heap),
	    .buckets = calloc(buckets, sizeof *h->buckets),
	    .bucket_mask = buckets - 1,
	};
	if (!h->entries || !h->heap || !h->buckets)
		return -ENOMEM;
	heavy_hitters_clear(h);
	return 0;
}

void
heavy_hitters_fini(struct heavy_hitters *h)
{
	free(h->entries);
	free(h->heap);
	free(h->buckets);
	*h = (struct heavy_hitters){0};
}

void
heavy_hitters_clear(struct heavy_hitters *h)
{
	h->total = 0;
	h->used = 0;
	for (size_t i = 0; i <= h->bucket_mask; i++)
		h->buckets[i] = NONE;
}

static uint16_t *
bucket_of(struct heavy_hitters *h, uint64_t hash)
{
	return &h->buckets[hash & h->bucket_mask];
}

static uint16_t
entry_find(struct heavy_hitters *h, uint64_t hash)
{
	uint16_t i = *bucket_of(h, hash);

	while (i != NONE && h->entries[i].key.hash != hash)
		i = h->entries[i].next;
	return i;
}

static void
bucket_remove(struct heavy_hitters *h, uint16_t entry)
{
	uint16_t *at = bucket_of(h, h->entries[entry].key.hash);

	while (*at != entry)
		at = &h->entries[*at].next;
	*at = h->entries[entry].next;
}

static void
bucket_insert(struct heavy_hitters *h, uint16_t entry)
{
	uint16_t *bucket = bucket_of(h, h->entries[entry].key.hash);

	h->entries[entry].next = *bucket;
	*bucket = entry;
}

static void
heap_put(struct heavy_hitters *h, size_t at, uint16_t entry)
{
	h->heap[at] = entry;
	h->entries[entry].heap_at = (uint16_t)at;
}

static uint64_t
count_at(const struct heavy_hitters *h, size_t at)
{
	return h->entries[h->heap[at]].count;
}

/* Restore the heap's order after the count of the entry at `at` has grown. */
static void
heap_sink(struct heavy_hitters *h, size_t at)
{
	uint16_t entry = h->heap[at];
	uint64_t count = h->entries[entry].count;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < h->used &&
		    count_at(h, child + 1) < count_at(h, child))
			child++;
		if (child >= h->used || count_at(h, child) >= count)
			break;
		heap_put(h, at, h->heap[child]);
		at = child;
	}
	heap_put(h, at, entry);
}

/* Insert an entry whose count is 0, so that it belongs at the heap's root. */
static void
heap_insert(struct heavy_hitters *h, uint16_t entry)
{
	size_t at = h->used++;

	while (at > 0) {
		heap_put(h, at, h->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(h, at, entry);
}

void
heavy_hitters_add(struct heavy_hitters *h, const struct key *key,
                  uint64_t count)
{
	uint16_t i = entry_find(h, key->hash);

	h->total += count;
	if (i == NONE && h->used < h->size) {
		i = (uint16_t)h->used;
		h->entries[i] = (struct heavy_hitter){.key = *key};
		bucket_insert(h, i);
		heap_insert(h, i);
	} else if (i == NONE) {
		i = h->heap[0];
		bucket_remove(h, i);
		h->entries[i].key = *key;
		h->entries[i].error = h->entries[i].count;
		bucket_insert(h, i);
	}
	h->entries[i].count += count;
	heap_sink(h, h->entries[i].heap_at);
}
