/* write - see write.h. */
#include "sinkd-postgres/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far created_at of an event of now is from received_at. */
#define NOW_US (INT64_C(3600) * 1000000)

#define NOT_NULL_VIOLATION "23502"

/* Division by zero: what add_move's statement fails with. */
#define MOVED_BY_OTHER "22012"

#define LOCK_NOT_AVAILABLE "55P03"

/* Columns that name the result they belong to. */
#define MOVED "leat_moved"
#define POSITION "leat_position"
#define DROPPED "leat_dropped"

void
write_remember_stream(struct postgres *s, const char *stream)
{
	/* A longer one is asked for each time: the cost is a no-op INSERT. */
	if (strlen(stream) < sizeof s->stream)
		memcpy(s->stream, stream, strlen(stream) + 1);
}

/*
 * The statement that moves the position, from the value that the sink knows
 * and no other (I9).  It fails with MOVED_BY_OTHER when that value is not
 * there, so that the server itself goes no further.
 */
static int
add_move(struct postgres *s, const struct batch *b, const char *stream)
{
	struct buf *sql = &s->sql;
	int rc;

	if (strcmp(s->stream, b->stream) == 0)
		rc = buf_addf(sql,
		              "WITH moved AS (UPDATE %s SET next_offset = "
		              "%" PRIu64 " WHERE stream = %s "
		              "AND sink = '" SINK_NAME "' "
		              "AND next_offset = %" PRIu64 " RETURNING 1) ",
		              s->position_table, b->next_offset, stream,
		              b->position);
	else
		rc = buf_addf(sql,
		              "WITH moved AS (INSERT INTO %s AS p "
		              "(stream, sink, next_offset) "
		              "VALUES (%s, '" SINK_NAME "', %" PRIu64 ") "
		              "ON CONFLICT (stream, sink) DO UPDATE "
		              "SET next_offset = EXCLUDED.next_offset "
		              "WHERE p.next_offset = %" PRIu64 " RETURNING 1) ",
		              s->position_table, stream, b->next_offset,
		              b->position);
	return rc < 0 ? rc
	              : buf_addf(sql, "SELECT 1 / count(*) AS " MOVED
	                              " FROM moved; ");
}

static int
add_position_query(struct postgres *s, const char *stream)
{
	return buf_addf(&s->sql,
	                "SELECT next_offset AS " POSITION
	                " FROM %s WHERE stream = %s AND sink = '" SINK_NAME "'",
	                s->position_table, stream);
}

/* The statements of a batch's rows, around the COPY. */
static int
add_copy(struct postgres *s, const char *stream)
{
	struct buf *sql = &s->sql;
	bool dedup = s->settings->dedup_by_id;
	int rc;

	rc = buf_addf(sql, "LOCK TABLE %s IN ROW EXCLUSIVE MODE; ",
	              s->table.name);
	if (rc == 0)
		rc = table_add_types_query(&s->table, &s->pg, sql);
	if (rc == 0)
		rc = buf_addf(sql, "; ");
	if (rc == 0)
		rc = add_position_query(s, stream);
	if (rc == 0)
		rc = buf_addf(sql, "; ");
	if (rc == 0 && dedup)
		rc = table_add_staging(&s->table, sql);
	if (rc == 0)
		rc = buf_addf(sql,
		              "COPY %s (" TABLE_COLUMNS
		              ") FROM STDIN (FORMAT binary); ",
		              dedup ? TABLE_STAGING : s->table.name);
	if (rc == 0 && dedup)
		rc = buf_addf(sql,
		              "INSERT INTO %s (" TABLE_COLUMNS
		              ") SELECT " TABLE_COLUMNS " FROM " TABLE_STAGING
		              " "
		              "ON CONFLICT (id) DO NOTHING; ",
		              s->table.name);
	/* What is not there now, no conflict has kept out. */
	if (rc == 0 && dedup && s->table.may_drop)
		rc = buf_addf(sql,
		              "SELECT count(*) AS " DROPPED
		              " FROM " TABLE_STAGING
		              " s WHERE NOT EXISTS (SELECT FROM %s t "
		              "WHERE t.id = s.id); ",
		              s->table.name);
	return rc;
}

/*
 * The statements of one batch.  The position moves last.  Its row is then
 * locked only for the commit, so a sink that is frozen during the COPY cannot
 * block its successor; when it runs again, it finds the position moved, and
 * nothing of what it has sent is stored.
 */
