/* count - how many events a table of PostgreSQL has. */
#include "sinkd-postgres/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-postgres/open.h"
#include "sinkd-postgres/postgres.h"

#define INSUFFICIENT_PRIVILEGE "42501"

/* The columns of the result. */
enum { ROWS, DISTINCT, POSITION, OTHERS, COLUMNS };

/*
 * Append the query.  The position is of the same snapshot as the rows.  Streams
 * of retried dead letters have the events of a log, and are not others.
 */
static void
add_count_query(struct postgres *s, const char *stream, bool distinct)
{
	const char *table = s->settings->table;

	buf_add_text(&s->sql, "WITH p AS (SELECT stream = ");
	pg_add_literal(&s->pg, &s->sql, stream);
	buf_addf(&s->sql,
	         " AS own, next_offset FROM %s WHERE sink = "
	         "'" SINK_NAME "' AND stream NOT LIKE 'dead-%%') "
	         "SELECT r.n, r.apart, (SELECT next_offset FROM p "
	         "WHERE own), (SELECT coalesce(sum(next_offset), "
	         "0) FROM p WHERE NOT own) FROM ",
	         s->settings->position_table);
	/* The server keeps the groups in its work_mem, then on its disk. */
	if (distinct)
		buf_addf(&s->sql,
		         "(SELECT coalesce(sum(g.n), 0) AS n, count(*) AS "
		         "apart FROM (SELECT count(*) AS n FROM %s GROUP "
		         "BY id, received_at) g) r",
		         table);
	else
		buf_addf(&s->sql,
		         "(SELECT count(*) AS n, NULL AS apart FROM %s) r",
		         table);
}

static enum sink_result
ask_count(struct postgres *s, struct sink_count *count, bool distinct,
          struct sink_error *error)
{
	enum sink_result result;
	PGresult *res = NULL;

	pg_begin(&s->pg);
	buf_clear(&s->sql);
	add_count_query(s, count->stream, distinct);
	result = pg_query(&s->pg, pg_statements(&s->sql, error), COLUMNS, &res,
	                  error);
	if (result != SINK_DONE)
		return result;
	if (PQntuples(res) != 1) {
		PQclear(res);
		return pg_unexpected(error);
	}
	count->rows = strtoull(PQgetvalue(res, 0, ROWS), NULL, 10);
	count->distinct = strtoull(PQgetvalue(res, 0, DISTINCT), NULL, 10);
	count->position = strtoull(PQgetvalue(res, 0, POSITION), NULL, 10);
	count->others = strtoull(PQgetvalue(res, 0, OTHERS), NULL, 10);
	count->has = (distinct ? COUNT_DISTINCT : 0) |
	             (PQgetisnull(res, 0, POSITION) ? 0 : COUNT_POSITION);
	PQclear(res);
	return SINK_DONE;
}

/* Tell what an operator has to run. */
static void
add_grants(const struct postgres *s, struct sink_error *error)
{
	char text[sizeof error->text];

	if (strcmp(error->code, INSUFFICIENT_PRIVILEGE) != 0)
		return;
	memcpy(text, error->text, sizeof text);
	(void)sink_fail(error, SINK_MISCONFIGURED,
	                "%.300s; run: GRANT SELECT ON %s, %s TO \"%s\"", text,
	                s->settings->table, s->settings->position_table,
	                PQuser(s->pg.conn));
}

enum sink_result
postgres_count(void *state, const struct sink_common *common, const void *conf,
               struct sink_count *count, struct sink_error *error)
{
	struct postgres *s = state;
	enum sink_result result = postgres_connect(s, common, conf, error);

	if (result != SINK_DONE)
		return result;
	s->pg.read_only = true;
	count->unique_ids = s->settings->dedup_by_id;
	result = ask_count(s, count, true, error);
	if (result != SINK_DONE && strcmp(error->code, PG_TIMED_OUT) == 0 &&
	    PQstatus(s->pg.conn) == CONNECTION_OK) {
		*error = (struct sink_error){.bad_event = 0};
		result = ask_count(s, count, false, error);
		(void)snprintf(count->note, sizeof count->note,
		               "the time was too short to find rows that are "
		               "there twice; give a longer --timeout");
	}
	if (result != SINK_DONE)
		add_grants(s, error);
	return result;
}
