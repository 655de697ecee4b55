/* check - what `leat check` wants to know of a PostgreSQL server. */
#include "sinkd-postgres/sink.h"

#include <stdlib.h>
#include <string.h>

#include "libsink/finding.h"
#include "sinkd-postgres/create_tables.h"
#include "sinkd-postgres/open.h"
#include "sinkd-postgres/position.h"
#include "sinkd-postgres/postgres.h"

/*
 * Query something of one table: head, the table's name as a literal, tail.
 * Returns NULL after reporting why not.
 */
static PGresult *
check_query(struct postgres *s, const char *head, const char *table,
            const char *tail, int columns)
{
	struct sink_error error = {.bad_event = 0};
	PGresult *res = NULL;

	if (pg_query_with(&s->pg, head, table, tail, columns, &res, &error) ==
	    SINK_DONE)
		return res;
	finding_print(FINDING_ERROR, "cannot look at %s: %s", table,
	              error.text);
	return NULL;
}

static bool
check_connection(struct postgres *s, const struct sink_common *common,
                 const void *conf)
{
	struct sink_error error = {.bad_event = 0};
	enum sink_result result = postgres_connect(s, common, conf, &error);

	if (result != SINK_DONE) {
		finding_print(FINDING_ERROR, "%s: %s",
		              result == SINK_UNREACHABLE
		                  ? "unreachable; start the server, or correct "
		                    "host and port in [sinkd-postgres]"
		                  : "refused; correct user, password_file, "
		                    "dbname or sslmode in [sinkd-postgres], or "
		                    "the server's pg_hba.conf",
		              error.text);
		return false;
	}
	s->pg.read_only = true;
	if (postgres_check_server(s, &error) != SINK_DONE) {
		finding_print(FINDING_ERROR,
		              "%s; set host in [sinkd-postgres] to the primary",
		              error.text);
		return false;
	}
	finding_print(FINDING_OK,
	              "PostgreSQL %s, host %s, database %s, user %s",
	              PQparameterStatus(s->pg.conn, "server_version"),
	              PQhost(s->pg.conn), PQdb(s->pg.conn), PQuser(s->pg.conn));
	return true;
}

/* Whether a crash of the server's machine can lose what it has confirmed. */
static void
check_durability(struct postgres *s)
{
	struct sink_error error = {.bad_event = 0};
	PGresult *res = NULL;
	const char *commit;
	bool fsync, pages;

	if (pg_query(&s->pg,
	             "SELECT current_setting('fsync'), "
	             "current_setting('full_page_writes'), "
	             "current_setting('synchronous_commit')",
	             3, &res, &error) != SINK_DONE ||
	    PQntuples(res) != 1) {
		finding_print(FINDING_ERROR,
		              "cannot read the server's settings: %s",
		              error.text);
		PQclear(res);
		return;
	}
	fsync = strcmp(PQgetvalue(res, 0, 0), "on") == 0;
	pages = strcmp(PQgetvalue(res, 0, 1), "on") == 0;
	commit = PQgetvalue(res, 0, 2);
	if (!fsync)
		finding_print(
		    FINDING_ERROR,
		    "fsync = off: a crash of the server's machine "
		    "loses stored events; run: ALTER SYSTEM SET fsync "
		    "= on; SELECT pg_reload_conf()");
	if (!pages)
		finding_print(FINDING_WARNING,
		              "full_page_writes = off: a crash can damage the "
		              "tables; run, unless the file system cannot tear "
		              "a page: ALTER SYSTEM SET full_page_writes = on; "
		              "SELECT pg_reload_conf()");
	if (fsync && pages)
		finding_print(
		    FINDING_OK,
		    "a commit is on disk (synchronous_commit = %s%s)", commit,
		    strcmp(commit, "off") == 0 ? ", which the sink sets to on"
					       : "");
	PQclear(res);
}

/*
 * Have the server plan the statement that moves the position.  It checks the
 * columns, the unique index and the rights, and executes nothing.
 */
