/* open - see open.h. */
#include "sinkd-postgres/open.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libbase/secret.h"
#include "sinkd-postgres/create_tables.h"
#include "sinkd-postgres/write.h"

#define APPLICATION "leat sinkd-" SINK_NAME

static enum sink_result
postgres_read_password(struct postgres *s, struct sink_error *error)
{
	const char *file = s->settings->password_file;
	int rc = secret_refresh(file, "LEAT_POSTGRES_PASSWORD", s->password,
	                        sizeof s->password, &s->password_known);

	if (rc < 0)
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "cannot read password_file %s: %s", file,
		                 strerror(-rc));
	return SINK_DONE;
}

static enum sink_result
connect_server(struct postgres *s, int64_t timeout_ms, struct sink_error *error)
{
	const struct postgres_settings *c = s->settings;
	/*
	 * Of several hosts, or of several addresses of a name, use the primary.
	 */
	const char *target = getenv("PGTARGETSESSIONATTRS") ? "" : "read-write";
	char user_timeout[24];
	const struct {
		const char *keyword, *value;
	} all[] = {
	    /* This is first, so that conninfo can override it. */
	    {"target_session_attrs", target},
	    {"dbname", c->conninfo}, /* libpq expands the first dbname */
	    {"host", c->host},
	    {"port", c->port},
	    {"dbname", c->dbname},
	    {"user", c->user},
	    {"password", s->password},
	    {"sslmode", postgres_sslmodes[c->sslmode]},
	    {"sslrootcert", c->sslrootcert},
	    {"application_name", APPLICATION},
	    {"client_encoding", "UTF8"},
	    {"tcp_user_timeout", user_timeout},
	};
	const char *keywords[ARRAY_LEN(all) + 1], *values[ARRAY_LEN(all) + 1];
	_Static_assert(ARRAY_LEN(all) <= PG_PAIRS_MAX, "too many pairs");
	size_t n = 0;

	(void)snprintf(user_timeout, sizeof user_timeout, "%" PRId64,
	               timeout_ms);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!all[i].value[0])
			continue;
		keywords[n] = all[i].keyword;
		values[n++] = all[i].value;
	}
	keywords[n] = values[n] = NULL;
	return pg_open(&s->pg, keywords, values, timeout_ms, error);
}

enum sink_result
postgres_check_server(struct postgres *s, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result = pg_query(
	    &s->pg, "SELECT pg_is_in_recovery(), current_setting('fsync')", 2,
	    &res, error);

	if (result != SINK_DONE)
		return result;
	if (PQntuples(res) != 1)
		result = pg_unexpected(error);
	else if (PQgetvalue(res, 0, 0)[0] == 't')
		result =
		    sink_fail(error, SINK_UNREACHABLE,
		              "the server is a standby and accepts no writes");
	else if (strcmp(PQgetvalue(res, 0, 1), "off") == 0)
		log_warn("the server runs with fsync = off: a crash of its "
		         "machine can lose stored events; set fsync = on");
	PQclear(res);
	return result;
}

/*
 * Terminate sessions of sinks that have sent no data of a COPY for longer than
 * timeout_ms.  A live sink never waits so long.
 *
 * If a sink is stopped during its COPY, the server waits for its rows for ever.
 * It keeps what the rows have locked: entries of a unique index, and rows that
 * triggers have updated.  This sink would then wait for these locks.
 */
static enum sink_result
end_frozen(struct postgres *s, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result;
	char sql[512];

	(void)snprintf(
	    sql, sizeof sql,
	    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
	    "WHERE application_name = '" APPLICATION "' "
	    "AND usename = current_user AND datname = current_database() "
	    "AND state = 'active' AND wait_event = 'ClientRead' "
	    "AND xact_start < clock_timestamp() - %" PRId64
	    " * interval '1 ms' LIMIT 10",
	    s->pg.timeout_ms);
	result = pg_query(&s->pg, sql, 2, &res, error);
	/*
	 * Terminating sessions may not be permitted.  The sink works without
	 * it.
	 */
	if (result == SINK_MISCONFIGURED)
		return SINK_DONE;
	if (result != SINK_DONE)
		return result;
	for (int i = 0; i < PQntuples(res); i++)
		log_warn("terminated the session of a sink that was stopped "
		         "during its COPY pid=%s",
		         log_quote(PQgetvalue(res, i, 0)));
	PQclear(res);
	return SINK_DONE;
}

