/* ranges - see ranges.h. */
#include "libbase/ranges.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

const struct range *
ranges_last(const struct ranges *r)
{
	return r->n > 0 ? &r->at[r->n - 1] : NULL;
}

/* All of its offsets count. */
static bool
is_exact(const struct range *one)
{
	return one->count == one->to - one->from;
}

/* If the list is full, join the two lowest ranges, and return true. */
static bool
make_room(struct ranges *r)
{
	if (r->n < RANGES_MAX)
		return false;
	r->at[1].from = r->at[0].from;
	r->at[1].count += r->at[0].count;
	r->n--;
	memmove(r->at, r->at + 1, r->n * sizeof r->at[0]);
	return true;
}

void
ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
	struct range *last = r->n > 0 ? &r->at[r->n - 1] : NULL;

	assert(!last || from >= last->to);
	if (from >= to)
		return;
	if (last && last->to == from && is_exact(last)) {
		last->to = to;
		last->count += to - from;
		return;
	}
	make_room(r);
	r->at[r->n++] = (struct range){from, to, to - from};
}

/* Return the index of the first range that ends after the offset, or r->n. */
static size_t
find_range(const struct ranges *r, uint64_t offset)
{
	size_t i = r->n;

	while (i > 0 && r->at[i - 1].to > offset)
		i--;
	return i;
}

/* Make the offset a part of a range that it is in, or next to. */
static bool
insert_into(struct ranges *r, size_t i, uint64_t offset)
{
	struct range *low = i > 0 ? &r->at[i - 1] : NULL;
	struct range *high = i < r->n ? &r->at[i] : NULL;

	if (high && high->from <= offset) {
		high->count += !is_exact(high);
	} else if (low && low->to == offset && is_exact(low)) {
		low->to++;
		low->count++;
	} else if (high && high->from == offset + 1 && is_exact(high)) {
		high->from--;
		high->count++;
	} else {
		return false;
	}
	return true;
}

void
ranges_insert(struct ranges *r, uint64_t offset)
{
	size_t i = find_range(r, offset);

	if (insert_into(r, i, offset))
		return;
	if (make_room(r)) {
		i = find_range(r, offset);
		if (insert_into(r, i, offset))
			return;
	}
	memmove(r->at + i + 1, r->at + i, (r->n - i) * sizeof r->at[0]);
	r->at[i] = (struct range){offset, offset + 1, 1};
	r->n++;
}

/* Of a range, how many offsets below `to` count, as far as that is known. */
static uint64_t
count_below(const struct range *one, uint64_t to)
{
	if (to <= one->from)
		return 0;
	return to >= one->to || one->count < to - one->from ? one->count
	                                                    : to - one->from;
}

void
ranges_cut(struct ranges *r, uint64_t from)
{
	while (r->n > 0 && r->at[r->n - 1].from >= from)
		r->n--;
	if (r->n > 0 && r->at[r->n - 1].to > from) {
		struct range *last = &r->at[r->n - 1];

		last->count = count_below(last, from);
		last->to = from;
	}
}

void
ranges_uncount(struct ranges *r, uint64_t n)
{
	struct range *last = r->n > 0 ? &r->at[r->n - 1] : NULL;

	if (last && n < last->count)
		last->count -= n;
	else if (last)
		r->n--;
}

uint64_t
ranges_count(const struct ranges *r, uint64_t to)
{
	uint64_t count = 0;

	for (size_t i = 0; i < r->n; i++)
		count += count_below(&r->at[i], to);
	return count;
}
