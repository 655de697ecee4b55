/* postgres - see postgres.h. */
#include "sinkd-postgres/postgres.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "sinkd-postgres/copy.h"
#include "sinkd-postgres/pg.h"
#include "sinkd-postgres/table.h"

#define SINK_NAME "postgres"
#define STREAM_MAX 64
#define PASSWORD_MAX 256
#define SQL_MAX (16 * KIB)

/* COPY data is sent in pieces of about this size, while it is made. */
#define PIECE_BYTES (64 * KIB)
#define PIECE_MAX (PIECE_BYTES + EVENT_PACKED_MAX + COPY_ROW_EXTRA + 64)

struct settings {
	char *conninfo, *host, *port, *dbname, *user, *password_file;
	char *sslmode, *sslrootcert;
	char *table, *position_table;
	bool create_table, dedup_by_id;
};

struct state {
	struct pg pg;
	struct table table;
	const struct settings *settings;
	char password[PASSWORD_MAX];
	bool password_asked;     /* the environment is read once */
	char stream[STREAM_MAX]; /* whose position row is known to be there */
	char *position_table;    /* quoted; owned */
	struct buf sql;
	struct buf piece;
};

#define TEXT(field, start, longest, text)                                      \
	{                                                                      \
		.name = #field, .type = CONF_TEXT,                             \
		.offset = offsetof(struct settings, field), .initial = start,  \
		.max = longest, .help = text                                   \
	}

#define YES_NO(field, start, text)                                             \
	{                                                                      \
		.name = #field, .type = CONF_BOOL,                             \
		.offset = offsetof(struct settings, field), .initial = start,  \
		.help = text                                                   \
	}

static const struct conf_key keys[] = {
    TEXT(host, "", 500, "Server, or folder of its socket; empty: libpq's own."),
    TEXT(port, "", 50, "Port; empty: libpq's own, 5432."),
    TEXT(dbname, "", 100, "Database; empty: named like the user."),
    TEXT(user, "", 100, "User; empty: the one the sink runs as."),
    TEXT(password_file, "", 1000,
         "File whose first line is the password; empty: "
         "LEAT_POSTGRES_PASSWORD or libpq's own."),
    TEXT(sslmode, "", 20, "As libpq has it; verify-full checks the server."),
    TEXT(sslrootcert, "", 1000, "File with the certificates to trust."),
    TEXT(conninfo, "", 2000,
         "Further libpq settings, 'key=value ...'; the keys above win."),
    TEXT(table, "events", 200,
         "Table of the events, perhaps with its schema, as in SQL."),
    TEXT(position_table, "leat_position", 200,
         "Table of the positions; in the same database."),
    YES_NO(create_table, "no", "Create the two tables when they are missing."),
    YES_NO(dedup_by_id, "no",
           "Store an id only once, also when it was sent twice; needs a "
           "unique index on id."),
    {0},
};

static int
on_check(const void *conf)
{
	const struct settings *s = conf;

	if (s->table[0] && s->position_table[0])
		return 0;
	log_error("[sinkd-postgres] table and position_table need a name");
	return -EINVAL;
}

static void
on_notice(void *arg, const PGresult *res)
{
	(void)arg;
	log_debug("notice text=%s", log_quote(PQresultErrorMessage(res)));
}

static enum sink_result
read_password(struct state *s, struct sink_error *error)
{
	const char *file = s->settings->password_file;
	int rc;

	/* A file is read at each connection: passwords are changed. */
	if (!file[0] && s->password_asked)
		return SINK_DONE;
	s->password_asked = true;
	rc = conf_secret(file, "LEAT_POSTGRES_PASSWORD", s->password,
	                 sizeof s->password);
	if (rc < 0)
		return pg_fail(error, SINK_SETUP,
		               "cannot read password_file %s: %s", file,
		               strerror(-rc));
	return SINK_DONE;
}

