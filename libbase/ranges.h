/*
 * ranges - a short list of ranges of offsets, each with the number of its
 * offsets that count.
 *
 * The list is sorted, and its ranges do not overlap.  Its length is bounded:
 * when it is full, the two lowest ranges become one, whose count is exact but
 * which no longer shows where in it the offsets are.  So forgetting a part
 * of such a range is approximate; the newer ranges are exact.
 */
#ifndef LIBBASE_RANGES_H
#define LIBBASE_RANGES_H

#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX 32

struct range {
	uint64_t from, to; /* from < to */
	uint64_t count;    /* 1 to to - from */
};

/* All zero is the empty list. */
struct ranges {
	struct range at[RANGES_MAX];
	size_t n;
};

/*
 * Add from..to, of which all offsets count.  Does nothing if it is empty.  It
 * must not begin below the end of the last range.
 */
void ranges_add(struct ranges *r, uint64_t from, uint64_t to);

/*
 * Add one offset, anywhere.  Does nothing if it counts already, as far as that
 * is known: in a range that was joined it is taken for another one.
 */
void ranges_insert(struct ranges *r, uint64_t offset);

/* Forget the offsets from `from` on. */
void ranges_cut(struct ranges *r, uint64_t from);

/* `n` offsets of the last range do not count, or all if it has fewer. */
void ranges_uncount(struct ranges *r, uint64_t n);

/* Return how many of the offsets below `to` count. */
uint64_t ranges_count(const struct ranges *r, uint64_t to);

/* Return the last range, or NULL. */
const struct range *ranges_last(const struct ranges *r);

#endif
