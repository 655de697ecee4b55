/* store_state - see store_state.h. */
#include "batchd/store_state.h"

#include <errno.h>
#include <stdlib.h>

/*
 * The oldest segment, or NULL.  One that is being deleted no longer counts: a
 * reader that does not have it open could not open it any more.
 */
static const struct segment_info *
oldest_segment(const struct store *s)
{
	size_t gone = s->retention_running ? s->retention.doomed_count : 0;

	return s->segment_count > gone ? &s->segments[gone] : NULL;
}

uint64_t
store_first_offset(const struct store *s)
{
	const struct segment_info *oldest = oldest_segment(s);

	return oldest ? oldest->first_offset : s->next_offset;
}

int64_t
store_oldest_us(const struct store *s)
{
	const struct segment_info *oldest = oldest_segment(s);

	return oldest ? oldest->created_us : 0;
}

/* The bytes used in segment i.  Sets *end_offset to where its events end. */
static uint64_t
segment_used(const struct store *s, size_t i, uint64_t *end_offset)
{
	bool last = i + 1 == s->segment_count;
	/* During a roll, end_bytes is of a segment that is not listed yet. */
	bool rolling = s->filling->roll || (s->writing && s->writing->roll);

	*end_offset = last ? s->next_offset : s->segments[i + 1].first_offset;
	return last && !rolling ? s->end_bytes : s->segments[i].bytes;
}

uint64_t
store_bytes_from(const struct store *s, uint64_t offset)
{
	uint64_t bytes = 0;

	for (size_t i = s->segment_count; i-- > 0;) {
		uint64_t first = s->segments[i].first_offset, end;
		uint64_t used = segment_used(s, i, &end);

		if (offset >= end)
			continue; /* no event of this segment counts */
		if (offset <= first) {
			bytes += used;
			continue;
		}
		bytes += (uint64_t)((double)used * (double)(end - offset) /
		                    (double)(end - first));
		break;
	}
	return bytes;
}

int
store_add_segment(struct store *s, const struct segment_info *one)
{
	size_t cap = s->segment_cap ? 2 * s->segment_cap : 64;
	struct segment_info *more;

	if (s->segment_count == s->segment_cap) {
		more = realloc(s->segments, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		s->segments = more;
		s->segment_cap = cap;
	}
	s->segments[s->segment_count++] = *one;
	return 0;
}

size_t
store_find(const struct store *s, uint64_t offset)
{
	size_t low = 0, high = s->segment_count;

	/* Find the last segment that does not start above offset. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->segments[middle].first_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? s->segment_count : low - 1;
}

uint64_t
store_previous_first(const struct store *s, size_t i)
{
	return i > 0 ? s->segments[i - 1].first_offset : SEGMENT_NO_PREVIOUS;
}
