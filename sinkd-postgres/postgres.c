/* postgres - see postgres.h. */
#include "sinkd-postgres/postgres.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libbase/secret.h"
#include "sinkd-postgres/create_tables.h"
#include "sinkd-postgres/rejected_rows.h"
#include "sinkd-postgres/write.h"

#define APPLICATION "leat sinkd-" SINK_NAME
#define SECTION "sinkd-" SINK_NAME

#define PORT_ALLOWED                                                           \
	"must be from 1 to 65535, with commas between those of several hosts"

/* The first one is libpq's own, or what conninfo says. */
static const char *const sslmodes[] = {
    "",        "disable",   "allow",       "prefer",
    "require", "verify-ca", "verify-full", NULL};

#define AT(field) offsetof(struct postgres_settings, field)

static const struct conf_key keys[] = {
    {"host", CONF_TEXT, AT(host), "", 0, 500, NULL,
     "Server, or directory of its socket; of several, separated by commas, "
     "the primary is used; empty: libpq's own."},
    {"port", CONF_TEXT, AT(port), "", 0, 50, NULL,
     "Port; empty: libpq's own, 5432."},
    {"dbname", CONF_TEXT, AT(dbname), "", 0, 100, NULL,
     "Database; empty: named like the user."},
    {"user", CONF_TEXT, AT(user), "", 0, 100, NULL,
     "User; empty: the one the sink runs as."},
    {"password_file", CONF_TEXT, AT(password_file), "", 0, 1000, NULL,
     "File whose first line is the password; empty: LEAT_POSTGRES_PASSWORD "
     "in the environment, or libpq's own ways."},
    {"sslmode", CONF_CHOICE, AT(sslmode), "", 0, 0, sslmodes,
     "As libpq has it; verify-full checks the server."},
    {"sslrootcert", CONF_TEXT, AT(sslrootcert), "", 0, 1000, NULL,
     "File with the certificates to trust."},
    {"conninfo", CONF_TEXT, AT(conninfo), "", 0, 2000, NULL,
     "Further libpq settings, 'key=value ...'; the keys above win."},
    {"table", CONF_TEXT, AT(table), "events", 1, 200, NULL,
     "Table of the events, perhaps with its schema, as in SQL."},
    {"position_table", CONF_TEXT, AT(position_table), "leat_position", 1, 200,
     NULL, "Table of the positions, in the same database."},
    {"create_table", CONF_BOOL, AT(create_table), "no", 0, 0, NULL,
     "Create the two tables when they are missing."},
    {"dedup_by_id", CONF_BOOL, AT(dedup_by_id), "no", 0, 0, NULL,
     "Store an id only once, also when it was sent twice; needs a unique "
     "index on id."},
    {0},
};

static enum sink_result
postgres_read_password(struct postgres *s, struct sink_error *error)
{
	const char *file = s->settings->password_file;
	int rc;

	/* A file is read at each connection: passwords are changed. */
	if (!file[0] && s->password_read)
		return SINK_DONE;
	s->password_read = true;
	rc = secret_read(file, "LEAT_POSTGRES_PASSWORD", s->password,
	                 sizeof s->password);
	if (rc < 0)
		return pg_fail(error, SINK_MISCONFIGURED,
		               "cannot read password_file %s: %s", file,
		               strerror(-rc));
	return SINK_DONE;
}

static enum sink_result
connect_server(struct postgres *s, int64_t timeout_ms, struct sink_error *error)
{
	const struct postgres_settings *c = s->settings;
	/* Of several hosts, or of a name's several addresses, the primary. */
	const char *target = getenv("PGTARGETSESSIONATTRS") ? "" : "read-write";
	char user_timeout[24];
	const struct {
		const char *keyword, *value;
	} all[] = {
	    /* First, so that conninfo can say otherwise. */
	    {"target_session_attrs", target},
	    {"dbname", c->conninfo}, /* expanded, being the first of it */
	    {"host", c->host},
	    {"port", c->port},
	    {"dbname", c->dbname},
	    {"user", c->user},
	    {"password", s->password},
	    {"sslmode", sslmodes[c->sslmode]},
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

/* What an operator should know of the server. */
static enum sink_result
check_server(struct postgres *s, struct sink_error *error)
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
		result = pg_fail(error, SINK_UNREACHABLE,
		                 "the server is a standby: it takes no writes");
	else if (strcmp(PQgetvalue(res, 0, 1), "off") == 0)
		log_warn("the server runs with fsync = off: a crash of its "
		         "machine can lose what is stored");
	PQclear(res);
	return result;
}

/*
 * End sessions of sinks that have sent nothing of a COPY for longer than
 * timeout_ms: no live sink waits so long.  The server would wait for ever for
 * the rows of one that is frozen, and keep what the rows have locked: entries
 * of a unique index, and whatever triggers have updated.
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
	/* Where this is not allowed, all else still works. */
	if (result == SINK_MISCONFIGURED)
		return SINK_DONE;
	if (result != SINK_DONE)
		return result;
	for (int i = 0; i < PQntuples(res); i++)
		log_warn("ended the session of a sink that was frozen during "
		         "its COPY pid=%s",
		         log_quote(PQgetvalue(res, i, 0)));
	PQclear(res);
	return SINK_DONE;
}

