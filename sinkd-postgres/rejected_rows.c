/* rejected_rows - see rejected_rows.h. */
#include "sinkd-postgres/rejected_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"

#define NOT_NULL_VIOLATION "23502"

/* Of one refused row in the answer, beside its three texts. */
#define ROW_BYTES 200

/* Of all of them; one more may come, of at most 400 characters a text. */
#define FOUND_BYTES_MAX 800000

_Static_assert(FOUND_BYTES_MAX + 3 * 400 * 4 + ROW_BYTES <
                   PG_RESPONSE_MAX / 10 * 9,
               "what a probe finds is read whole");

/* Columns of the result; texts are cut, for a trigger may say anything. */
enum {
	AT_N,
	AT_STATE,
	AT_TEXT,
	AT_DETAIL,
	AT_CONTEXT,
	AT_TABLE,
	AT_CONSTRAINT,
	AT_COUNT,
};

/*
 * How a value of the temporary table, a text but for the times, becomes one of
 * its column, as an input function of the column's type would read it.  An
 * explicit cast to varchar(n) would cut the text instead of refusing it.
 */
static const char *
cast_of(enum copy_kind kind)
{
	switch (kind) {
	case COPY_JSON:
		return "::json";
	case COPY_JSONB:
		return "::jsonb";
	case COPY_UUID:
		return "::uuid";
	case COPY_TIMESTAMP:
		return " AT TIME ZONE 'UTC'";
	case COPY_TEXT:
	case COPY_TIMESTAMPTZ:
	case COPY_INT8_MS:
		break;
	}
	return "";
}

static const char *
staged_type(enum copy_kind kind)
{
	switch (kind) {
	case COPY_TIMESTAMP:
	case COPY_TIMESTAMPTZ:
		return "timestamptz";
	case COPY_INT8_MS:
		return "bigint";
	case COPY_TEXT:
	case COPY_JSON:
	case COPY_JSONB:
	case COPY_UUID:
		break;
	}
	return "bytea"; /* not text: the database may lack a character */
}

/* The value of the row r, as the table's column wants it. */
static int
add_row_value(struct buf *out, int field, enum copy_kind kind)
{
	bool bytes = strcmp(staged_type(kind), "bytea") == 0;

	return buf_addf(out, "%s%sr.%s%s%s", field ? ", " : "",
	                bytes ? "convert_from(" : "",
	                event_field_name((enum event_field)field),
	                bytes ? ", 'UTF8')" : "", cast_of(kind));
}

/* The INSERT of the row r. */
static int
add_row_insert(struct postgres *s, struct buf *out)
{
	int rc = buf_addf(out, "INSERT INTO %s (" TABLE_COLUMNS ") VALUES (",
	                  s->table.name);

	for (int i = 0; rc == 0 && i < FIELD_COUNT; i++)
		rc = add_row_value(out, i, s->table.columns.kind[i]);
	return rc < 0 ? rc
	              : buf_addf(out, ")%s; ",
	                         s->settings->dedup_by_id
	                             ? " ON CONFLICT (id) DO NOTHING"
	                             : "");
}

/*
 * The block, with its NUL.  It stops when what it has found would be more than
 * the sink reads of one answer; a last row without a state then says where.
 */
