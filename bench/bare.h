/*
 * bare - what the bare clients of the stores share.
 *
 * A bare client shows what a store can do without leat.  It builds the
 * benchmarks' events as rows in the store's own format before the clock starts.
 * Then it sends them batch by batch while the clock runs.
 *
 * Errors are reported on standard error where they occur.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/gen.h"
#include "libbase/base.h"
#include "libbase/buf.h"

/* Options of the command line. */
struct bare_options {
	const char *to;    /* the server, in its client's notation */
	const char *table; /* letters, digits, '_', '.': needs no quotes */
	uint64_t rows, batch_rows, seed;
	bool plain; /* without transactions */
	bool json;
};

/*
 * Read the options.  Returns 0.  Otherwise the program must exit with *status,
 * which is 2 for an invalid option.
 */
int bare_options_read(struct bare_options *o, const char *program, int argc,
                      char **argv, int *status);

/*
 * One event.  All pointers point into `text` and are valid until the next row.
 */
struct bare_row {
	const char *text; /* the event's JSON text */
	size_t text_bytes;
	const char *id, *type, *user, *payload;
	/* user_bytes is 0 without a user */
	size_t id_bytes, type_bytes, user_bytes, payload_bytes;
	const char *created_at; /* the time as text, CLOCK_TEXT_BYTES */
	int64_t wall_us;
	uint64_t number;
};

/* The format of a store's rows.  Each function returns 0 or -errno. */
struct bare_form {
	int (*begin)(struct buf *b); /* begins a batch; may be NULL */
	int (*row)(struct buf *b, const struct bare_row *row, void *arg);
	int (*end)(struct buf *b); /* ends a batch; may be NULL */
	void *arg;
};

/* Rows, divided into batches. */
struct bare_rows {
	struct buf bytes;
	size_t *ends; /* owned: where each batch ends, in bytes */
	size_t batches;
};

/* Build all rows.  Returns 0 or -errno.  Call bare_rows_free in both cases. */
MUST_USE int bare_rows_make(struct bare_rows *r, const struct bare_options *o,
                            const struct bare_form *form);
void bare_rows_free(struct bare_rows *r);

/*
 * Send batch by batch and then call finish, which may be NULL.  Print the rows
 * per second and the time of a batch.  Returns 0, or what send or finish
 * returned.
 */
MUST_USE int bare_run(const struct bare_options *o, const struct bare_rows *r,
                      int (*send)(void *arg, const uint8_t *bytes, size_t len),
                      int (*finish)(void *arg), void *arg);

#endif
