/*
 * bare - what the stores' bare clients share: the benchmarks' events as rows
 * in the store's own form, made in memory before the clock starts, then sent
 * batch after batch while it runs.
 *
 * Errors are said on standard error where they are met.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/gen.h"
#include "libbase/base.h"
#include "libbase/buf.h"

/* From the command line. */
struct bare_options {
	const char *to;    /* the server, as its client names it */
	const char *table; /* letters, digits, '_', '.': needs no quoting */
	uint64_t rows, batch_rows, seed;
	bool plain; /* without transactions */
	bool json;
};

/*
 * Read the options.  Returns 0; else the program ends with the status, which
 * is 2 for a wrong option.
 */
int bare_options_read(struct bare_options *o, const char *program, int argc,
                      char **argv, int *status);

/* One event; all point into `text`, valid until the next row. */
struct bare_row {
	const char *text; /* the event's JSON text */
	size_t text_bytes;
	const char *id, *type, *user, *payload;
	size_t id_bytes, type_bytes, user_bytes, payload_bytes; /* user: or 0 */
	const char *created_at; /* the time as text, CLOCK_TEXT_BYTES */
	int64_t wall_us;
	uint64_t number;
};

/* How a store's rows look.  Each returns 0 or -errno. */
struct bare_form {
	int (*begin)(struct buf *b); /* of a batch; may be NULL */
	int (*row)(struct buf *b, const struct bare_row *row, void *arg);
	int (*end)(struct buf *b); /* may be NULL */
	void *arg;
};

/* Rows, cut into batches. */
struct bare_rows {
	struct buf bytes;
	size_t *ends; /* owned: of each batch, in bytes */
	size_t batches;
};

/* Make all rows.  Returns 0 or -errno; bare_rows_free in both cases. */
MUST_USE int bare_rows_make(struct bare_rows *r, const struct bare_options *o,
                            const struct bare_form *form);
void bare_rows_free(struct bare_rows *r);

/*
 * Send batch after batch, then finish (may be NULL), and print rows a second
 * and the time of a batch.  Returns 0, or what send or finish returned.
 */
MUST_USE int bare_run(const struct bare_options *o, const struct bare_rows *r,
                      int (*send)(void *arg, const uint8_t *bytes, size_t len),
                      int (*finish)(void *arg), void *arg);

#endif
