/*
 * barecopy - what COPY itself can do: writes the benchmarks' events into a
 * table by binary COPY, N rows a transaction, and prints rows a second.
 *
 * The figure to hold sinkd-postgres against.  All rows are made before the
 * clock starts, so that only libpq and the server are timed.  The connection
 * is as the PG* variables or --conninfo say; the table must exist, with
 * columns named as an event's fields.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/gen.h"
#include "bench/hist.h"
#include "libbase/buf.h"

#define ROWS_MAX 20000000
#define PIECE_BYTES (64 * KIB) /* to libpq at once */
#define COLUMNS 6
#define COLUMN_LIST "id, type, user_id, payload, created_at, received_at"

/* PostgreSQL counts from 2000-01-01. */
#define PG_EPOCH_US INT64_C(946684800000000)

enum pg_type { PG_JSONB = 3802, PG_UUID = 2950, PG_TIMESTAMPTZ = 1184 };

struct settings {
	const char *conninfo, *table;
	uint64_t rows, rows_per_transaction, seed;
	bool json;
};

/* Rows in COPY's binary form, cut into transactions. */
struct rows {
	struct buf bytes;
	size_t *ends; /* owned: of each transaction, in bytes */
	size_t transactions;
};

static int
put_u16(struct buf *b, uint16_t v)
{
	uint16_t be = __builtin_bswap16(v);

	return buf_add(b, &be, sizeof be);
}

static int
put_u32(struct buf *b, uint32_t v)
{
	uint32_t be = __builtin_bswap32(v);

	return buf_add(b, &be, sizeof be);
}

static int
put_u64(struct buf *b, uint64_t v)
{
	uint64_t be = __builtin_bswap64(v);

	return buf_add(b, &be, sizeof be);
}

static int
put_time(struct buf *b, int64_t wall_us)
{
	int rc = put_u32(b, 8);

	return rc < 0 ? rc : put_u64(b, (uint64_t)(wall_us - PG_EPOCH_US));
}

/* A generated id, which is a well-formed UUID, as its 16 bytes. */
static int
put_uuid(struct buf *b, const char *text)
{
	uint8_t bytes[16] = {0};
	size_t n = 0;

	for (; *text != '\0' && n < 2 * sizeof bytes; text++) {
		int digit = *text <= '9' ? *text - '0' : *text - 'a' + 10;

		if (*text == '-')
			continue;
		bytes[n / 2] = (uint8_t)(bytes[n / 2] << 4 | digit);
		n++;
	}
	return put_u32(b, sizeof bytes) < 0 ? -ENOMEM
	                                    : buf_add(b, bytes, sizeof bytes);
}

static int
put_text(struct buf *b, Oid type, const char *text, uint16_t bytes)
{
	static const uint8_t jsonb_version = 1;
	int rc;

	if (bytes == 0)
		return put_u32(b, UINT32_MAX); /* null */
	rc = put_u32(b, type == PG_JSONB ? bytes + 1u : bytes);
	if (rc == 0 && type == PG_JSONB)
		rc = buf_add(b, &jsonb_version, 1);
	return rc < 0 ? rc : buf_add(b, text, bytes);
}

static int
put_row(struct buf *b, const struct gen *g, const Oid types[COLUMNS],
        uint64_t number, int64_t wall_us)
{
	const struct gen_shape *s = &g->shapes[number % GEN_SHAPES];
	char text[GEN_TEXT_MAX];
	struct gen_time t;
	int rc;

	(void)gen_place(g, (unsigned)(number % GEN_SHAPES), text);
	gen_time_set(&t, wall_us);
	gen_patch(g, (unsigned)(number % GEN_SHAPES), text, number, &t);
	rc = put_u16(b, COLUMNS);
	if (rc == 0)
		rc = types[0] == PG_UUID
		         ? put_uuid(b, text + s->id.at)
		         : put_text(b, types[0], text + s->id.at, s->id.bytes);
	if (rc == 0)
		rc = put_text(b, types[1], text + s->type.at, s->type.bytes);
	if (rc == 0)
		rc = put_text(b, types[2], text + s->user.at, s->user.bytes);
	if (rc == 0)
		rc = put_text(b, types[3], text + s->payload.at,
		              s->payload.bytes);
	if (rc == 0)
		rc = put_time(b, wall_us);
	return rc < 0 ? rc : put_time(b, wall_us);
}

static int
make_rows(struct rows *r, const struct settings *s, const Oid types[COLUMNS])
{
	/* Signature, flags and extension length: 19 bytes, NUL included. */
	static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
	uint64_t n = s->rows_per_transaction;
	int64_t wall_us = clock_wall_us();
	struct gen g;
	int rc = gen_init(&g, s->seed, "");

	buf_init(&r->bytes, (size_t)s->rows * GEN_TEXT_MAX);
	r->ends = calloc((size_t)(s->rows / n + 1), sizeof *r->ends);
	if (!r->ends)
		return -ENOMEM;
	for (uint64_t i = 0; rc == 0 && i < s->rows; i++) {
		if (i % n == 0)
			rc = buf_add(&r->bytes, head, sizeof head);
		if (rc == 0)
			rc = put_row(&r->bytes, &g, types, i,
			             wall_us + (int64_t)i);
		if (rc == 0 && (i % n == n - 1 || i == s->rows - 1)) {
			rc = put_u16(&r->bytes, UINT16_MAX);
			r->ends[r->transactions++] = r->bytes.len;
		}
	}
	return rc;
}

