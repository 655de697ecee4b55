/* ranges - see ranges.h. */
#include "libbase/ranges.h"

#include <assert.h>
#include <string.h>

const struct range *
ranges_last(const struct ranges *r)
{
	return r->n > 0 ? &r->at[r->n - 1] : NULL;
}

void
ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
	struct range *last = r->n > 0 ? &r->at[r->n - 1] : NULL;

	assert(!last || from >= last->to);
	if (from >= to)
		return;
	if (last && last->to == from && last->count == last->to - last->from) {
		last->to = to;
		last->count += to - from;
		return;
	}
	if (r->n == RANGES_MAX) {
		r->at[1].from = r->at[0].from;
		r->at[1].count += r->at[0].count;
		r->n--;
		memmove(r->at, r->at + 1, r->n * sizeof r->at[0]);
	}
	r->at[r->n++] = (struct range){from, to, to - from};
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
