/* bisection - see bisection.h. */
#include "libsink/bisection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void
bisection_init(struct bisection *b, const struct batch *whole)
{
	*b = (struct bisection){.whole = whole, .position = whole->position};
	if (whole->count > 0)
		bisection_push(b, whole->count);
}

void
bisection_fini(struct bisection *b)
{
	free(b->left_out);
	free(b->events);
	free(b->origins);
	b->left_out = NULL;
	b->events = NULL;
	b->origins = NULL;
}

bool
bisection_done(const struct bisection *b)
{
	return b->low == b->whole->count &&
	       b->position == b->whole->next_offset;
}

size_t
bisection_end(const struct bisection *b)
{
	return b->depth > 0 ? b->pieces[b->depth - 1].end : b->whole->count;
}

size_t
bisection_index(const struct bisection *b, size_t nth)
{
	size_t i = b->low;

	while (bisection_is_left_out(b, i) || nth-- > 0)
		i++;
	return i;
}

void
bisection_push(struct bisection *b, size_t end)
{
	bool no_probe = b->depth > 0 && b->pieces[b->depth - 1].no_probe;

	assert(b->depth < BISECTION_DEPTH_MAX);
	b->pieces[b->depth++] = (struct bisection_piece){end, no_probe};
}

void
bisection_pass(struct bisection *b)
{
	b->low = bisection_end(b);
	if (b->depth > 0)
		b->depth--;
}

/*
 * A hint is followed only if each hint before it has led to an event that the
 * store refused.  So a store that names the wrong events costs a few writes for
 * each bad event, and halving finds that event as it does without hints.
 */
size_t
bisection_split(struct bisection *b, size_t count, size_t bad_event,
                size_t at[2])
{
	size_t end = bisection_end(b), bad;

	if (b->hints > b->refused || bad_event < 1 || bad_event > count) {
		at[0] = bisection_index(b, count / 2);
		bisection_push(b, at[0]);
		return 1;
	}
	b->hints++;
	bad = bisection_index(b, bad_event - 1);
	at[0] = bad;
	at[1] = bad + 1;
	if (bad + 1 < end)
		bisection_push(b, bad + 1);
	if (bad > b->low)
		bisection_push(b, bad);
	return 2;
}

int
bisection_leave_out_begin(struct bisection *b)
{
	size_t count = b->whole->count;

	if (b->left_out)
		return 0;
	b->left_out = calloc(count, sizeof *b->left_out);
	b->events = calloc(count, sizeof *b->events);
	b->origins = calloc(count, sizeof *b->origins);
	if (b->left_out && b->events && b->origins)
		return 0;
	bisection_fini(b);
	return -ENOMEM;
}

void
bisection_leave_out(struct bisection *b, size_t index)
{
	b->left_out[index] = true;
}

bool
bisection_is_left_out(const struct bisection *b, size_t index)
{
	return b->left_out && b->left_out[index];
}

void
bisection_skip_left_out(struct bisection *b)
{
	while (b->depth > 0 && bisection_is_left_out(b, b->low)) {
		b->low++;
		if (b->low == bisection_end(b))
			b->depth--;
	}
}

struct origin
batch_origin(const struct batch *batch, size_t i)
{
	if (batch->origins)
		return batch->origins[i];
	return (struct origin){slice_of(batch->stream), batch->offset + i};
}

/* Copy the events of the piece that are written, if some are left out. */
static void
copy_written(struct bisection *b, struct batch *piece, size_t end)
{
	size_t n = 0;

	for (size_t i = b->low; i < end; i++) {
		if (b->left_out[i])
			continue;
		b->events[n] = b->whole->events[i];
		b->origins[n++] = batch_origin(b->whole, i);
	}
	if (n == piece->count)
		return; /* they are contiguous in the batch */
	piece->events = b->events;
	piece->origins = b->origins;
	piece->count = n;
}

struct batch
bisection_next(struct bisection *b)
{
	const struct batch *whole = b->whole;
	size_t end = bisection_end(b);
	struct batch piece = {
	    .stream = whole->stream,
	    .generation = whole->generation,
	    .position = b->position,
	    .offset = whole->offset + b->low,
	    .next_offset =
		end == whole->count ? whole->next_offset : whole->offset + end,
	    .events = whole->events + b->low,
	    .count = end - b->low,
	    .origins = whole->origins ? whole->origins + b->low : NULL};

	if (b->left_out)
		copy_written(b, &piece, end);
	return piece;
}
