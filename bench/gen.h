/*
 * gen - the benchmarks' events: JSON texts of about 300 bytes.
 *
 * Events differ in id, user, number and time, at fixed places; the rest of
 * the text is one of a few shapes.  So a request's body is laid out once
 * (gen_place) and each sending only patches it (gen_patch): about 100 ns an
 * event.  An event's id depends on seed and number alone: what was sent can
 * be said again without keeping it.
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

/* A field's place in an event's text. */
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

/* The moment an event is meant to be sent, as its two texts. */
struct gen_time {
	char created_at[CLOCK_TEXT_BYTES + 1];
	char sent_us[GEN_SENT_DIGITS];
};

/*
 * Ids are UUIDs made from seed and number; with a prefix (not empty) they
 * are the prefix and the number in 12 digits.  Returns 0, or -EINVAL when
 * the prefix is too long or has other than [A-Za-z0-9_.:-].
 */
MUST_USE int gen_init(struct gen *g, uint64_t seed, const char *prefix);

/* The texts of wall_us (16 digits: the years 2001 to 2286). */
void gen_time_set(struct gen_time *t, int64_t wall_us);

/* Write an event's fixed text to out; returns the place after it. */
char *gen_place(const struct gen *g, unsigned shape, char *out);

/* Make the event at `text`, placed as `shape`, event `number` of `t`. */
void gen_patch(const struct gen *g, unsigned shape, char *text, uint64_t number,
               const struct gen_time *t);

/* Write the id of event `number`, g->id_bytes long, without NUL. */
void gen_id(const struct gen *g, uint64_t number, char *out);

#endif
