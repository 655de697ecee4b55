/*
 * barecopy - measure what COPY itself can do, to compare sinkd-postgres with
 * it.
 *
 * It writes the benchmarks' events into a PostgreSQL table by binary COPY, with
 * --batch-rows in one transaction, and prints rows per second.
 *
 * --to is a connection string of libpq.  The table must exist and have columns
 * with the names of an event's fields.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bare.h"

#define PIECE_BYTES (64 * KIB) /* given to libpq at once */
#define COLUMNS 6
#define COLUMN_LIST "id, type, user_id, payload, created_at, received_at"

/* PostgreSQL's time begins on 2000-01-01. */
#define PG_EPOCH_US INT64_C(946684800000000)

enum pg_type { PG_JSONB = 3802, PG_UUID = 2950, PG_TIMESTAMPTZ = 1184 };

struct target {
	PGconn *pg;
	Oid types[COLUMNS];
	char sql[300];
};

static int
barecopy_put_u16(struct buf *b, uint16_t v)
{
	uint16_t be = __builtin_bswap16(v);

	return buf_add(b, &be, sizeof be);
}

static int
barecopy_put_u32(struct buf *b, uint32_t v)
{
	uint32_t be = __builtin_bswap32(v);

	return buf_add(b, &be, sizeof be);
}

static int
barecopy_put_time(struct buf *b, int64_t wall_us)
{
	uint64_t be = __builtin_bswap64((uint64_t)(wall_us - PG_EPOCH_US));
	int rc = barecopy_put_u32(b, sizeof be);

	return rc < 0 ? rc : buf_add(b, &be, sizeof be);
}

/* Append a generated id, which is a valid UUID, as 16 bytes. */
static int
barecopy_put_uuid(struct buf *b, const char *text)
{
	uint8_t bytes[16] = {0};
	size_t n = 0;

	for (; n < 2 * sizeof bytes; text++) {
		int digit = *text <= '9' ? *text - '0' : *text - 'a' + 10;

		if (*text == '-')
			continue;
		bytes[n / 2] = (uint8_t)(bytes[n / 2] << 4 | digit);
		n++;
	}
	return barecopy_put_u32(b, sizeof bytes) < 0
	           ? -ENOMEM
	           : buf_add(b, bytes, sizeof bytes);
}

static int
barecopy_put_text(struct buf *b, Oid type, const char *text, size_t bytes)
{
	static const uint8_t jsonb_version = 1;
	int rc;

	if (bytes == 0)
		return barecopy_put_u32(b, UINT32_MAX); /* null */
	rc = barecopy_put_u32(b, (uint32_t)bytes + (type == PG_JSONB));
	if (rc == 0 && type == PG_JSONB)
		rc = buf_add(b, &jsonb_version, 1);
	return rc < 0 ? rc : buf_add(b, text, bytes);
}

static int
barecopy_begin(struct buf *b)
{
	/*
	 * The signature, the flags and the length of the extension: 19 bytes
	 * including the NUL at the end of this string.
	 */
	static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";

	return buf_add(b, head, sizeof head);
}

static int
barecopy_put_row(struct buf *b, const struct bare_row *row, void *arg)
{
	const Oid *types = arg;
	int rc = barecopy_put_u16(b, COLUMNS);

	if (rc == 0)
		rc = types[0] == PG_UUID
		         ? barecopy_put_uuid(b, row->id)
		         : barecopy_put_text(b, types[0], row->id,
		                             row->id_bytes);
	if (rc == 0)
		rc = barecopy_put_text(b, types[1], row->type, row->type_bytes);
	if (rc == 0)
		rc = barecopy_put_text(b, types[2], row->user, row->user_bytes);
	if (rc == 0)
		rc = barecopy_put_text(b, types[3], row->payload,
		                       row->payload_bytes);
	if (rc == 0)
		rc = barecopy_put_time(b, row->wall_us);
	return rc < 0 ? rc : barecopy_put_time(b, row->wall_us);
}

static int
barecopy_end(struct buf *b)
{
	return barecopy_put_u16(b, UINT16_MAX);
}

/* Print the server's message for an error that ends the program. */
static int
barecopy_failed(PGconn *pg, PGresult *result)
{
	fprintf(stderr, "barecopy: %s", PQerrorMessage(pg));
	PQclear(result);
	return -EIO;
}

static int
column_types(struct target *t, const char *table)
{
	char sql[300];
	PGresult *result;

	(void)snprintf(sql, sizeof sql,
	               "SELECT " COLUMN_LIST " FROM %s LIMIT 0", table);
	result = PQexec(t->pg, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return barecopy_failed(t->pg, result);
	for (int i = 0; i < COLUMNS; i++)
		t->types[i] = PQftype(result, i);
	PQclear(result);
	if (t->types[4] == PG_TIMESTAMPTZ && t->types[5] == PG_TIMESTAMPTZ)
		return 0;
	fputs("barecopy: the times must be timestamptz\n", stderr);
	return -EINVAL;
}

static int
barecopy_copy(void *arg, const uint8_t *bytes, size_t len)
{
	struct target *t = arg;
	PGresult *result = PQexec(t->pg, t->sql);

	if (PQresultStatus(result) != PGRES_COPY_IN)
		return barecopy_failed(t->pg, result);
	PQclear(result);
	while (len > 0) {
		size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;

		if (PQputCopyData(t->pg, (const char *)bytes, (int)n) != 1)
			return barecopy_failed(t->pg, NULL);
		bytes += n;
		len -= n;
	}
	if (PQputCopyEnd(t->pg, NULL) != 1)
		return barecopy_failed(t->pg, NULL);
	while ((result = PQgetResult(t->pg))) {
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			return barecopy_failed(t->pg, result);
		PQclear(result);
	}
	return 0;
}

static int
barecopy_run(const struct bare_options *o)
{
	struct target t = {.pg = PQconnectdb(o->to)};
	struct bare_form form = {barecopy_begin, barecopy_put_row, barecopy_end,
	                         t.types};
	struct bare_rows rows = {0};
	int rc;

	(void)snprintf(t.sql, sizeof t.sql,
	               "COPY %s (" COLUMN_LIST ") FROM STDIN (FORMAT binary)",
	               o->table);
	if (PQstatus(t.pg) == CONNECTION_OK)
		rc = column_types(&t, o->table);
	else
		rc = barecopy_failed(t.pg, NULL);
	if (rc == 0)
		rc = bare_rows_make(&rows, o, &form);
	if (rc == 0)
		rc = bare_run(o, &rows, barecopy_copy, NULL, &t);
	bare_rows_free(&rows);
	PQfinish(t.pg);
	return rc;
}

int
main(int argc, char **argv)
{
	struct bare_options o;
	int status;

	if (bare_options_read(&o, "barecopy", argc, argv, &status) < 0)
		return status;
	return barecopy_run(&o) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