/*
 * Check that the temporary table can be created.  It does not outlast the
 * transaction.
 */
static enum sink_result
check_staging(struct postgres *s, struct sink_error *error)
{
	buf_clear(&s->sql);
	table_add_staging(&s->table, &s->sql);
	return pg_run(&s->pg, pg_statements(&s->sql, error), error);
}

static enum sink_result
open_table(struct postgres *s, struct sink_error *error)
{
	const struct postgres_settings *c = s->settings;
	enum sink_result result = create_events_table(s, error);

	if (result == SINK_DONE)
		result = table_read(&s->table, &s->pg, c->table, c->dedup_by_id,
		                    error);
	if (result == SINK_DONE && c->dedup_by_id)
		result = check_staging(s, error);
	return result;
}

enum sink_result
postgres_check_crash(struct postgres *s, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result;

	buf_clear(&s->sql);
	buf_add_text(&s->sql, "SELECT 1 FROM pg_class p, pg_class e "
	                      "WHERE p.relpersistence <> 'p' "
	                      "AND e.relpersistence = 'p' "
	                      "AND p.oid = to_regclass(");
	pg_add_literal(&s->pg, &s->sql, s->position_table);
	buf_add_text(&s->sql, ") AND e.oid = to_regclass(");
	pg_add_literal(&s->pg, &s->sql, s->table.name);
	buf_add_text(&s->sql, ")");
	result =
	    pg_query(&s->pg, pg_statements(&s->sql, error), 1, &res, error);
	if (result == SINK_DONE && PQntuples(res) > 0)
		result =
		    sink_fail(error, SINK_MISCONFIGURED,
		              "%s is UNLOGGED: a crash of the server would "
		              "forget the position, and events would be "
		              "stored twice; run: ALTER TABLE %s SET LOGGED",
		              s->position_table, s->position_table);
	PQclear(res);
	return result;
}

enum sink_result
postgres_connect(struct postgres *s, const struct sink_common *common,
                 const void *conf, struct sink_error *error)
{
	enum sink_result result;

	s->settings = conf;
	if (s->sql.max_bytes == 0) {
		buf_init(&s->sql, SQL_MAX);
		buf_init(&s->piece, WRITE_PIECE_MAX);
	}
	result = postgres_read_password(s, error);
	if (result == SINK_DONE)
		result = connect_server(s, common->timeout_ms, error);
	if (result == SINK_DONE)
		pg_begin(&s->pg);
	return result;
}

enum sink_result
postgres_open(void *state, const struct sink_common *common, const void *conf,
              struct sink_error *error)
{
	struct postgres *s = state;
	enum sink_result result = postgres_connect(s, common, conf, error);

	if (result == SINK_DONE)
		result = postgres_check_server(s, error);
	if (result == SINK_DONE)
		result = end_frozen(s, error);
	if (result == SINK_DONE)
		result = create_position_table(s, error);
	if (result == SINK_DONE)
		result = open_table(s, error);
	if (result == SINK_DONE)
		result = postgres_check_crash(s, error);
	if (result == SINK_DONE)
		log_info(
		    "connected server=%s host=%s db=%s table=%s",
		    log_quote(PQparameterStatus(s->pg.conn, "server_version")),
		    log_quote(PQhost(s->pg.conn)), log_quote(PQdb(s->pg.conn)),
		    log_quote(s->table.name));
	return result;
}