static int
make_block(struct postgres *s, struct buf *out)
{
	int rc = buf_addf(
	    out, "DECLARE r record; state text; message text; detail text; "
		 "context text; tab text; con text; total int := 0; BEGIN "
		 "FOR r IN SELECT * FROM pg_temp.leat_probe ORDER BY n LOOP "
		 "BEGIN ");

	if (rc == 0)
		rc = add_row_insert(s, out);
	if (rc == 0)
		rc = buf_addf(
		    out,
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
	return rc < 0 ? rc : buf_add(out, "", 1);
}

static int
add_block(struct postgres *s, struct buf *sql)
{
	struct buf block;
	int rc;

	buf_init(&block, SQL_MAX);
	rc = make_block(s, &block);
	if (rc == 0)
		rc = buf_addf(sql, "DO ");
	if (rc == 0)
		rc = pg_add_literal(&s->pg, sql, (const char *)block.data);
	buf_fini(&block);
	return rc < 0 ? rc : buf_addf(sql, "; ");
}

static int
add_probe_tables(struct postgres *s, struct buf *sql)
{
	int rc = buf_addf(sql, "CREATE TEMP TABLE leat_probe (n bigint");

	for (int i = 0; rc == 0 && i < FIELD_COUNT; i++)
		rc = buf_addf(sql, ", %s %s",
		              event_field_name((enum event_field)i),
		              staged_type(s->table.columns.kind[i]));
	return rc < 0
	           ? rc
	           : buf_addf(sql, ") ON COMMIT DROP; "
	                           "CREATE TEMP TABLE leat_refused (n bigint, "
	                           "state text, message text, detail text, "
	                           "context text, tab text, con text) "
	                           "ON COMMIT DROP; ");
}

/*
 * Whether we can tell: the position is where we left it, and the table has
 * nothing that tells an INSERT of one row from a COPY of many, such as a rule
 * or a trigger for each statement.
 */
static int
add_can_tell(struct postgres *s, const struct batch *b)
{
	struct buf *sql = &s->sql;
	int rc = buf_addf(sql,
	                  "SELECT coalesce((SELECT next_offset FROM %s "
	                  "WHERE sink = '" SINK_NAME "' AND stream = ",
	                  s->position_table);

	if (rc == 0)
		rc = pg_add_literal(&s->pg, sql, b->stream);
	if (rc == 0)
		rc = buf_addf(sql,
		              "), %" PRIu64 ") = %" PRIu64
		              " AND NOT c.relhasrules AND NOT EXISTS (SELECT "
		              "FROM pg_trigger t WHERE t.tgrelid = c.oid AND "
		              "NOT t.tgisinternal AND (t.tgtype & 5) = 4) "
		              "FROM pg_class c WHERE c.oid = to_regclass(",
		              b->position, b->position);
	if (rc == 0)
		rc = pg_add_literal(&s->pg, sql, s->table.name);
	return rc < 0 ? rc : buf_addf(sql, ")");
}

/* All statements; the server gives up well before the sink does. */
static int
add_probe_statements(struct postgres *s, const struct batch *b)
{
	struct buf *sql = &s->sql;
	int rc;

	buf_clear(sql);
	rc = buf_addf(sql,
	              "BEGIN ISOLATION LEVEL READ COMMITTED; "
	              "SET LOCAL statement_timeout = %" PRId64 "; "
	              "SET LOCAL client_min_messages = error; ",
	              s->pg.timeout_ms / 2);
	if (rc == 0)
		rc = add_can_tell(s, b);
	if (rc == 0)
		rc = buf_addf(sql, "; LOCK TABLE %s IN ROW EXCLUSIVE MODE; ",
		              s->table.name);
	if (rc == 0)
		rc = table_add_types_query(&s->table, &s->pg, sql);
	if (rc == 0)
		rc = buf_addf(sql, "; ");
	if (rc == 0)
		rc = add_probe_tables(s, sql);
	if (rc == 0)
		rc = buf_addf(sql, "COPY pg_temp.leat_probe FROM STDIN (FORMAT "
		                   "binary); ");
	if (rc == 0)
		rc = add_block(s, sql);
	if (rc == 0)
		rc = buf_addf(sql, "SELECT * FROM pg_temp.leat_refused "
		                   "ORDER BY n; ROLLBACK");
	return rc < 0 ? rc : buf_add(sql, "", 1);
}

/* What the answers have said. */
struct probe_results {
	unsigned tables; /* results with rows so far */
	bool can_tell;
	bool unchanged;
	bool copying;
	bool failed;       /* a statement has: we cannot tell */
	bool unexpected;   /* there is no such answer to our statements */
	PGresult *refused; /* owned */
};

static void
probe_on_rows(const struct postgres *s, struct probe_results *a, PGresult *res)
{
	static const int columns[] = {1, TABLE_TYPES_FIELDS, AT_COUNT};
	unsigned table = a->tables++;

	if (table >= ARRAY_LEN(columns) || PQnfields(res) != columns[table])
		a->unexpected = true;
	else if (table == 0)
		a->can_tell =
		    PQntuples(res) == 1 && PQgetvalue(res, 0, 0)[0] == 't';
	else if (table == 1)
		a->unchanged = table_unchanged(&s->table, res);
	else
		a->refused = res;
	if (res != a->refused)
		PQclear(res);
}

/* Read answers until the server waits for data, or to the end. */
static enum sink_result
probe_read_results(struct postgres *s, struct probe_results *a,
                   struct sink_error *error)
{
	enum sink_result result;
	PGresult *res;

	while ((result = pg_next(&s->pg, &res, error)) == SINK_DONE && res) {
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_TUPLES_OK) {
			probe_on_rows(s, a, res);
			continue;
		}
		if (status == PGRES_FATAL_ERROR ||
		    status == PGRES_BAD_RESPONSE) {
			a->failed = true;
			(void)pg_classify(res, error);
		}
		PQclear(res);
		if (status == PGRES_COPY_IN) {
			a->copying = true;
			return SINK_DONE;
		}
		if (PQstatus(s->pg.conn) == CONNECTION_BAD)
			return SINK_UNREACHABLE;
	}
	return result;
}

