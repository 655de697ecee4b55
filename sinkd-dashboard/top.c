/* top - see top.h. */
#include "sinkd-dashboard/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One key in the table of one minute. */
struct top_part {
	const struct heavy_hitter *entry;
	uint64_t lowest; /* the most that the table can have missed of a key */
};

static size_t
slot_of(uint64_t minute)
{
	return minute % TOP_MINUTES;
}

int
top_init(struct top *t, size_t size, uint64_t minute)
{
	*t = (struct top){.minute = minute};
	t->parts = calloc(TOP_MINUTES * size, sizeof *t->parts);
	if (!t->parts)
		return -ENOMEM;
	for (int i = 0; i < TOP_MINUTES; i++) {
		int rc = heavy_hitters_init(&t->minutes[i], size);

		if (rc < 0)
			return rc;
	}
	return 0;
}

void
top_fini(struct top *t)
{
	for (int i = 0; i < TOP_MINUTES; i++)
		heavy_hitters_fini(&t->minutes[i]);
	free(t->parts);
	t->parts = NULL;
}

void
top_advance(struct top *t, uint64_t minute)
{
	if (minute <= t->minute)
		return;
	if (minute - t->minute > TOP_MINUTES)
		t->minute = minute - TOP_MINUTES;
	while (t->minute < minute) {
		size_t slot = slot_of(++t->minute);

		heavy_hitters_clear(&t->minutes[slot]);
		t->distinct[slot] = (struct distinct){0};
	}
}

void
top_add(struct top *t, const struct key *key)
{
	size_t slot = slot_of(t->minute);

	heavy_hitters_add(&t->minutes[slot], key, 1);
	distinct_add(&t->distinct[slot], key->hash);
}

static uint64_t
lowest_count(const struct heavy_hitters *h)
{
	return h->used < h->size ? 0 : h->entries[h->heap[0]].count;
}

static int
by_hash(const void *a, const void *b)
{
	uint64_t x = ((const struct top_part *)a)->entry->key.hash;
	uint64_t y = ((const struct top_part *)b)->entry->key.hash;

	return (x > y) - (x < y);
}

/* Keep `out` in descending order of count, its `used` entries of `size`. */
static size_t
keep_highest(struct top_entry *out, size_t used, size_t size,
             struct top_entry entry)
{
	size_t at;

	if (used < size)
		used++;
	else if (size == 0 || out[size - 1].count >= entry.count)
		return used;
	for (at = used - 1; at > 0 && out[at - 1].count < entry.count; at--)
		out[at] = out[at - 1];
	out[at] = entry;
	return used;
}

size_t
top_read(struct top *t, struct top_entry *out, size_t count)
{
	uint64_t lowest_sum = 0;
	size_t parts = 0;
	size_t used = 0;

	for (int m = 0; m < TOP_MINUTES; m++) {
		const struct heavy_hitters *h = &t->minutes[m];
		uint64_t lowest = lowest_count(h);

		lowest_sum += lowest;
		for (size_t i = 0; i < h->used; i++)
			t->parts[parts++] =
			    (struct top_part){&h->entries[i], lowest};
	}
	/* Sorted by hash, the parts of one key are next to each other. */
	qsort(t->parts, parts, sizeof *t->parts, by_hash);
	for (size_t i = 0; i < parts;) {
		const struct key *key = &t->parts[i].entry->key;
		struct top_entry sum = {.key = key, .error = lowest_sum};

		for (; i < parts && t->parts[i].entry->key.hash == key->hash;
		     i++) {
			sum.count += t->parts[i].entry->count;
			/* In this minute the table knows better. */
			sum.error += t->parts[i].entry->error;
			sum.error -= t->parts[i].lowest;
		}
		used = keep_highest(out, used, count, sum);
	}
	return used;
}

double
top_distinct(const struct top *t)
{
	struct distinct all = {0};

	for (int m = 0; m < TOP_MINUTES; m++)
		distinct_merge(&all, &t->distinct[m]);
	return distinct_estimate(&all);
}
