/*
 * budget - a limit on the bytes that everything which shares the budget may
 * hold together (invariant I12).
 */
#ifndef LIBBASE_BUDGET_H
#define LIBBASE_BUDGET_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
	size_t max_bytes;
	size_t used_bytes;
};

static inline size_t
budget_left(const struct budget *b)
{
	return b->max_bytes - b->used_bytes;
}

/* Take n bytes.  Returns false, and takes nothing, if fewer are left. */
static inline bool
budget_take(struct budget *b, size_t n)
{
	if (n > budget_left(b))
		return false;
	b->used_bytes += n;
	return true;
}

static inline void
budget_give(struct budget *b, size_t n)
{
	assert(n <= b->used_bytes);
	b->used_bytes -= n;
}

#endif
