/*
 * gen - the events of the benchmarks: JSON texts of about 300 bytes.
 *
 * Events differ in id, user, number and time, at fixed places.  The rest of the
 * text is one of a few shapes.  So gen_place writes a request's body once, and
 * for each request gen_patch only changes these places, which takes about 100
 * ns for an event.  An event's id depends only on the seed and the number, so
 * that the ids of a run can be generated again without storing them.
 */
#ifndef BENCH_GEN_H
#define BENCH_GEN_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/clock.h"

#define GEN_SHAPES 8
#define GEN_PREFIX_MAX 64 /* bytes of an id prefix */
#define GEN_ID_MAX 80     /* bytes of an id, no NUL */
#define GEN_TEXT_MAX 512  /* bytes of an event */
#define GEN_SENT_DIGITS 16

/* Where a field is in an event's text. */
struct gen_place {
	uint16_t at;
	uint16_t bytes; /* 0: the event has none */
};

struct gen_shape {
	char text[GEN_TEXT_MAX];
	uint16_t bytes;
	struct gen_place id, type, user, payload, sent_us, number, created_at;
};

struct gen {
	uint64_t seed;
	char prefix[GEN_PREFIX_MAX + 1];
	size_t id_bytes;
	struct gen_shape shapes[GEN_SHAPES];
};

/* The time at which an event should be sent, in the two forms of the text. */
struct gen_time {
	char created_at[CLOCK_TEXT_BYTES + 1];
	char sent_us[GEN_SENT_DIGITS];
};

/*
 * Choose the form of the ids.  With an empty prefix they are UUIDs made from
 * the seed and the number.  Otherwise they are the prefix and the number in 12
 * digits.  Returns 0, or -EINVAL if the prefix is too long or has a character
 * other than [A-Za-z0-9_.:-].
 */
MUST_USE int gen_init(struct gen *g, uint64_t seed, const char *prefix);

/* Format wall_us.  Its 16 digits are enough for the years 2001 to 2286. */
void gen_time_set(struct gen_time *t, int64_t wall_us);

/* Write an event's fixed text to out.  Returns the place after it. */
char *gen_place(const struct gen *g, unsigned shape, char *out);

/*
 * Fill in event `number` at time `t`, in a text that gen_place wrote for
 * `shape`.
 */
void gen_patch(const struct gen *g, unsigned shape, char *text, uint64_t number,
               const struct gen_time *t);

/* Write the id of event `number`.  It has g->id_bytes and no NUL. */
void gen_id(const struct gen *g, uint64_t number, char *out);

#endif
