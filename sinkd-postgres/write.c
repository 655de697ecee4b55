/* write - see write.h. */
#include "sinkd-postgres/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-postgres/position.h"
#include "sinkd-postgres/reject.h"

#define LOCK_NOT_AVAILABLE "55P03"

/* The name of a result column, by which write_on_rows recognizes the result. */
#define DROPPED "leat_dropped"

/* Append the statements for the rows of a batch, around the COPY. */
static void
add_copy(struct postgres *s, const struct batch *b)
{
	struct buf *sql = &s->sql;
	bool dedup = s->settings->dedup_by_id;

	buf_addf(sql, "LOCK TABLE %s IN ROW EXCLUSIVE MODE; ", s->table.name);
	table_add_types_query(&s->table, &s->pg, sql);
	buf_add_text(sql, "; ");
	pg_position_add_query(s, b->stream);
	buf_add_text(sql, "; ");
	if (dedup)
		table_add_staging(&s->table, sql);
	buf_addf(sql,
	         "COPY %s (" TABLE_COLUMNS ") FROM STDIN (FORMAT binary); ",
	         dedup ? TABLE_STAGING : s->table.name);
	if (dedup)
		buf_addf(sql,
		         "INSERT INTO %s (" TABLE_COLUMNS
		         ") SELECT " TABLE_COLUMNS " FROM " TABLE_STAGING " "
		         "ON CONFLICT (id) DO NOTHING; ",
		         s->table.name);
	/*
	 * Count the staged rows whose id the table does not have now.  These
	 * rows were not left out as duplicates: a trigger has dropped them.
	 */
	if (dedup && s->table.may_drop)
		buf_addf(sql,
		         "SELECT count(*) AS " DROPPED " FROM " TABLE_STAGING
		         " s WHERE NOT EXISTS (SELECT FROM %s t "
		         "WHERE t.id = s.id); ",
		         s->table.name);
}

/*
 * Build the statements of one batch, and send them.
 *
 * The position moves last.  Its row is then locked only during the commit, so
 * that a sink that is stopped during the COPY cannot block its successor.  When
 * it runs again, it finds that the position has moved, and nothing of what it
 * has sent is stored.
 */
static enum sink_result
send_statements(struct postgres *s, const struct batch *b,
                struct sink_error *error)
{
	buf_clear(&s->sql);
	buf_add_text(&s->sql, "BEGIN ISOLATION LEVEL READ COMMITTED; ");
	pg_add_local_settings(&s->pg, &s->sql);
	/*
	 * With off, the server would confirm the commit before it is on disk.
	 */
	buf_add_text(&s->sql, "SELECT set_config('synchronous_commit', 'on', "
	                      "true) WHERE current_setting("
	                      "'synchronous_commit') = 'off'; ");
	if (b->count > 0)
		add_copy(s, b);
	pg_position_add_move(s, b);
	buf_add_text(&s->sql, "COMMIT");
	return pg_send(&s->pg, pg_statements(&s->sql, error), error);
}

/* What the results of a batch's statements have reported so far. */
struct write_results {
	bool fenced;    /* the position differed before the COPY */
	bool unchanged; /* the columns have the types that the sink knows */
	bool copying;   /* the server waits for COPY data */
	bool stored;    /* the rows are in the table, or the batch has none */
	bool moved;     /* the position moved from the expected value */
	bool committed;
	/* with dedup_by_id: rows inserted from the staging table */
	size_t inserted;
	size_t dropped; /* with dedup_by_id: rows that a trigger dropped */
};

static bool
is_result(const PGresult *res, const char *column)
{
	return PQnfields(res) == 1 && strcmp(PQfname(res, 0), column) == 0;
}

/*
 * Return true if the position before the COPY is the expected one.  A new
 * stream has none.
 */
static bool
is_expected(const struct postgres *s, const struct batch *b,
            const PGresult *res)
{
	if (PQntuples(res) == 0)
		return !pg_position_is_remembered(s, b->stream);
	return strtoull(PQgetvalue(res, 0, 0), NULL, 10) == b->position;
}

static void
write_on_rows(const struct postgres *s, const struct batch *b,
              struct write_results *a, const PGresult *res)
{
	if (is_result(res, POSITION_MOVED))
		a->moved = PQntuples(res) == 1;
	else if (is_result(res, DROPPED))
		a->dropped = strtoul(PQgetvalue(res, 0, 0), NULL, 10);
	else if (is_result(res, POSITION_READ))
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
		/*
		 * A COMMIT of a failed transaction is answered with ROLLBACK.
		 */
		if (strcmp(tag, "COMMIT") == 0)
			a->committed = true;
	}
}

