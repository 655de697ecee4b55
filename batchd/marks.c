/* marks - see marks.h. */
#include "batchd/marks.h"

/* Marks closer than this are one: they have to last for a while. */
#define APART_US 250

static const struct mark *
mark_at(const struct marks *m, uint64_t n)
{
	return &m->list[n % MARKS_MAX];
}

static uint64_t
oldest(const struct marks *m)
{
	return m->count > MARKS_MAX ? m->count - MARKS_MAX : 0;
}

void
marks_add(struct marks *m, uint64_t from, uint64_t end_offset, uint64_t now_us)
{
	struct mark *newest;

	if (end_offset <= from)
		return;
	if (m->count == 0)
		m->first_offset = from;
	newest = &m->list[(m->count + MARKS_MAX - 1) % MARKS_MAX];
	if (m->count > 0 && now_us - newest->at_us < APART_US) {
		newest->end_offset = end_offset;
		return;
	}
	if (m->count >= MARKS_MAX)
		m->first_offset = mark_at(m, m->count)->end_offset;
	m->list[m->count % MARKS_MAX] = (struct mark){end_offset, now_us};
	m->count++;
}

/* The mark of the event at `offset`; m->count when there is none. */
static uint64_t
find(const struct marks *m, uint64_t offset)
{
	uint64_t low = oldest(m), high = m->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (mark_at(m, middle)->end_offset > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void
marks_count(const struct marks *m, uint64_t from, uint64_t to, uint64_t now_us,
            uint64_t older_us, struct histogram *h)
{
	uint64_t known = m->count > 0 ? m->first_offset : to;

	if (from < known && from < to) {
		uint64_t end = known < to ? known : to;

		histogram_add(h, older_us, end - from);
		from = end;
	}
	for (uint64_t n = find(m, from); from < to && n < m->count; n++) {
		const struct mark *mark = mark_at(m, n);
		uint64_t end = mark->end_offset < to ? mark->end_offset : to;

		histogram_add(h, now_us - mark->at_us, end - from);
		from = end;
	}
}
