/* rejected_rows_sql - see rejected_rows_sql.h. */
#include "sinkd-postgres/rejected_rows_sql.h"

#include <inttypes.h>

/*
 * Estimated bytes of one refused row in the result, in addition to its three
 * texts.
 */
#define ROW_BYTES 200

/*
 * Limit on the bytes of all refused rows.  One more row may exceed it, with at
 * most 400 characters in each text.
 */
#define FOUND_BYTES_MAX 800000

_Static_assert(FOUND_BYTES_MAX + 3 * 400 * 4 + ROW_BYTES <
                   PG_RESPONSE_MAX / 10 * 9,
               "what a probe finds is read whole");

/*
 * The type of a column of the temporary table, and how a value of it becomes a
 * value of the column, just as the input function of the column's type would
 * read it.  There is no cast for varchar(n): an explicit cast would truncate
 * the text instead of refusing it.  Texts are bytes, since the database's
 * encoding may lack a character of them.
 */
static const struct {
	bool is_bytes;
	const char *staged, *cast;
} kinds[] = {
    [COPY_TEXT] = {true, "bytea", ""},
    [COPY_JSON] = {true, "bytea", "::json"},
    [COPY_JSONB] = {true, "bytea", "::jsonb"},
    [COPY_UUID] = {true, "bytea", "::uuid"},
    [COPY_TIMESTAMP] = {false, "timestamptz", " AT TIME ZONE 'UTC'"},
    [COPY_TIMESTAMPTZ] = {false, "timestamptz", ""},
    [COPY_INT8_MS] = {false, "bigint", ""},
};

/* Append the value of row r for the column of `field`. */
static void
add_row_value(struct buf *out, int field, enum copy_kind kind)
{
	bool bytes = kinds[kind].is_bytes;

	buf_addf(out, "%s%sr.%s%s%s", field ? ", " : "",
	         bytes ? "convert_from(" : "",
	         event_field_name((enum event_field)field),
	         bytes ? ", 'UTF8')" : "", kinds[kind].cast);
}

/* Append the INSERT of row r. */
static void
add_row_insert(struct postgres *s, struct buf *out)
{
	buf_addf(out, "INSERT INTO %s (" TABLE_COLUMNS ") VALUES (",
	         s->table.name);
	for (int i = 0; i < FIELD_COUNT; i++)
		add_row_value(out, i, s->table.columns.kind[i]);
	buf_addf(out, ")%s; ",
	         s->settings->dedup_by_id ? " ON CONFLICT (id) DO NOTHING"
	                                  : "");
}

/*
 * Append the PL/pgSQL block.  It stops when its findings would be larger than
 * the response that the sink accepts; a last row without a state then tells
 * where.
 */
static void
add_block_text(struct postgres *s, struct buf *out)
{
	buf_add_text(
	    out, "DECLARE r record; state text; message text; detail text; "
		 "context text; tab text; con text; total int := 0; BEGIN "
		 "FOR r IN SELECT * FROM pg_temp.leat_probe ORDER BY n LOOP "
		 "BEGIN ");
	add_row_insert(s, out);
	buf_addf(out,
	         "EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS "
	         "state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, "
	         "detail = PG_EXCEPTION_DETAIL, "
	         "context = PG_EXCEPTION_CONTEXT, tab = TABLE_NAME, "
	         "con = CONSTRAINT_NAME; "
	         "message := left(message, 400); "
	         "detail := left(detail, 400); "
	         "context := left(split_part(context, chr(10), 1), "
	         "400); "
	         "INSERT INTO pg_temp.leat_refused VALUES (r.n, state, "
	         "message, detail, context, tab, con); "
	         "total := total + %d + octet_length(message) + "
	         "coalesce(octet_length(detail), 0) + "
	         "coalesce(octet_length(context), 0); END; "
	         "IF total > %d THEN INSERT INTO pg_temp.leat_refused "
	         "VALUES (r.n + 1); EXIT; END IF; END LOOP; END",
	         ROW_BYTES, FOUND_BYTES_MAX);
}

static void
add_block(struct postgres *s, struct buf *sql)
{
	struct buf block;

	buf_init(&block, SQL_MAX);
	add_block_text(s, &block);
	buf_add_text(sql, "DO ");
	if (buf_add(&block, "", 1) == 0 && block.error == 0)
		pg_add_literal(&s->pg, sql, (const char *)block.data);
	else
		sql->error = block.error;
	buf_add_text(sql, "; ");
	buf_fini(&block);
}

static void
add_probe_tables(struct postgres *s, struct buf *sql)
{
	buf_add_text(sql, "CREATE TEMP TABLE leat_probe (n bigint");
	for (int i = 0; i < FIELD_COUNT; i++)
		buf_addf(sql, ", %s %s", event_field_name((enum event_field)i),
		         kinds[s->table.columns.kind[i]].staged);
	buf_add_text(sql, ") ON COMMIT DROP; "
	                  "CREATE TEMP TABLE leat_refused (n bigint, "
	                  "state text, message text, detail text, "
	                  "context text, tab text, con text) "
	                  "ON COMMIT DROP; ");
}

/*
 * Append the query whether the probe's answer can be trusted.  The position
 * must be where this sink left it.  And the table must have nothing that
 * distinguishes an INSERT of one row from a COPY of many, such as a rule or a
 * trigger for each statement.
 */
static void
add_can_tell(struct postgres *s, const struct batch *b)
{
	struct buf *sql = &s->sql;

	buf_addf(sql,
	         "SELECT coalesce((SELECT next_offset FROM %s "
	         "WHERE sink = '" SINK_NAME "' AND stream = ",
	         s->position_table);
	pg_add_literal(&s->pg, sql, b->stream);
	buf_addf(sql,
	         "), %" PRIu64 ") = %" PRIu64
	         " AND NOT c.relhasrules AND NOT EXISTS (SELECT "
	         "FROM pg_trigger t WHERE t.tgrelid = c.oid AND "
	         "NOT t.tgisinternal AND (t.tgtype & 5) = 4) "
	         "FROM pg_class c WHERE c.oid = to_regclass(",
	         b->position, b->position);
	pg_add_literal(&s->pg, sql, s->table.name);
	buf_add_text(sql, ")");
}

/*
 * Build all statements.  The server's limit of time is half of the sink's, so
 * that the server gives up first.
 */
void
rejected_rows_add_statements(struct postgres *s, const struct batch *b)
{
	struct buf *sql = &s->sql;

	buf_clear(sql);
	buf_addf(sql,
	         "BEGIN ISOLATION LEVEL READ COMMITTED; "
	         "SET LOCAL statement_timeout = %" PRId64 "; "
	         "SET LOCAL client_min_messages = error; ",
	         s->pg.timeout_ms / 2);
	add_can_tell(s, b);
	buf_addf(sql, "; LOCK TABLE %s IN ROW EXCLUSIVE MODE; ", s->table.name);
	table_add_types_query(&s->table, &s->pg, sql);
	buf_add_text(sql, "; ");
	add_probe_tables(s, sql);
	buf_add_text(sql,
	             "COPY pg_temp.leat_probe FROM STDIN (FORMAT binary); ");
	add_block(s, sql);
	buf_add_text(sql,
	             "SELECT * FROM pg_temp.leat_refused ORDER BY n; ROLLBACK");
}

void
rejected_rows_staged_columns(const struct copy_columns *columns,
                             struct copy_columns *staged)
{
	*staged = *columns;
	for (int i = 0; i < FIELD_COUNT; i++)
		if (kinds[staged->kind[i]].is_bytes)
			staged->kind[i] = COPY_TEXT;
}