/* All texts are staged as bytes. */
static enum sink_result
send_rows(struct postgres *s, const struct batch *b, struct sink_error *error)
{
	struct copy_columns staged = s->table.columns;

	for (int i = 0; i < FIELD_COUNT; i++)
		if (strcmp(staged_type(staged.kind[i]), "bytea") == 0)
			staged.kind[i] = COPY_TEXT;
	return write_rows(s, b, &staged, true, error);
}

static enum sink_result
ask_server(struct postgres *s, const struct batch *b, struct probe_results *a,
           struct sink_error *error)
{
	enum sink_result result;

	if (add_probe_statements(s, b) < 0)
		return pg_fail(error, SINK_UNREACHABLE, "out of memory");
	result = pg_send(&s->pg, (const char *)s->sql.data, error);
	if (result == SINK_DONE)
		result = probe_read_results(s, a, error);
	if (result == SINK_DONE && a->copying) {
		result = send_rows(s, b, error);
		if (result == SINK_DONE)
			result = probe_read_results(s, a, error);
	}
	/* A statement that failed has left the transaction open. */
	if (result == SINK_DONE &&
	    PQtransactionStatus(s->pg.conn) != PQTRANS_IDLE)
		result = pg_run(&s->pg, "ROLLBACK", error);
	if (result == SINK_DONE && a->unexpected)
		result = pg_unexpected(error);
	return result;
}

static const char *
value_at(const PGresult *res, int row, int column)
{
	return PQgetisnull(res, row, column) ||
	               PQgetvalue(res, row, column)[0] == '\0'
	           ? NULL
	           : PQgetvalue(res, row, column);
}

/* Class row `row` of the refused: which event it is of, and why. */
static enum sink_result
classify_row(const struct batch *b, const PGresult *res, int row, size_t *event,
             struct sink_error *why)
{
	const char *text = value_at(res, row, AT_TEXT);
	struct pg_diagnostics words = {
	    .state = PQgetvalue(res, row, AT_STATE),
	    .text = text ? text : "",
	    .detail = value_at(res, row, AT_DETAIL),
	    .context = value_at(res, row, AT_CONTEXT),
	    .table = value_at(res, row, AT_TABLE),
	    .constraint = value_at(res, row, AT_CONSTRAINT),
	};

	*why = (struct sink_error){0};
	*event = strtoul(PQgetvalue(res, row, AT_N), NULL, 10);
	return write_classify(b, &words, *event + 1, why);
}

/* Whether the rows name events of the batch, in their order. */
static bool
in_order(const struct batch *b, const PGresult *res, int rows)
{
	struct sink_error why;
	size_t event, next = 0;

	for (int row = 0; row < rows; row++) {
		(void)classify_row(b, res, row, &event, &why);
		if (event < next || event >= b->count)
			return false;
		next = event + 1;
	}
	return true;
}