static int
add_batch_statements(struct postgres *s, const struct batch *b,
                     const char *stream)
{
	int rc;

	buf_clear(&s->sql);
	rc = buf_addf(&s->sql, "BEGIN ISOLATION LEVEL READ COMMITTED; ");
	if (rc == 0)
		rc = pg_add_local_settings(&s->pg, &s->sql);
	/* Off would answer before the commit is on disk. */
	if (rc == 0)
		rc = buf_addf(&s->sql,
		              "SELECT set_config('synchronous_commit', 'on', "
		              "true) WHERE current_setting("
		              "'synchronous_commit') = 'off'; ");
	if (rc == 0 && b->count > 0)
		rc = add_copy(s, stream);
	if (rc == 0)
		rc = add_move(s, b, stream);
	return rc < 0 ? rc : buf_add(&s->sql, "COMMIT", sizeof "COMMIT");
}

static enum sink_result
send_statements(struct postgres *s, const struct batch *b,
                struct sink_error *error)
{
	char *stream =
	    PQescapeLiteral(s->pg.conn, b->stream, strlen(b->stream));
	int rc = stream ? add_batch_statements(s, b, stream) : -ENOMEM;

	PQfreemem(stream);
	if (rc < 0)
		return pg_fail(error, SINK_UNREACHABLE, "statements: %s",
		               strerror(-rc));
	return pg_send(&s->pg, (const char *)s->sql.data, error);
}

/* What the answers to a batch's statements have said so far. */
struct write_results {
	bool fenced;    /* the position was another before the COPY */
	bool unchanged; /* the columns are of the types we know */
	bool copying;   /* the server waits for data */
	bool stored;    /* the rows are in the table, or there are none */
	bool moved;     /* the position has moved from where it should be */
	bool committed;
	size_t inserted; /* with dedup_by_id: rows from the staging table */
	size_t dropped;  /* rows of it that a trigger has dropped */
};

static bool
is_result(const PGresult *res, const char *column)
{
	return PQnfields(res) == 1 && strcmp(PQfname(res, 0), column) == 0;
}

/* The position before the COPY; a stream that is new has none. */
static bool
is_expected(const struct postgres *s, const struct batch *b,
            const PGresult *res)
{
	if (PQntuples(res) == 0)
		return strcmp(s->stream, b->stream) != 0;
	return strtoull(PQgetvalue(res, 0, 0), NULL, 10) == b->position;
}

static void
write_on_rows(const struct postgres *s, const struct batch *b,
              struct write_results *a, const PGresult *res)
{
	if (is_result(res, MOVED))
		a->moved = PQntuples(res) == 1;
	else if (is_result(res, DROPPED))
		a->dropped = strtoul(PQgetvalue(res, 0, 0), NULL, 10);
	else if (is_result(res, POSITION))
		a->fenced = !is_expected(s, b, res);
	else if (PQnfields(res) == TABLE_TYPES_FIELDS)
		a->unchanged = table_unchanged(&s->table, res);
}

static void
write_on_result(const struct postgres *s, const struct batch *b,
                struct write_results *a, PGresult *res)
{
	const char *tag = PQcmdStatus(res);
	const char *stored = s->settings->dedup_by_id ? "INSERT " : "COPY ";

	switch (PQresultStatus(res)) {
	case PGRES_COPY_IN:
		a->copying = true;
		return;
	case PGRES_TUPLES_OK:
		write_on_rows(s, b, a, res);
		return;
	default:
		if (a->copying && !a->stored &&
		    strncmp(tag, stored, strlen(stored)) == 0) {
			a->stored = true;
			if (s->settings->dedup_by_id)
				a->inserted =
				    strtoul(PQcmdTuples(res), NULL, 10);
		}
		/* COMMIT of a failed transaction answers ROLLBACK. */
		if (strcmp(tag, "COMMIT") == 0)
			a->committed = true;
	}
}

/*
 * Whether a partition is missing that had to be there.  An event of now needs
 * it, and nothing is wrong with that event.  Any other value is the sender's
 * choice: waiting for its partition would let any sender stop the sink.
 */
static bool
lacks_partition(const struct batch *b, const struct pg_diagnostics *words,
                size_t bad_event)
{
	char column[PG_COLUMN_MAX];
	const struct event *e;
	int64_t apart;

	if (!pg_no_partition(words, column))
		return false;
	if (strcmp(column, event_field_name(FIELD_RECEIVED_AT)) == 0)
		return true;
	if (bad_event == 0 && b->count == 1)
		bad_event = 1;
	if (strcmp(column, event_field_name(FIELD_CREATED_AT)) != 0 ||
	    bad_event < 1 || bad_event > b->count)
		return false;
	e = &b->events[bad_event - 1];
	apart = e->created_at_us - e->received_at_us;
	return apart > -NOW_US && apart < NOW_US;
}