static void
check_position_table(struct postgres *s)
{
	const struct batch batch = {.stream = "leat-check"};
	struct sink_error error = {.bad_event = 0};
	PGresult *res = NULL;
	bool exists = false;

	if (find_position_table(s, &exists, &error) != SINK_DONE) {
		finding_print(FINDING_ERROR, "%s", error.text);
		return;
	}
	if (!exists) {
		finding_print(FINDING_OK,
		              "table of positions %s does not exist: would be "
		              "created",
		              s->position_table);
		return;
	}
	buf_clear(&s->sql);
	buf_add_text(&s->sql, "EXPLAIN ");
	pg_position_add_move(s, &batch);
	if (pg_query(&s->pg, pg_statements(&s->sql, &error), 1, &res, &error) ==
	    SINK_DONE)
		finding_print(FINDING_OK, "table of positions %s",
		              s->position_table);
	else
		finding_print(FINDING_ERROR,
		              "%s is not a table of positions: %s; run, with "
		              "create_table = yes: ALTER TABLE %s RENAME TO "
		              "old_leat_position",
		              s->position_table, error.text, s->position_table);
	PQclear(res);
}

/* One column; a row of the result has its type, its width and NOT NULL. */
static void
check_column(const struct postgres *s, enum event_field field,
             const PGresult *res, int row)
{
	static const long longest[FIELD_COUNT] = {
	    [FIELD_ID] = EVENT_ID_MAX,
	    [FIELD_TYPE] = EVENT_TYPE_MAX,
	    [FIELD_USER_ID] = EVENT_USER_ID_MAX,
	    [FIELD_PAYLOAD] = EVENT_PACKED_MAX,
	};
	const char *name = event_field_name(field), *table = s->table.name;
	const char *type = PQgetvalue(res, row, 1);
	long width = strtol(PQgetvalue(res, row, 2), NULL, 10);
	bool not_null = PQgetvalue(res, row, 3)[0] == 't';

	if (width > 0 && width < longest[field])
		finding_print(field == FIELD_PAYLOAD ? FINDING_ERROR
		                                     : FINDING_WARNING,
		              "column %s is %s: longer ones become "
		              "dead letters; run: ALTER TABLE %s ALTER COLUMN "
		              "%s TYPE text",
		              name, type, table, name);
	if (s->table.columns.kind[field] == COPY_UUID)
		finding_print(FINDING_WARNING,
		              "column %s is %s: an event whose %s is no UUID "
		              "becomes a dead letter; run, if there are such: "
		              "ALTER TABLE %s ALTER COLUMN %s TYPE text",
		              name, type, name, table, name);
	if (field == FIELD_USER_ID && not_null)
		finding_print(FINDING_WARNING,
		              "column user_id is NOT NULL: an event without a "
		              "user becomes a dead letter; run: ALTER TABLE %s "
		              "ALTER COLUMN user_id DROP NOT NULL",
		              table);
}

/* Which values of events would not fit. */
static void
check_columns(struct postgres *s)
{
	PGresult *res = check_query(
	    s,
	    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), "
	    "CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 "
	    "WHEN t.typtypmod > 4 THEN t.typtypmod - 4 ELSE 0 END, "
	    "a.attnotnull OR t.typnotnull FROM pg_attribute a "
	    "JOIN pg_type t ON t.oid = a.atttypid WHERE a.attnum > 0 "
	    "AND NOT a.attisdropped AND a.attrelid = to_regclass(",
	    s->table.name, ")", 4);

	for (int row = 0; res && row < PQntuples(res); row++) {
		for (int f = 0; f < FIELD_COUNT; f++) {
			enum copy_kind kind = s->table.columns.kind[f];

			if (strcmp(PQgetvalue(res, row, 0),
			           event_field_name((enum event_field)f)) ==
			        0 &&
			    (kind == COPY_TEXT || kind == COPY_UUID))
				check_column(s, (enum event_field)f, res, row);
		}
	}
	PQclear(res);
}

/*
 * What else makes the server refuse events.  contype is that of pg_constraint;
 * 'i' stands for a unique index.  With dedup_by_id the index on id alone is the
 * one that the sink needs.
 */