/*
 * Report the refused rows.  What a column that was added since refuses is not
 * the events' fault, and neither is what write_classify does not call a reject,
 * unless the table takes another event: the rows before that have been looked
 * at.
 */
static enum sink_result
report_rejected(struct postgres *s, const struct batch *b, const PGresult *res,
                const struct sink_refused *refused, size_t *looked,
                struct sink_error *error)
{
	int rows = PQntuples(res), row;
	enum sink_result class;
	struct sink_error why;
	bool nulls = false, taken = false;
	size_t event;

	*looked = b->count;
	if (rows > 0 && PQgetisnull(res, rows - 1, AT_STATE)) {
		/* The block stopped there. */
		(void)classify_row(b, res, --rows, &event, &why);
		*looked = event < b->count ? event : b->count;
	}
	if (!in_order(b, res, rows))
		return pg_unexpected(error);
	for (row = 0; row < rows; row++) {
		class = classify_row(b, res, row, &event, &why);
		if (class != SINK_REJECT && write_may_be_event(&why)) {
			taken =
			    taken || write_takes_ordinary(s, &b->events[event]);
			class = taken ? SINK_REJECT : class;
		}
		if (class != SINK_REJECT)
			break;
		nulls |= strcmp(why.code, NOT_NULL_VIOLATION) == 0;
	}
	if (row < rows)
		*looked = event;
	rows = row;
	if (nulls) {
		enum sink_result result = write_confirm_null(s, error);

		if (result != SINK_REJECT)
			return result;
		*error = (struct sink_error){0};
	}
	/* This process may have been frozen since the probe looked at it. */
	if (rows > 0) {
		enum sink_result result = write_confirm_position(s, b, error);

		if (result != SINK_REJECT)
			return result;
		*error = (struct sink_error){0};
	}
	for (row = 0; row < rows; row++) {
		(void)classify_row(b, res, row, &event, &why);
		refused->on_event(refused->arg, event, &why);
	}
	return SINK_DONE;
}

/* What the sink itself knows that the columns cannot hold. */
static enum sink_result
report_known(struct postgres *s, const struct batch *b, size_t first,
             enum event_field field, const struct sink_refused *refused,
             size_t *looked, struct sink_error *error)
{
	enum sink_result result = write_confirm_columns(s, error);

	if (result == SINK_DONE)
		result = write_confirm_position(s, b, error);
	if (result != SINK_REJECT)
		return result;
	*error = (struct sink_error){0};
	while (first < b->count) {
		struct sink_error why = {0};

		write_name_field(field, &why);
		refused->on_event(refused->arg, first, &why);
		first++;
		first += copy_check(&s->table.columns, b->events + first,
		                    b->count - first, &field);
	}
	*looked = b->count;
	return SINK_DONE;
}

enum sink_result
rejected_rows_find(struct postgres *s, const struct batch *b,
                   const struct sink_refused *refused, size_t *looked,
                   struct sink_error *error)
{
	struct probe_results a = {0};
	enum event_field field;
	enum sink_result result;
	size_t bad;

	s->probe_limit.interval_ms = 60000;
	s->probe_limit.burst = 1;
	pg_begin(&s->pg);
	bad = copy_check(&s->table.columns, b->events, b->count, &field);
	if (bad < b->count)
		return report_known(s, b, bad, field, refused, looked, error);
	result = ask_server(s, b, &a, error);
	if (result == SINK_DONE && a.refused && a.can_tell && a.unchanged)
		result =
		    report_rejected(s, b, a.refused, refused, looked, error);
	else if (result == SINK_DONE && a.failed &&
	         log_allow(&s->probe_limit, NULL))
		log_warn("cannot find all refused events at once, so each is "
		         "searched for: PL/pgSQL, the right to create "
		         "temporary tables, or time is missing code=%s err=%s",
		         log_quote(error->code), log_quote(error->text));
	PQclear(a.refused);
	return result;
}