enum sink_result
write_classify(const struct batch *b, const struct pg_diagnostics *words,
               size_t bad_event, struct sink_error *error)
{
	enum sink_result result = pg_classify_diagnostics(words, error);

	if (bad_event == 0)
		bad_event = error->bad_event;
	return result == SINK_REJECT && lacks_partition(b, words, bad_event)
	           ? SINK_MISCONFIGURED
	           : result;
}

static enum sink_result
report_fenced(const struct batch *b, struct sink_error *error)
{
	return pg_fail(error, SINK_FENCED, "the position is not %" PRIu64,
	               b->position);
}

/*
 * Class an error by the statement that failed.  Only the rows can be the
 * events' fault: those of the COPY, or what is checked at the commit.
 */
static enum sink_result
write_on_error(const struct batch *b, const struct write_results *a,
               const PGresult *res, struct sink_error *error)
{
	enum sink_result result;
	struct pg_diagnostics words;

	result = pg_diagnostics_of(res, &words)
	             ? pg_classify_diagnostics(&words, error)
	             : pg_classify(res, error);
	if (result != SINK_REJECT)
		return result;
	if (a->stored && !a->moved)
		return strcmp(error->code, MOVED_BY_OTHER) == 0
		           ? report_fenced(b, error)
		           : SINK_MISCONFIGURED;
	if (!a->copying)
		return SINK_MISCONFIGURED;
	return pg_diagnostics_of(res, &words)
	           ? write_classify(b, &words, 0, error)
	           : SINK_REJECT;
}

/* Read answers until the server waits for data, or to the end. */
static enum sink_result
write_read_results(struct postgres *s, const struct batch *b,
                   struct write_results *a, struct sink_error *error)
{
	enum sink_result result = SINK_DONE, failed;
	PGresult *res;

	while ((failed = pg_next(&s->pg, &res, error)) == SINK_DONE && res) {
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
			result = write_on_error(b, a, res, error);
		else
			write_on_result(s, b, a, res);
		PQclear(res);
		if (status == PGRES_COPY_IN)
			return result;
		if (PQstatus(s->pg.conn) == CONNECTION_BAD)
			break;
	}
	return failed != SINK_DONE ? failed : result;
}

enum sink_result
write_rows(struct postgres *s, const struct batch *b,
           const struct copy_columns *columns, bool numbered,
           struct sink_error *error)
{
	enum sink_result result = SINK_DONE;
	struct buf *piece = &s->piece;
	int rc;

	buf_clear(piece);
	rc = copy_add_header(piece);
	for (size_t i = 0; rc == 0 && i < b->count; i++) {
		rc = numbered ? copy_add_numbered_row(piece, columns,
		                                      &b->events[i], i)
		              : copy_add_row(piece, columns, &b->events[i]);
		if (rc == 0 && piece->len >= WRITE_PIECE_BYTES) {
			result =
			    pg_copy(&s->pg, piece->data, piece->len, error);
			if (result != SINK_DONE)
				return result;
			buf_clear(piece);
		}
	}
	if (rc == 0)
		rc = copy_add_trailer(piece);
	if (rc < 0)
		return pg_fail(error, SINK_UNREACHABLE, "rows: %s",
		               strerror(-rc));
	result = pg_copy(&s->pg, piece->data, piece->len, error);
	if (result == SINK_DONE)
		result = pg_copy_end(&s->pg, NULL, error);
	return result;
}

bool
write_may_be_event(const struct sink_error *error)
{
	static const char *const others[] = {
	    /* A server or a connection in trouble, which passes. */
	    "08", "25", "40", "53", "55", "57", "58", "F0", "HV", "XX001",
	    "XX002",
	    /* A partition that is missing: lacks_partition has looked. */
	    "23"};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strncmp(error->code, others[i], strlen(others[i])) == 0)
			return false;
	}
	return error->code[0] != '\0';
}

/* The time t, as a value for one of the columns created_at and received_at. */
static int
add_time_value(struct buf *sql, enum copy_kind kind, int64_t t_us)
{
	if (kind == COPY_INT8_MS)
		return buf_addf(sql, "%" PRId64, t_us / 1000);
	return buf_addf(sql, "to_timestamp(%" PRId64 " / 1000000.0)%s", t_us,
	                kind == COPY_TIMESTAMP ? " AT TIME ZONE 'UTC'" : "");
}

