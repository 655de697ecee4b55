/* series - see series.h. */
#include "sinkd-dashboard/series.h"

#include <string.h>

/* Clear the slot of a second that begins. */
static void
second_begin(struct series *s, uint64_t second)
{
	size_t at = series_at(second);

	s->points[at] = (struct series_point){0};
	for (int i = 0; i < SERIES_TYPES; i++) {
		struct series_type *t = &s->types[i];

		t->sum -= t->counts[at];
		t->counts[at] = 0;
	}
}

void
series_advance(struct series *s, uint64_t second)
{
	if (second <= s->second)
		return;
	if (second - s->second > SERIES_SECONDS)
		s->second = second - SERIES_SECONDS;
	while (s->second < second)
		second_begin(s, ++s->second);
}

void
series_add(struct series *s, uint64_t events, uint64_t bytes)
{
	s->points[series_at(s->second)].events += events;
	s->points[series_at(s->second)].bytes += bytes;
}

static struct series_type *
type_find(struct series *s, uint64_t hash)
{
	for (int i = 0; i < SERIES_TYPES; i++) {
		if (s->types[i].used && s->types[i].key.hash == hash)
			return &s->types[i];
	}
	return NULL;
}

/* Return a row that is not used, or that has no events any more, or NULL. */
static struct series_type *
type_free(struct series *s)
{
	for (int i = 0; i < SERIES_TYPES; i++) {
		if (!s->types[i].used || s->types[i].sum == 0)
			return &s->types[i];
	}
	return NULL;
}

static void
type_begin(struct series_type *t, const struct key *key)
{
	memset(t, 0, sizeof *t);
	t->used = true;
	t->key = *key;
}

void
series_read(struct series *s, const struct key *type)
{
	struct series_type *t = type_find(s, type->hash);
	size_t at = series_at(s->second);

	s->points[at].read++;
	if (!t && (t = type_free(s)))
		type_begin(t, type);
	if (t) {
		t->counts[at]++;
		t->sum++;
	}
}

void
series_spread_read(struct series *s, uint64_t first)
{
	uint64_t count = s->second - first + 1;
	uint64_t read = s->points[series_at(first)].read;

	for (uint64_t i = 0; i < count; i++)
		s->points[series_at(first + i)].read =
		    series_part(read, i, count);
	for (int row = 0; row < SERIES_TYPES; row++) {
		struct series_type *t = &s->types[row];
		uint64_t n = t->counts[series_at(first)];

		for (uint64_t i = 0; i < count; i++)
			t->counts[series_at(first + i)] =
			    (uint32_t)series_part(n, i, count);
	}
}

void
series_promote(struct series *s, const struct key *type, uint64_t count)
{
	struct series_type *least = &s->types[0];

	if (type_find(s, type->hash))
		return;
	for (int i = 1; i < SERIES_TYPES; i++) {
		if (s->types[i].sum < least->sum)
			least = &s->types[i];
	}
	if (least->sum < count)
		type_begin(least, type);
}