/* Whether the staging table can be made: nothing of it is left after. */
static enum sink_result
check_staging(struct postgres *s, struct sink_error *error)
{
	buf_clear(&s->sql);
	if (table_add_staging(&s->table, &s->sql) < 0 ||
	    buf_add(&s->sql, "", 1) < 0)
		return pg_fail(error, SINK_UNREACHABLE, "out of memory");
	return pg_run(&s->pg, (const char *)s->sql.data, error);
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

/* Whether a crash of the server can lose the position and keep its rows. */
static enum sink_result
check_crash(struct postgres *s, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result;
	int rc;

	buf_clear(&s->sql);
	rc = buf_addf(&s->sql, "SELECT 1 FROM pg_class p, pg_class e "
	                       "WHERE p.relpersistence <> 'p' "
	                       "AND e.relpersistence = 'p' "
	                       "AND p.oid = to_regclass(");
	if (rc == 0)
		rc = pg_add_literal(&s->pg, &s->sql, s->position_table);
	if (rc == 0)
		rc = buf_addf(&s->sql, ") AND e.oid = to_regclass(");
	if (rc == 0)
		rc = pg_add_literal(&s->pg, &s->sql, s->table.name);
	if (rc == 0)
		rc = buf_add(&s->sql, ")", sizeof ")");
	if (rc < 0)
		return pg_fail(error, SINK_UNREACHABLE, "out of memory");
	result = pg_query(&s->pg, (const char *)s->sql.data, 1, &res, error);
	if (result == SINK_DONE && PQntuples(res) > 0)
		result = pg_fail(error, SINK_MISCONFIGURED,
		                 "%s is UNLOGGED: a crash of the server would "
		                 "forget the position, and events would be "
		                 "stored twice; run: ALTER TABLE %s SET LOGGED",
		                 s->position_table, s->position_table);
	PQclear(res);
	return result;
}

static enum sink_result
postgres_open(void *state, const struct sink_common *common, const void *conf,
              struct sink_error *error)
{
	struct postgres *s = state;
	enum sink_result result;

	s->settings = conf;
	if (s->sql.max_bytes == 0) {
		buf_init(&s->sql, SQL_MAX);
		buf_init(&s->piece, WRITE_PIECE_MAX);
	}
	result = postgres_read_password(s, error);
	if (result == SINK_DONE)
		result = connect_server(s, common->timeout_ms, error);
	if (result != SINK_DONE)
		return result;
	pg_begin(&s->pg);
	result = check_server(s, error);
	if (result == SINK_DONE)
		result = end_frozen(s, error);
	if (result == SINK_DONE)
		result = create_position_table(s, error);
	if (result == SINK_DONE)
		result = open_table(s, error);
	if (result == SINK_DONE)
		result = check_crash(s, error);
	if (result == SINK_DONE)
		log_info(
		    "connected server=%s host=%s db=%s table=%s",
		    log_quote(PQparameterStatus(s->pg.conn, "server_version")),
		    log_quote(PQhost(s->pg.conn)), log_quote(PQdb(s->pg.conn)),
		    log_quote(s->table.name));
	return result;
}

static void
postgres_close(void *state)
{
	struct postgres *s = state;

	pg_close(&s->pg);
	free(s->position_table);
	s->position_table = NULL;
	buf_fini(&s->sql);
	buf_fini(&s->piece);
	s->stream[0] = '\0';
}

static enum sink_result
postgres_position(void *state, const char *stream, bool *found,
                  uint64_t *next_offset, struct sink_error *error)
{
	struct postgres *s = state;
	enum sink_result result;

	pg_begin(&s->pg);
	result = write_position(s, stream, found, next_offset, error);
	if (result == SINK_DONE && *found)
		write_remember_stream(s, stream);
	return result;
}

/* Settings. */

/* One or more TCP ports; each may be empty, which is libpq's default. */
static bool
is_port_list(const char *list)
{
	for (;;) {
		size_t n = strcspn(list, ",");

		if (n > 0 && !conf_is_port(list, n))
			return false;
		if (list[n] == '\0')
			return true;
		list += n + 1;
	}
}

static bool
is_sslmode(const char *text)
{
	for (size_t i = 0; sslmodes[i]; i++) {
		if (strcmp(sslmodes[i], text) == 0)
			return true;
	}
	return false;
}

/* The end of a name in SQL, quoted or not, that text begins with; or NULL. */
static const char *
name_end(const char *text)
{
	const char *p = text;

	if (*p == '"') {
		/* A quote in it is doubled. */
		for (p++; *p && (p[0] != '"' || p[1] == '"'); p++)
			p += *p == '"';
		return *p == '"' && p > text + 1 ? p + 1 : NULL;
	}
	/* Letters of other scripts need no quotes. */
	for (; isalnum((unsigned char)*p) || *p == '_' || *p == '$' ||
	       (unsigned char)*p >= 0x80;
	     p++) {
		if (p == text && (isdigit((unsigned char)*p) || *p == '$'))
			return NULL;
	}
	return p > text ? p : NULL;
}

/* [[database.]schema.]name */
static bool
is_table_name(const char *text)
{
	for (int parts = 0; parts < 3; parts++) {
		text = name_end(text);
		if (!text)
			return false;
		if (*text == '\0')
			return true;
		if (*text++ != '.')
			return false;
	}
	return false;
}

static int
check_table(const struct conf_source *source, const char *key, const char *name)
{
	if (is_table_name(name))
		return 0;
	return conf_refuse(source, SECTION, key, name,
	                   "must be a table's name as in SQL: events, "
	                   "app.events, or in quotes \"My Events\"");
}

/* Why an option may not stand in conninfo or dbname; NULL: it may. */
static const char *
refusal(const PQconninfoOption *o)
{
	/* --check shows conninfo and dbname. */
	static const char *const secrets[] = {
	    "password", "sslpassword", "scram_client_key", "scram_server_key",
	    "oauth_client_secret"};

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		if (strcmp(o->keyword, secrets[i]) == 0)
			return "does not belong here; use password_file or "
			       "LEAT_POSTGRES_PASSWORD";
	}
	if (strcmp(o->keyword, "sslkey") == 0 && strchr(o->val, ':'))
		return "with a colon names an engine of OpenSSL, which would "
		       "load code; use a file";
	if (strcmp(o->keyword, "sslkeylogfile") == 0)
		return "would write the keys of the connection to a file";
	return NULL;
}