/*
 * The INSERT of an ordinary event: one that the table holds, with a new id, and
 * as if it had come at the time t.  It fails when there is none.
 */
static int
add_ordinary(struct postgres *s, int64_t t_us)
{
	const struct copy_columns *columns = &s->table.columns;
	struct buf *sql = &s->sql;
	int rc;

	buf_clear(sql);
	rc = buf_addf(sql,
	              "WITH ordinary AS (INSERT INTO %s (" TABLE_COLUMNS ") "
	              "SELECT md5(random()::text)%s, type, user_id, payload, ",
	              s->table.name,
	              columns->kind[FIELD_ID] == COPY_UUID ? "::uuid" : "");
	if (rc == 0)
		rc = add_time_value(sql, columns->kind[FIELD_CREATED_AT], t_us);
	if (rc == 0)
		rc = buf_addf(sql, ", ");
	if (rc == 0)
		rc =
		    add_time_value(sql, columns->kind[FIELD_RECEIVED_AT], t_us);
	if (rc == 0)
		rc = buf_addf(sql,
		              " FROM %s LIMIT 1 RETURNING 1) SELECT 1 / "
		              "count(*) FROM ordinary; SET CONSTRAINTS ALL "
		              "IMMEDIATE; ROLLBACK",
		              s->table.name);
	return rc < 0 ? rc : buf_add(sql, "", 1);
}

bool
write_takes_ordinary(struct postgres *s, const struct event *like)
{
	struct sink_error ignored = {0};

	return add_ordinary(s, like->received_at_us) == 0 &&
	       pg_run(&s->pg, (const char *)s->sql.data, &ignored) == SINK_DONE;
}

/* A row has failed: is its event at fault, whatever the code says? */
static bool
is_events_fault(struct postgres *s, const struct batch *b,
                const struct sink_error *error)
{
	size_t i = error->bad_event > 0 ? error->bad_event - 1 : 0;

	return PQstatus(s->pg.conn) != CONNECTION_BAD && i < b->count &&
	       write_may_be_event(error) &&
	       write_takes_ordinary(s, &b->events[i]);
}

static enum sink_result
report_columns_changed(struct sink_error *error)
{
	return pg_fail(error, SINK_UNREACHABLE,
	               "the table's columns have changed: reading them again");
}

/*
 * A null is refused: perhaps by a column that has come since the sink looked,
 * and that leat has no value for.  Then no event is at fault, but the table.
 */
enum sink_result
write_confirm_null(struct postgres *s, struct sink_error *error)
{
	struct sink_error now = {0};
	struct table table;
	enum sink_result result;

	result = table_read(&table, &s->pg, s->settings->table,
	                    s->settings->dedup_by_id, &now);
	if (result == SINK_DONE)
		return SINK_REJECT;
	*error = now;
	return result;
}

enum sink_result
write_position(struct postgres *s, const char *stream, bool *found,
               uint64_t *next_offset, struct sink_error *error)
{
	char *literal = PQescapeLiteral(s->pg.conn, stream, strlen(stream));
	PGresult *res = NULL;
	enum sink_result result;

	buf_clear(&s->sql);
	if (!literal || add_position_query(s, literal) < 0 ||
	    buf_add(&s->sql, "", 1) < 0)
		result = pg_fail(error, SINK_UNREACHABLE, "out of memory");
	else
		result =
		    pg_query(&s->pg, (const char *)s->sql.data, 1, &res, error);
	PQfreemem(literal);
	if (result != SINK_DONE)
		return result;
	*found = PQntuples(res) == 1;
	if (*found)
		*next_offset = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return SINK_DONE;
}

/*
 * This process may have been frozen since it looked at the position, and the
 * events be another's now.
 */
enum sink_result
write_confirm_position(struct postgres *s, const struct batch *b,
                       struct sink_error *error)
{
	struct sink_error now = {0};
	uint64_t position = b->position;
	bool found = false;
	enum sink_result result =
	    write_position(s, b->stream, &found, &position, &now);

	if (result != SINK_DONE)
		*error = now;
	else if (position != b->position ||
	         (!found && strcmp(s->stream, b->stream) == 0))
		return report_fenced(b, error);
	return result == SINK_DONE ? SINK_REJECT : result;
}

/* A rejected batch leaves a failed transaction, which a pg_query ends. */
static enum sink_result
confirm_rejected(struct postgres *s, const struct batch *b,
                 struct sink_error *error)
{
	enum sink_result result;