/*
 * Classify an error by the statement that failed.  Only two statements can fail
 * because of an event: the COPY, and the COMMIT, which checks deferred
 * constraints.  An error of any other statement is one of configuration.
 */
static enum sink_result
write_on_error(const struct batch *b, const struct write_results *a,
               const PGresult *res, struct sink_error *error)
{
	enum sink_result result = pg_classify(res, error);
	struct pg_diagnostics diagnostics;

	if (result != SINK_REJECT)
		return result;
	if (a->stored && !a->moved)
		return strcmp(error->code, MOVED_BY_OTHER) == 0
		           ? pg_position_fenced(b, error)
		           : SINK_MISCONFIGURED;
	if (!a->copying)
		return SINK_MISCONFIGURED;
	/* libpq's own errors, which have no diagnostics, are no rejects. */
	(void)pg_diagnostics_of(res, &diagnostics);
	return reject_classify(b, &diagnostics, 0, error);
}

/*
 * Receive results until the server waits for COPY data, or until the last one.
 */
static enum sink_result
write_read_results(struct postgres *s, const struct batch *b,
                   struct write_results *a, struct sink_error *error)
{
	enum sink_result result = SINK_DONE, failed;
	PGresult *res;

	while ((failed = pg_next(&s->pg, true, &res, error)) == SINK_DONE &&
	       res) {
		ExecStatusType status = PQresultStatus(res);

		if (pg_is_error(res))
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
		const uint64_t n = i;

		rc = copy_add_row(piece, columns, &b->events[i],
		                  numbered ? &n : NULL);
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
		return sink_fail(error, SINK_UNREACHABLE, "rows: %s",
		                 strerror(-rc));
	result = pg_copy(&s->pg, piece->data, piece->len, error);
	if (result == SINK_DONE)
		result = pg_copy_end(&s->pg, error);
	return result;
}

/*
 * A field does not fit the type that its column had when the sink read the
 * table.  Check whether the column has been changed since.
 */
static enum sink_result
bad_field(struct postgres *s, const struct batch *b, size_t index,
          enum event_field field, struct sink_error *error)
{
	enum sink_result result = reject_confirm_columns(s, error);

	if (result != SINK_DONE)
		return result;
	error->bad_event = index + 1;
	reject_name_field(field, error);
	return b->count == 1 ? pg_position_confirm(s, b, error) : SINK_REJECT;
}

/* Name the table in error: the position table or the table of events. */
static void
name_table(const struct postgres *s, const struct write_results *a,
           enum sink_result result, struct sink_error *error)
{
	bool copied = a->stored && !a->moved;
	const char *name = copied ? s->position_table : s->table.name;
	char text[sizeof error->text];

	memcpy(text, error->text, sizeof text);
	if (strcmp(error->code, LOCK_NOT_AVAILABLE) == 0)
		(void)sink_fail(
		    error, result,
		    "another session has held a lock on %s for longer "
		    "than half of timeout_ms = %lld",
		    name, (long long)s->pg.timeout_ms);
	else if (result == SINK_MISCONFIGURED)
		(void)sink_fail(error, result, "%.100s: %.190s", name, text);
}

enum sink_result
write_batch(void *state, const struct batch *b, struct sink_error *error)
{
	struct postgres *s = state;
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
		return reject_columns_changed(error);
	if (result == SINK_DONE && a.fenced)
		return pg_position_fenced(b, error);
	if (result == SINK_DONE && a.copying) {
		result = write_rows(s, b, &s->table.columns, false, error);
		if (result == SINK_DONE)
			result = write_read_results(s, b, &a, error);
	}
	if ((result == SINK_MISCONFIGURED || result == SINK_UNREACHABLE) &&
	    a.copying && (!a.stored || a.moved) &&
	    reject_is_events_fault(s, b, error))
		result = SINK_REJECT;
	if (result == SINK_REJECT)
		return reject_confirm(s, b, error);
	name_table(s, &a, result, error);
	/*
	 * A proxy may have answered the statements without passing them to a
	 * server.
	 */
	if (result == SINK_DONE && !(a.stored && a.moved && a.committed))
		result = pg_unexpected(error);
	if (result == SINK_DONE)
		pg_position_remember(s, b->stream);
	if (result == SINK_DONE && s->settings->dedup_by_id && a.copying &&
	    a.inserted + a.dropped < b->count)
		error->duplicates = b->count - a.inserted - a.dropped;
	return result;
}