/*
 * One of the settings in conninfo or dbname.  Both are shown by --check, so a
 * password is refused in them.
 */
static int
check_option(const struct conf_source *source, const char *key,
             const PQconninfoOption *o)
{
	static const char *const files[] = {"sslcert", "sslkey", "sslcrl"};
	const char *why = refusal(o);

	if (why)
		return conf_refuse(source, SECTION, key, NULL, "%s %s",
		                   o->keyword, why);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (strcmp(o->keyword, files[i]) == 0)
			return conf_check_file(source, SECTION, key, o->val);
	}
	if (strcmp(o->keyword, "port") == 0 && !is_port_list(o->val))
		return conf_refuse(source, SECTION, key, NULL,
		                   "port: " PORT_ALLOWED);
	if (strcmp(o->keyword, "sslmode") == 0 && !is_sslmode(o->val))
		return conf_refuse(source, SECTION, key, NULL,
		                   "sslmode: must be one of those that the "
		                   "key sslmode takes (see --help)");
	return 0;
}

/* libpq's own words about a text that does not parse would quote it. */
static int
check_conninfo(const struct conf_source *source, const char *key,
               const char *text)
{
	PQconninfoOption *all = PQconninfoParse(text, NULL);
	int rc = 0;

	if (!all)
		return conf_refuse(source, SECTION, key, NULL,
		                   "libpq cannot read it: must be 'key=value "
		                   "...' or a URI, without blanks around =, "
		                   "with quotes '' around values that have "
		                   "blanks");
	for (const PQconninfoOption *o = all; o->keyword; o++) {
		if (o->val && check_option(source, key, o) < 0)
			rc = -EINVAL;
	}
	PQconninfoFree(all);
	return rc;
}

/* The value of a keyword in a connection text, copied to out; or empty. */
static void
copy_conninfo_option(const char *text, const char *keyword, char *out,
                     size_t size)
{
	PQconninfoOption *all =
	    text ? PQconninfoParse(text, NULL) : PQconndefaults();

	for (const PQconninfoOption *o = all; o && o->keyword; o++) {
		if (o->val && o->val[0] && strcmp(o->keyword, keyword) == 0)
			(void)snprintf(out, size, "%s", o->val);
	}
	PQconninfoFree(all);
}

