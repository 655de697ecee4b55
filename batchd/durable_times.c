/* durable_times - see durable_times.h. */
#include "batchd/durable_times.h"

/*
 * Times closer together than this share an entry, so that the entries reach far
 * enough into the past.
 */
#define APART_US 250

static const struct durable_time *
durable_time_at(const struct durable_times *m, uint64_t n)
{
	return &m->list[n % DURABLE_TIMES_MAX];
}

void
durable_times_add(struct durable_times *m, uint64_t from, uint64_t end_offset,
                  uint64_t now_us)
{
	struct durable_time *newest;

	if (end_offset <= from)
		return;
	if (m->count == 0)
		m->first_offset = from;
	newest =
	    &m->list[(m->count + DURABLE_TIMES_MAX - 1) % DURABLE_TIMES_MAX];
	if (m->count > 0 && now_us - newest->at_us < APART_US) {
		newest->end_offset = end_offset;
		return;
	}
	if (m->count >= DURABLE_TIMES_MAX)
		m->first_offset = durable_time_at(m, m->count)->end_offset;
	m->list[m->count % DURABLE_TIMES_MAX] =
	    (struct durable_time){end_offset, now_us};
	m->count++;
}

/* The entry of the event at `offset`, or m->count when it has none. */
static uint64_t
durable_times_find(const struct durable_times *m, uint64_t offset)
{
	uint64_t high = m->count;
	uint64_t low = high > DURABLE_TIMES_MAX ? high - DURABLE_TIMES_MAX : 0;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (durable_time_at(m, middle)->end_offset > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void
durable_times_count(const struct durable_times *m, uint64_t from, uint64_t to,
                    uint64_t now_us, uint64_t older_us, struct histogram *h)
{
	uint64_t known = m->count > 0 ? m->first_offset : to;

	if (from < known && from < to) {
		uint64_t end = known < to ? known : to;

		histogram_add(h, older_us, end - from);
		from = end;
	}
	for (uint64_t n = durable_times_find(m, from);
	     from < to && n < m->count; n++) {
		const struct durable_time *time = durable_time_at(m, n);
		uint64_t end = time->end_offset < to ? time->end_offset : to;

		histogram_add(h, now_us - time->at_us, end - from);
		from = end;
	}
}