	if (strcmp(error->code, NOT_NULL_VIOLATION) == 0)
		result = write_confirm_null(s, error);
	else
		result = SINK_REJECT;
	if (result == SINK_REJECT)
		result = write_confirm_position(s, b, error);
	return result;
}

void
write_name_field(enum event_field field, struct sink_error *error)
{
	bool number = field == FIELD_PAYLOAD;

	(void)snprintf(error->code, sizeof error->code, "%s",
	               number ? "22003" : "22P02");
	(void)snprintf(error->text, sizeof error->text,
	               number ? "a number is out of range for jsonb in column "
	                        "%s: it has more than 131072 digits before "
	                        "the point or more than 16383 after it"
	                      : "invalid input syntax for type uuid in column "
	                        "%s",
	               event_field_name(field));
}

enum sink_result
write_confirm_columns(struct postgres *s, struct sink_error *error)
{
	enum sink_result result;
	PGresult *res = NULL;
	bool same;

	buf_clear(&s->sql);
	if (table_add_types_query(&s->table, &s->pg, &s->sql) < 0 ||
	    buf_add(&s->sql, "", 1) < 0)
		return pg_fail(error, SINK_UNREACHABLE, "out of memory");
	result = pg_query(&s->pg, (const char *)s->sql.data, TABLE_TYPES_FIELDS,
	                  &res, error);
	if (result != SINK_DONE)
		return result;
	same = table_unchanged(&s->table, res);
	PQclear(res);
	return same ? SINK_DONE : report_columns_changed(error);
}

/*
 * One of the fields cannot be what its column is, as far as we know.  But the
 * column may have been changed since.
 */
static enum sink_result
bad_field(struct postgres *s, const struct batch *b, size_t index,
          enum event_field field, struct sink_error *error)
{
	enum sink_result result = write_confirm_columns(s, error);

	if (result != SINK_DONE)
		return result;
	error->bad_event = index + 1;
	write_name_field(field, error);
	return b->count == 1 ? write_confirm_position(s, b, error)
	                     : SINK_REJECT;
}

/* Say in the error which of the two tables it is about. */
static void
name_table(const struct postgres *s, const struct write_results *a,
           enum sink_result result, struct sink_error *error)
{
	bool behind = a->stored && !a->moved;
	const char *name = behind ? s->position_table : s->table.name;
	char words[sizeof error->text];

	memcpy(words, error->text, sizeof words);
	if (strcmp(error->code, LOCK_NOT_AVAILABLE) == 0)
		(void)pg_fail(
		    error, result,
		    "another session has held a lock on %s for longer "
		    "than half of timeout_ms = %lld",
		    name, (long long)s->pg.timeout_ms);
	else if (result == SINK_MISCONFIGURED)
		(void)pg_fail(error, result, "%.100s: %.190s", name, words);
}

enum sink_result
write_batch(struct postgres *s, const struct batch *b, struct sink_error *error)
{
	struct write_results a = {.unchanged = true, .stored = b->count == 0};
	enum event_field field;
	enum sink_result result;
	size_t bad;

	pg_begin(&s->pg);
	bad = copy_check(&s->table.columns, b->events, b->count, &field);
	if (bad < b->count)
		return bad_field(s, b, bad, field, error);
	result = send_statements(s, b, error);
	if (result == SINK_DONE)
		result = write_read_results(s, b, &a, error);
	if (result == SINK_DONE && !a.unchanged)
		return report_columns_changed(error);
	if (result == SINK_DONE && a.fenced)
		return report_fenced(b, error);
	if (result == SINK_DONE && a.copying) {
		result = write_rows(s, b, &s->table.columns, false, error);
		if (result == SINK_DONE)
			result = write_read_results(s, b, &a, error);
	}
	if ((result == SINK_MISCONFIGURED || result == SINK_UNREACHABLE) &&
	    a.copying && (!a.stored || a.moved) && is_events_fault(s, b, error))
		result = SINK_REJECT;
	if (result == SINK_REJECT)
		return confirm_rejected(s, b, error);
	name_table(s, &a, result, error);
	/* A proxy, say, may answer statements that it passes to no server. */
	if (result == SINK_DONE && !(a.stored && a.moved && a.committed))
		result = pg_unexpected(error);
	if (result == SINK_DONE)
		write_remember_stream(s, b->stream);
	if (result == SINK_DONE && s->settings->dedup_by_id && a.copying &&
	    a.inserted + a.dropped < b->count)
		error->duplicates = b->count - a.inserted - a.dropped;
	return result;
}