/* Says the server's words; for an error that ends the program. */
static int
failed(PGconn *pg, PGresult *result)
{
	fprintf(stderr, "barecopy: %s", PQerrorMessage(pg));
	PQclear(result);
	return -EIO;
}

static int
column_types(PGconn *pg, const char *table, Oid types[COLUMNS])
{
	char sql[300];
	PGresult *result;

	(void)snprintf(sql, sizeof sql,
	               "SELECT " COLUMN_LIST " FROM %s LIMIT 0", table);
	result = PQexec(pg, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return failed(pg, result);
	for (int i = 0; i < COLUMNS; i++)
		types[i] = PQftype(result, i);
	PQclear(result);
	if (types[4] == PG_TIMESTAMPTZ && types[5] == PG_TIMESTAMPTZ)
		return 0;
	fputs("barecopy: the times must be timestamptz\n", stderr);
	return -EINVAL;
}

static int
copy(PGconn *pg, const char *sql, const uint8_t *bytes, size_t len)
{
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) != PGRES_COPY_IN)
		return failed(pg, result);
	PQclear(result);
	while (len > 0) {
		size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;

		if (PQputCopyData(pg, (const char *)bytes, (int)n) != 1)
			return failed(pg, NULL);
		bytes += n;
		len -= n;
	}
	if (PQputCopyEnd(pg, NULL) != 1)
		return failed(pg, NULL);
	while ((result = PQgetResult(pg))) {
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			return failed(pg, result);
		PQclear(result);
	}
	return 0;
}

static uint64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail on Linux */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int
copy_all(PGconn *pg, const struct settings *s, const struct rows *r)
{
	static struct hist times;
	uint64_t start = now_us(), before, us;
	size_t at = 0;
	char sql[300];
	int rc = 0;

	(void)snprintf(sql, sizeof sql,
	               "COPY %s (" COLUMN_LIST ") FROM STDIN (FORMAT binary)",
	               s->table);
	for (size_t i = 0; rc == 0 && i < r->transactions; i++) {
		before = now_us();
		rc = copy(pg, sql, r->bytes.data + at, r->ends[i] - at);
		at = r->ends[i];
		hist_add(&times, now_us() - before);
	}
	us = now_us() - start;
	if (rc < 0)
		return rc;
	printf(s->json
	           ? "{\"rows\":%" PRIu64 ",\"seconds\":%.6f,"
	             "\"rows_per_s\":%.1f,\"transaction_us\":{\"p50\":%" PRIu64
	             ",\"p99\":%" PRIu64 "}}\n"
	           : "%" PRIu64 " rows in %.2f s: %.0f rows/s; a "
	             "transaction: P50 %" PRIu64 " us, P99 %" PRIu64 " us\n",
	       s->rows, (double)us / 1e6, (double)s->rows * 1e6 / (double)us,
	       hist_quantile(&times, 0.5), hist_quantile(&times, 0.99));
	return 0;
}

static int
run(const struct settings *s)
{
	PGconn *pg = PQconnectdb(s->conninfo);
	struct rows rows = {0};
	Oid types[COLUMNS];
	int rc;

	if (PQstatus(pg) == CONNECTION_OK)
		rc = column_types(pg, s->table, types);
	else
		rc = failed(pg, NULL);
	if (rc == 0) {
		rc = make_rows(&rows, s, types);
		if (rc < 0)
			fprintf(stderr, "barecopy: rows: %s\n", strerror(-rc));
	}
	if (rc == 0)
		rc = copy_all(pg, s, &rows);
	free(rows.ends);
	buf_fini(&rows.bytes);
	PQfinish(pg);
	return rc;
}

static const char usage[] =
    "usage: barecopy [option value]...\n"
    "  --conninfo TEXT           else the PG* variables\n"
    "  --table NAME              default events\n"
    "  --rows N                  default 1000000\n"
    "  --rows-per-transaction N  default 10000\n"
    "  --seed N                  of the ids (1)\n"
    "  --json                    print the result as one JSON object\n";

static uint64_t
number(uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(optarg, &end, 10);
	if (errno != 0 || *end != '\0' || *optarg < '0' || *optarg > '9' ||
	    value < min || value > max) {
		fprintf(stderr,
		        "barecopy: %s: want %" PRIu64 " to %" PRIu64 "\n",
		        optarg, min, max);
		exit(2);
	}
	return value;
}

/* Letters, digits, '_' and '.': what needs no quoting. */
static const char *
table_name(void)
{
	if (strlen(optarg) > 128 ||
	    optarg[strspn(optarg, "abcdefghijklmnopqrstuvwxyz0123456789_.")]) {
		fprintf(stderr, "barecopy: %s: no plain table name\n", optarg);
		exit(2);
	}
	return optarg;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"conninfo", required_argument, NULL, 'c'},
	    {"table", required_argument, NULL, 't'},
	    {"rows", required_argument, NULL, 'r'},
	    {"rows-per-transaction", required_argument, NULL, 'n'},
	    {"seed", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct settings s = {.conninfo = "",
	                     .table = "events",
	                     .rows = 1000000,
	                     .rows_per_transaction = 10000,
	                     .seed = 1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			s.conninfo = optarg;
			break;
		case 't':
			s.table = table_name();
			break;
		case 'r':
			s.rows = number(1, ROWS_MAX);
			break;
		case 'n':
			s.rows_per_transaction = number(1, ROWS_MAX);
			break;
		case 's':
			s.seed = number(0, UINT64_MAX);
			break;
		case 'j':
			s.json = true;
			break;
		default:
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	return run(&s) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
