/* bare - see bare.h. */
#include "bench/bare.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/hist.h"

#define ROWS_MAX 20000000
#define ROW_BYTES_MAX (2 * GEN_TEXT_MAX)

static const char usage[] =
    "usage: %s [option value]...\n"
    "  --to TEXT        the server, in its client's notation\n"
    "  --table NAME     table or topic; default events\n"
    "  --rows N         rows to write; default 1000000\n"
    "  --batch-rows N   rows of one transaction or INSERT; default 10000\n"
    "  --seed N         seed of the ids; default 1\n"
    "  --plain          without transactions, if the store has a choice\n"
    "  --json           print the result as one JSON object\n";

static bool
bare_number(const char *program, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(optarg, &end, 10);
	if (errno == 0 && *end == '\0' && *optarg >= '0' && *optarg <= '9' &&
	    value >= min && value <= max) {
		*out = value;
		return true;
	}
	fprintf(stderr, "%s: %s: want %" PRIu64 " to %" PRIu64 "\n", program,
	        optarg, min, max);
	return false;
}

static bool
plain_name(const char *program, const char *text)
{
	if (strlen(text) <= 128 &&
	    text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.")] ==
	        '\0')
		return true;
	fprintf(stderr, "%s: %s: must be of a-z, 0-9, '_' and '.'\n", program,
	        text);
	return false;
}

/* Read one option.  Returns false if it is invalid. */
static bool
bare_take_option(struct bare_options *o, const char *program, int option)
{
	switch (option) {
	case 't':
		o->to = optarg;
		return true;
	case 'T':
		o->table = optarg;
		return plain_name(program, optarg);
	case 'r':
		return bare_number(program, 1, ROWS_MAX, &o->rows);
	case 'n':
		return bare_number(program, 1, ROWS_MAX, &o->batch_rows);
	case 's':
		return bare_number(program, 0, UINT64_MAX, &o->seed);
	case 'p':
		o->plain = true;
		return true;
	case 'j':
		o->json = true;
		return true;
	default:
		return false;
	}
}

int
bare_options_read(struct bare_options *o, const char *program, int argc,
                  char **argv, int *status)
{
	static const struct option options[] = {
	    {"to", required_argument, NULL, 't'},
	    {"table", required_argument, NULL, 'T'},
	    {"rows", required_argument, NULL, 'r'},
	    {"batch-rows", required_argument, NULL, 'n'},
	    {"seed", required_argument, NULL, 's'},
	    {"plain", no_argument, NULL, 'p'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	*o = (struct bare_options){.to = "",
	                           .table = "events",
	                           .rows = 1000000,
	                           .batch_rows = 10000,
	                           .seed = 1};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (bare_take_option(o, program, option))
			continue;
		*status = option == 'h' ? EXIT_SUCCESS : 2;
		fprintf(option == 'h' ? stdout : stderr, usage, program);
		return -EINVAL;
	}
	return 0;
}

static void
make_row(struct bare_row *row, const struct gen *g, uint64_t n, int64_t wall_us,
         char text[GEN_TEXT_MAX])
{
	const struct gen_shape *s = &g->shapes[n % GEN_SHAPES];
	unsigned shape = (unsigned)(n % GEN_SHAPES);
	struct gen_time t;
	char *end = gen_place(g, shape, text);

	gen_time_set(&t, wall_us);
	gen_patch(g, shape, text, n, &t);
	*row = (struct bare_row){.text = text,
	                         .text_bytes = (size_t)(end - text),
	                         .id = text + s->id.at,
	                         .id_bytes = s->id.bytes,
	                         .type = text + s->type.at,
	                         .type_bytes = s->type.bytes,
	                         .user = text + s->user.at,
	                         .user_bytes = s->user.bytes,
	                         .payload = text + s->payload.at,
	                         .payload_bytes = s->payload.bytes,
	                         .created_at = text + s->created_at.at,
	                         .wall_us = wall_us,
	                         .number = n};
}

int
bare_rows_make(struct bare_rows *r, const struct bare_options *o,
               const struct bare_form *form)
{
	int64_t wall_us = clock_wall_us();
	uint64_t n = o->batch_rows;
	char text[GEN_TEXT_MAX];
	struct gen g;
	int rc = gen_init(&g, o->seed, "");

	*r = (struct bare_rows){0};
	buf_init(&r->bytes, (size_t)o->rows * ROW_BYTES_MAX);
	r->ends = calloc((size_t)(o->rows / n + 1), sizeof *r->ends);
	if (!r->ends)
		rc = -ENOMEM;
	for (uint64_t i = 0; rc == 0 && i < o->rows; i++) {
		struct bare_row row;

		make_row(&row, &g, i, wall_us + (int64_t)i, text);
		if (i % n == 0 && form->begin)
			rc = form->begin(&r->bytes);
		if (rc == 0)
			rc = form->row(&r->bytes, &row, form->arg);
		if (rc < 0 || (i % n != n - 1 && i != o->rows - 1))
			continue;
		if (form->end)
			rc = form->end(&r->bytes);
		r->ends[r->batches++] = r->bytes.len;
	}
	if (rc < 0)
		fprintf(stderr, "rows: %s\n", strerror(-rc));
	return rc;
}

void
bare_rows_free(struct bare_rows *r)
{
	free(r->ends);
	r->ends = NULL;
	buf_fini(&r->bytes);
}

static uint64_t
bare_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail on Linux */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int
bare_run(const struct bare_options *o, const struct bare_rows *r,
         int (*send)(void *arg, const uint8_t *bytes, size_t len),
         int (*finish)(void *arg), void *arg)
{
	static struct hist times;
	uint64_t start = bare_now_us(), before, us;
	size_t at = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->batches; i++) {
		before = bare_now_us();
		rc = send(arg, r->bytes.data + at, r->ends[i] - at);
		at = r->ends[i];
		hist_add(&times, bare_now_us() - before);
	}
	if (rc == 0 && finish)
		rc = finish(arg);
	us = bare_now_us() - start;
	if (rc < 0)
		return rc;
	printf(o->json ? "{\"rows\":%" PRIu64 ",\"seconds\":%.6f,"
	                 "\"rows_per_s\":%.1f,\"batch_us\":{\"p50\":%" PRIu64
	                 ",\"p99\":%" PRIu64 "}}\n"
	               : "%" PRIu64 " rows in %.2f s: %.0f rows/s; a "
	                 "batch: P50 %" PRIu64 " us, P99 %" PRIu64 " us\n",
	       o->rows, (double)us / 1e6, (double)o->rows * 1e6 / (double)us,
	       hist_quantile(&times, 0.5), hist_quantile(&times, 0.99));
	return 0;
}