static enum sink_result
connect_server(struct state *s, int64_t timeout_ms, struct sink_error *error)
{
	const struct settings *c = s->settings;
	char seconds[24], user_timeout[24];
	const struct {
		const char *keyword, *value;
	} all[] = {
	    {"dbname", c->conninfo}, /* expanded, being first */
	    {"host", c->host},
	    {"port", c->port},
	    {"dbname", c->dbname},
	    {"user", c->user},
	    {"password", s->password},
	    {"sslmode", c->sslmode},
	    {"sslrootcert", c->sslrootcert},
	    {"application_name", "leat sinkd-" SINK_NAME},
	    {"client_encoding", "UTF8"},
	    {"connect_timeout", seconds},
	    {"tcp_user_timeout", user_timeout},
	};
	const char *keywords[ARRAY_LEN(all) + 1], *values[ARRAY_LEN(all) + 1];
	size_t n = 0;

	/* libpq counts in seconds, and takes 1 for 2. */
	(void)snprintf(seconds, sizeof seconds, "%" PRId64,
	               (timeout_ms + 999) / 1000);
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

/* What a session needs, and what an operator should know of the server. */
static enum sink_result
set_session(struct state *s, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result;
	char sql[512];

	(void)snprintf(sql, sizeof sql,
	               "SET statement_timeout = %" PRId64 "; "
	               "SET client_min_messages = warning; "
	               "SELECT current_setting('synchronous_commit'), "
	               "current_setting('fsync'), pg_is_in_recovery()",
	               s->pg.timeout_ms);
	result = pg_run(&s->pg, sql, &res, error);
	if (result != SINK_DONE)
		return result;
	if (PQgetvalue(res, 0, 2)[0] == 't')
		result = pg_fail(error, SINK_AWAY,
		                 "the server is a standby: it takes no writes");
	else if (strcmp(PQgetvalue(res, 0, 0), "off") == 0)
		result =
		    pg_run(&s->pg, "SET synchronous_commit = on", NULL, error);
	if (result == SINK_DONE && strcmp(PQgetvalue(res, 0, 1), "off") == 0)
		log_warn("the server runs with fsync = off: a crash of its "
		         "machine can lose what is stored");
	PQclear(res);
	return result;
}

/* Format a statement around quoted text, in s->sql, NUL included. */
static int sql_set(struct state *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int
sql_set(struct state *s, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof text)
		return -EMSGSIZE;
	buf_clear(&s->sql);
	return buf_add(&s->sql, text, (size_t)n + 1);
}

static enum sink_result
run_sql(struct state *s, PGresult **res, struct sink_error *error)
{
	return pg_run(&s->pg, (const char *)s->sql.data, res, error);
}

/*
 * Whether the table `name` is there, and its name as SQL, in out.  The name
 * is the operator's SQL; the server takes it apart.
 */
static enum sink_result
look_up(struct state *s, const char *name, bool *exists, char **out,
        struct sink_error *error)
{
	char *literal = PQescapeLiteral(s->pg.conn, name, strlen(name));
	PGresult *res = NULL;
	enum sink_result result;

	if (!literal || sql_set(s,
	                        "SELECT to_regclass(%s) IS NOT NULL, "
	                        "string_agg(quote_ident(x), '.') "
	                        "FROM unnest(parse_ident(%s)) x",
	                        literal, literal) < 0)
		result = pg_fail(error, SINK_AWAY, "out of memory");
	else
		result = run_sql(s, &res, error);
	PQfreemem(literal);
	if (result != SINK_DONE)
		return result;
	*exists = PQgetvalue(res, 0, 0)[0] == 't';
	free(*out);
	*out = strdup(PQgetvalue(res, 0, 1));
	PQclear(res);
	return *out ? SINK_DONE : pg_fail(error, SINK_AWAY, "out of memory");
}

static enum sink_result
create_events(struct state *s, const char *name, struct sink_error *error)
{
	if (sql_set(s,
	            "CREATE TABLE %s (id text NOT NULL%s, type text NOT NULL, "
	            "user_id text, payload jsonb NOT NULL, "
	            "created_at timestamptz NOT NULL, "
	            "received_at timestamptz NOT NULL)",
	            name, s->settings->dedup_by_id ? " PRIMARY KEY" : "") < 0)
		return pg_fail(error, SINK_AWAY, "out of memory");
	log_info("creating the table name=%s", log_quote(name));
	return run_sql(s, NULL, error);
}

#define POSITION_SQL                                                           \
	"CREATE TABLE %s (stream text, sink text, next_offset bigint NOT "     \
	"NULL, PRIMARY KEY (stream, sink))"

static enum sink_result
open_position(struct state *s, struct sink_error *error)
{
	const struct settings *c = s->settings;
	bool exists = false;
	enum sink_result result =
	    look_up(s, c->position_table, &exists, &s->position_table, error);

	if (result != SINK_DONE || exists)
		return result;
	if (!c->create_table)
		return pg_fail(error, SINK_SETUP,
		               "position table is missing: set create_table = "
		               "yes or run: " POSITION_SQL,
		               s->position_table);
	if (sql_set(s, POSITION_SQL, s->position_table) < 0)
		return pg_fail(error, SINK_AWAY, "out of memory");
	return run_sql(s, NULL, error);
}

static enum sink_result
open_table(struct state *s, struct sink_error *error)
{
	const struct settings *c = s->settings;
	enum sink_result result = SINK_DONE;
	bool exists = true;
	char *name = NULL;

	if (c->create_table)
		result = look_up(s, c->table, &exists, &name, error);
	if (result == SINK_DONE && !exists)
		result = create_events(s, name, error);
	free(name);
	if (result == SINK_DONE)
		result = table_read(&s->table, &s->pg, c->table, c->dedup_by_id,
		                    error);
	if (result == SINK_DONE && c->dedup_by_id) {
		if (sql_set(s,
		            "CREATE TEMP TABLE leat_staging ON COMMIT DELETE "
		            "ROWS AS SELECT " TABLE_COLUMNS " FROM %s "
		            "WITH NO DATA",
		            s->table.name) < 0)
			return pg_fail(error, SINK_AWAY, "out of memory");
		result = run_sql(s, NULL, error);
	}
	return result;
}

static enum sink_result
on_open(void *state, const struct sink_common *common, const void *conf,
        struct sink_error *error)
{
	struct state *s = state;
	enum sink_result result;

	s->settings = conf;
	if (s->sql.max_bytes == 0) {
		buf_init(&s->sql, SQL_MAX);
		buf_init(&s->piece, PIECE_MAX);
	}
	result = read_password(s, error);
	if (result == SINK_DONE)
		result = connect_server(s, common->timeout_ms, error);
	if (result != SINK_DONE)
		return result;
	(void)PQsetNoticeReceiver(s->pg.conn, on_notice, NULL);
	pg_begin(&s->pg);
	result = set_session(s, error);
	if (result == SINK_DONE)
		result = open_position(s, error);
	if (result == SINK_DONE)
		result = open_table(s, error);
	if (result == SINK_DONE)
		log_info(
		    "connected server=%s host=%s db=%s table=%s",
		    log_quote(PQparameterStatus(s->pg.conn, "server_version")),
		    log_quote(PQhost(s->pg.conn)), log_quote(PQdb(s->pg.conn)),
		    log_quote(s->table.name));
	return result;
}

static void
on_close(void *state)
{
	struct state *s = state;

	pg_close(&s->pg);
	free(s->position_table);
	s->position_table = NULL;
	buf_fini(&s->sql);
	buf_fini(&s->piece);
	s->stream[0] = '\0';
}

static void
remember_stream(struct state *s, const char *stream)
{
	/* A longer one is asked for each time: the cost is a no-op INSERT. */
	if (strlen(stream) < sizeof s->stream)
		memcpy(s->stream, stream, strlen(stream) + 1);
}

static enum sink_result
on_position(void *state, const char *stream, bool *found, uint64_t *next_offset,
            struct sink_error *error)
{
	struct state *s = state;
	char *literal = PQescapeLiteral(s->pg.conn, stream, strlen(stream));
	PGresult *res = NULL;
	enum sink_result result;

	pg_begin(&s->pg);
	if (!literal ||
	    sql_set(s,
	            "SELECT next_offset FROM %s WHERE stream = %s AND "
	            "sink = '" SINK_NAME "'",
	            s->position_table, literal) < 0)
		result = pg_fail(error, SINK_AWAY, "out of memory");
	else
		result = run_sql(s, &res, error);
	PQfreemem(literal);
	if (result != SINK_DONE)
		return result;
	*found = PQntuples(res) == 1;
	if (*found) {
		*next_offset = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
		remember_stream(s, stream);
	}
	PQclear(res);
	return SINK_DONE;
}

/* The statements of one batch, up to the COPY and behind it. */
static int
add_statements(struct state *s, const struct batch *b, const char *stream)
{
	struct buf *sql = &s->sql;
	bool dedup = s->settings->dedup_by_id;
	int rc;

	buf_clear(sql);
	rc = buf_addf(sql, "BEGIN ISOLATION LEVEL READ COMMITTED; ");
	if (rc == 0 && strcmp(s->stream, b->stream) != 0)
		rc = buf_addf(sql,
		              "INSERT INTO %s (stream, sink, next_offset) "
		              "VALUES (%s, '" SINK_NAME "', %" PRIu64 ") "
		              "ON CONFLICT (stream, sink) DO NOTHING; ",
		              s->position_table, stream, b->position);
	/* I9: moves only from the value we know. */
	if (rc == 0)
		rc = buf_addf(sql,
		              "UPDATE %s SET next_offset = %" PRIu64
		              " WHERE stream = %s AND sink = '" SINK_NAME
		              "' AND next_offset = %" PRIu64 "; ",
		              s->position_table, b->next_offset, stream,
		              b->position);
	if (rc == 0 && b->count > 0)
		rc = buf_addf(sql, "LOCK TABLE %s IN ROW EXCLUSIVE MODE; ",
		              s->table.name);
	if (rc == 0 && b->count > 0)
		rc = table_add_types_query(&s->table, &s->pg, sql);
	if (rc == 0 && b->count > 0)
		rc = buf_addf(sql,
		              "; COPY %s (" TABLE_COLUMNS
		              ") FROM STDIN (FORMAT binary); ",
		              dedup ? "pg_temp.leat_staging" : s->table.name);
	if (rc == 0 && b->count > 0 && dedup)
		rc = buf_addf(sql,
		              "INSERT INTO %s (" TABLE_COLUMNS
		              ") SELECT " TABLE_COLUMNS
		              " FROM pg_temp.leat_staging "
		              "ON CONFLICT (id) DO NOTHING; ",
		              s->table.name);
	return rc < 0 ? rc : buf_add(sql, "COMMIT", sizeof "COMMIT");
}

static enum sink_result
send_statements(struct state *s, const struct batch *b,
                struct sink_error *error)
{
	char *stream =
	    PQescapeLiteral(s->pg.conn, b->stream, strlen(b->stream));
	int rc = stream ? add_statements(s, b, stream) : -ENOMEM;

	PQfreemem(stream);
	if (rc < 0)
		return pg_fail(error, SINK_AWAY, "statements: %s",
		               strerror(-rc));
	return pg_send(&s->pg, (const char *)s->sql.data, error);
}

/* What the answers to a batch's statements have said so far. */
struct answers {
	bool moved;     /* UPDATE found the position where it should be */
	bool unchanged; /* the columns are of the types we know */
	bool copying;   /* the server waits for data */
	bool committed;
};

static void
on_answer(const struct state *s, struct answers *a, PGresult *res)
{
	const char *tag = PQcmdStatus(res);

	switch (PQresultStatus(res)) {
	case PGRES_COPY_IN:
		a->copying = true;
		return;
	case PGRES_TUPLES_OK:
		a->unchanged = table_unchanged(&s->table, res);
		return;
	default:
		if (strcmp(tag, "UPDATE 1") == 0)
			a->moved = true;
		/* COMMIT of a failed transaction answers ROLLBACK. */
		if (strcmp(tag, "COMMIT") == 0)
			a->committed = true;
	}
}

/* Read answers until the server waits for data, or to the end. */
static enum sink_result
read_answers(struct state *s, struct answers *a, struct sink_error *error)
{
	enum sink_result result = SINK_DONE, failed;
	PGresult *res;

	while ((failed = pg_next(&s->pg, &res, error)) == SINK_DONE && res) {
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
			result = pg_class(res, error);
		else
			on_answer(s, a, res);
		PQclear(res);
		if (status == PGRES_COPY_IN)
			return result;
		if (PQstatus(s->pg.conn) == CONNECTION_BAD)
			break;
	}
	return failed != SINK_DONE ? failed : result;
}

static enum sink_result
send_rows(struct state *s, const struct batch *b, struct sink_error *error)
{
	enum sink_result result = SINK_DONE;
	struct buf *piece = &s->piece;
	int rc;

	buf_clear(piece);
	rc = copy_add_header(piece);
	for (size_t i = 0; rc == 0 && i < b->count; i++) {
		rc = copy_add_row(piece, &s->table.columns, &b->events[i]);
		if (rc == 0 && piece->len >= PIECE_BYTES) {
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
		return pg_fail(error, SINK_AWAY, "rows: %s", strerror(-rc));
	result = pg_copy(&s->pg, piece->data, piece->len, error);
	if (result == SINK_DONE)
		result = pg_copy_end(&s->pg, NULL, error);
	return result;
}

static enum sink_result
columns_changed(struct sink_error *error)
{
	return pg_fail(error, SINK_AWAY,
	               "the table's columns have changed: reading them again");
}

/* A rejected batch leaves a failed transaction behind. */
static enum sink_result
rejected(struct state *s, struct sink_error *error)
{
	struct sink_error ignored = {0};
	enum sink_result result = SINK_DONE;

	if (PQtransactionStatus(s->pg.conn) != PQTRANS_IDLE)
		result = pg_run(&s->pg, "ROLLBACK", NULL, &ignored);
	if (result == SINK_DONE)
		return SINK_REJECT;
	*error = ignored;
	return SINK_AWAY;
}

/* One of the fields cannot be what its column is, as far as we know. */
static enum sink_result
bad_field(struct state *s, size_t index, enum copy_field field,
          struct sink_error *error)
{
	enum sink_result result;
	PGresult *res = NULL;
	bool same;

	/* But perhaps somebody has just mended the column. */
	buf_clear(&s->sql);
	if (table_add_types_query(&s->table, &s->pg, &s->sql) < 0 ||
	    buf_add(&s->sql, "", 1) < 0)
		return pg_fail(error, SINK_AWAY, "out of memory");
	result = run_sql(s, &res, error);
	if (result != SINK_DONE)
		return result;
	same = table_unchanged(&s->table, res);
	PQclear(res);
	if (!same)
		return columns_changed(error);
	(void)snprintf(error->code, sizeof error->code, "22P02");
	error->bad_event = index + 1;
	return pg_fail(error, SINK_REJECT,
	               "invalid input syntax for type uuid in column %s",
	               copy_field_name(field));
}

static enum sink_result
on_write(void *state, const struct batch *b, struct sink_error *error)
{
	struct state *s = state;
	struct answers a = {.unchanged = true};
	enum copy_field field;
	enum sink_result result;
	size_t bad;

	pg_begin(&s->pg);
	bad = copy_check(&s->table.columns, b->events, b->count, &field);
	if (bad < b->count)
		return bad_field(s, bad, field, error);
	result = send_statements(s, b, error);
	if (result == SINK_DONE)
		result = read_answers(s, &a, error);
	/* No event was involved yet: not its fault. */
	if (result == SINK_REJECT)
		return SINK_SETUP;
	if (result != SINK_DONE)
		return result;
	if (!a.unchanged)
		return columns_changed(error);
	if (!a.moved)
		return pg_fail(error, SINK_FENCED,
		               "the position is not %" PRIu64, b->position);
	if (a.copying) {
		result = send_rows(s, b, error);
		if (result == SINK_DONE)
			result = read_answers(s, &a, error);
	}
	if (result == SINK_REJECT)
		return rejected(s, error);
	if (result == SINK_DONE && !a.committed)
		result = pg_fail(error, SINK_AWAY, "no COMMIT was answered");
	if (result == SINK_DONE)
		remember_stream(s, b->stream);
	return result;
}

const struct sink postgres_sink = {
    .name = SINK_NAME,
    .summary = "Writes events into a table of PostgreSQL, each exactly once.",
    .keys = keys,
    .conf_bytes = sizeof(struct settings),
    .state_bytes = sizeof(struct state),
    .batch_events = "10000",
    .batch_wait_ms = "10",
    .check = on_check,
    .open = on_open,
    .position = on_position,
    .write = on_write,
    .close = on_close,
};