static void
check_constraints(struct postgres *s)
{
	bool dedup = s->settings->dedup_by_id;
	PGresult *res = check_query(
	    s,
	    "SELECT quote_ident(x.name), x.def, x.is_id FROM (SELECT "
	    "c.conname AS name, pg_get_constraintdef(c.oid) AS def, false "
	    "AS is_id, c.conrelid AS rel FROM pg_constraint c WHERE "
	    "c.contype IN ('c', 'f', 'x') UNION ALL SELECT i.relname, "
	    "pg_get_indexdef(i.oid), u.indnkeyatts = 1 AND u.indpred IS "
	    "NULL AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid "
	    "= u.indrelid AND a.attnum = u.indkey[0] AND a.attname = 'id'), "
	    "u.indrelid FROM pg_index u JOIN pg_class i ON i.oid = "
	    "u.indexrelid WHERE u.indisunique) x WHERE x.rel = to_regclass(",
	    s->table.name, ") ORDER BY 1 LIMIT 20", 3);

	for (int row = 0; res && row < PQntuples(res); row++) {
		bool is_id = PQgetvalue(res, row, 2)[0] == 't';

		if (is_id && dedup)
			continue;
		if (is_id)
			finding_print(FINDING_WARNING,
			              "the index %s allows each id once: an "
			              "event that is sent twice becomes a "
			              "dead letter; set dedup_by_id = yes",
			              PQgetvalue(res, row, 0));
		else
			finding_print(FINDING_WARNING,
			              "events that violate %s (%s) become "
			              "dead letters; drop it, if such events "
			              "come",
			              PQgetvalue(res, row, 0),
			              PQgetvalue(res, row, 1));
	}
	PQclear(res);
}

/* PostgreSQL refuses COPY into a table whose policies apply to the user. */
static void
check_policies(struct postgres *s)
{
	PGresult *res = check_query(s,
	                            "SELECT quote_ident(current_user) WHERE "
	                            "row_security_active(to_regclass(",
	                            s->table.name, "))", 1);

	if (res && PQntuples(res) == 1)
		finding_print(FINDING_ERROR,
		              "row-level security applies to the sink's user, "
		              "and PostgreSQL then refuses COPY; run: ALTER "
		              "TABLE %s DISABLE ROW LEVEL SECURITY, or: ALTER "
		              "USER %s BYPASSRLS",
		              s->table.name, PQgetvalue(res, 0, 0));
	PQclear(res);
}

static void
check_unlogged(struct postgres *s)
{
	PGresult *res = check_query(s,
	                            "SELECT 1 FROM pg_class WHERE "
	                            "relpersistence = 'u' AND oid = "
	                            "to_regclass(",
	                            s->table.name, ")", 1);

	if (res && PQntuples(res) == 1)
		finding_print(FINDING_ERROR,
		              "%s is UNLOGGED: a crash of the server empties "
		              "it; run: ALTER TABLE %s SET LOGGED",
		              s->table.name, s->table.name);
	PQclear(res);
}

static void
check_events_table(struct postgres *s)
{
	const struct postgres_settings *c = s->settings;
	struct sink_error error = {.bad_event = 0};
	enum sink_result result;
	bool exists = false;

	result = find_events_table(s, &exists, &error);
	if (result == SINK_DONE && !exists) {
		finding_print(FINDING_OK,
		              "table %s does not exist: would be created",
		              c->table);
		return;
	}
	if (result == SINK_DONE)
		result = table_read(&s->table, &s->pg, c->table, c->dedup_by_id,
		                    &error);
	if (result != SINK_DONE) {
		finding_print(FINDING_ERROR, "%s", error.text);
		return;
	}
	finding_print(FINDING_OK,
	              "table %s: the columns can hold events, and %s may "
	              "insert them",
	              s->table.name, PQuser(s->pg.conn));
	check_columns(s);
	check_constraints(s);
	check_policies(s);
	check_unlogged(s);
	if (s->position_table && postgres_check_crash(s, &error) != SINK_DONE)
		finding_print(FINDING_ERROR, "%s", error.text);
}

void
postgres_check_store(void *state, const struct sink_common *common,
                     const void *conf, const char *stream)
{
	struct postgres *s = state;

	(void)stream;
	if (!check_connection(s, common, conf))
		return;
	/* One time limit for each step, as for each step of open. */
	check_durability(s);
	pg_begin(&s->pg);
	check_position_table(s);
	pg_begin(&s->pg);
	check_events_table(s);
}