/* libpq takes a database's name that looks so for further settings. */
static bool
dbname_is_conninfo(const struct postgres_settings *c)
{
	return strchr(c->dbname, '=') || strstr(c->dbname, "://");
}

/* What is in force for a keyword: the last of these that gives it counts. */
static void
find_option(const struct postgres_settings *c, const char *keyword,
            const char *setting, char *out, size_t size)
{
	out[0] = '\0';
	copy_conninfo_option(NULL, keyword, out,
	                     size); /* from the environment */
	copy_conninfo_option(c->conninfo, keyword, out, size);
	if (dbname_is_conninfo(c))
		copy_conninfo_option(c->dbname, keyword, out, size);
	if (setting[0])
		(void)snprintf(out, size, "%s", setting);
}

/* Warn of what makes a password or the events anybody's. */
static void
postgres_warn_of_settings(const struct conf_source *source,
                          const struct postgres_settings *c)
{
	char host[512], address[512], mode[32], passwords[512];
	bool password;

	find_option(c, "passfile", "", passwords, sizeof passwords);
	password = c->password_file[0] || passwords[0] ||
	           getenv("LEAT_POSTGRES_PASSWORD") || getenv("PGPASSWORD");
	find_option(c, "host", c->host, host, sizeof host);
	find_option(c, "hostaddr", "", address, sizeof address);
	find_option(c, "sslmode", sslmodes[c->sslmode], mode, sizeof mode);
	if (secret_stays_local(address[0] ? address : host))
		return;
	if (strcmp(mode, "verify-full") == 0)
		return;
	if (strcmp(mode, "verify-ca") == 0 || strcmp(mode, "require") == 0)
		conf_warn(source, SECTION, "sslmode", mode,
		          "the server is not checked: another could pose as "
		          "it; set sslmode = verify-full host=%s",
		          log_quote(host));
	else if (password)
		conf_warn(source, SECTION, "sslmode", mode,
		          "the password may be sent over a connection that is "
		          "not encrypted; set sslmode = verify-full host=%s",
		          log_quote(host));
}

static int
postgres_check_files(const struct conf_source *source,
                     const struct postgres_settings *c)
{
	int rc = secret_check_password(source, SECTION, c->password_file,
	                               PASSWORD_MAX);

	/* libpq 16 and later take this word for the system's certificates. */
	if (strcmp(c->sslrootcert, "system") != 0 &&
	    conf_check_file(source, SECTION, "sslrootcert", c->sslrootcert) < 0)
		rc = -EINVAL;
	return rc;
}

static int
postgres_check(const struct conf_source *source, const void *conf)
{
	const struct postgres_settings *c = conf;
	int rc = 0;

	if (c->host[0] != '/' && strpbrk(c->host, " \t"))
		rc = conf_refuse(source, SECTION, "host", c->host,
		                 "must be a name, an address or a directory, "
		                 "with commas and no blanks between several");
	if (!is_port_list(c->port))
		rc =
		    conf_refuse(source, SECTION, "port", c->port, PORT_ALLOWED);
	if (check_table(source, "table", c->table) < 0)
		rc = -EINVAL;
	if (check_table(source, "position_table", c->position_table) < 0)
		rc = -EINVAL;
	if (c->conninfo[0] &&
	    check_conninfo(source, "conninfo", c->conninfo) < 0)
		rc = -EINVAL;
	if (dbname_is_conninfo(c) &&
	    check_conninfo(source, "dbname", c->dbname) < 0)
		rc = -EINVAL;
	if (postgres_check_files(source, c) < 0)
		rc = -EINVAL;
	postgres_warn_of_settings(source, c);
	return rc;
}

static enum sink_result
postgres_write(void *state, const struct batch *batch, struct sink_error *error)
{
	return write_batch(state, batch, error);
}

static enum sink_result
postgres_probe(void *state, const struct batch *batch,
               const struct sink_refused *refused, size_t *looked,
               struct sink_error *error)
{
	return rejected_rows_find(state, batch, refused, looked, error);
}

const struct sink postgres_sink = {
    .name = SINK_NAME,
    .summary = "Writes events into a table of PostgreSQL, each exactly once.",
    .keys = keys,
    .conf_bytes = sizeof(struct postgres_settings),
    .state_bytes = sizeof(struct postgres),
    .batch_events = "10000",
    .batch_wait_ms = "10",
    .check = postgres_check,
    .open = postgres_open,
    .position = postgres_position,
    .write = postgres_write,
    .probe = postgres_probe,
    .close = postgres_close,
};
