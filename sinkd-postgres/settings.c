/* settings - see settings.h. */
#include "sinkd-postgres/settings.h"

#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/log.h"
#include "libbase/secret.h"

#define SECTION "sinkd-postgres"

#define PORT_ALLOWED                                                           \
	"must be from 1 to 65535, with commas between those of several hosts"

const char *const postgres_sslmodes[] = {
    "",        "disable",   "allow",       "prefer",
    "require", "verify-ca", "verify-full", NULL};

#define AT(field) offsetof(struct postgres_settings, field)

const struct conf_key postgres_keys[] = {
    {"host", CONF_TEXT, AT(host), "", 0, 500, NULL,
     "Server, or directory of its socket; of several, separated by commas, the "
     "primary is used; empty: libpq's default."},
    {"port", CONF_TEXT, AT(port), "", 0, 50, NULL,
     "Port; empty: libpq's default, 5432."},
    {"dbname", CONF_TEXT, AT(dbname), "", 0, 100, NULL,
     "Database; empty: the one named like the user."},
    {"user", CONF_TEXT, AT(user), "", 0, 100, NULL,
     "User; empty: the one that the sink runs as."},
    {"password_file", CONF_TEXT, AT(password_file), "", 0, 1000, NULL,
     "File whose first line is the password; empty: LEAT_POSTGRES_PASSWORD "
     "in the environment, or libpq's default."},
    {"sslmode", CONF_CHOICE, AT(sslmode), "", 0, 0, postgres_sslmodes,
     "As in libpq; verify-full checks the server; empty: libpq's default."},
    {"sslrootcert", CONF_TEXT, AT(sslrootcert), "", 0, 1000, NULL,
     "File with the certificates to trust."},
    {"conninfo", CONF_TEXT, AT(conninfo), "", 0, 2000, NULL,
     "Further libpq settings, 'key=value ...'; the keys above take "
     "precedence."},
    {"table", CONF_TEXT, AT(table), "events", 1, 200, NULL,
     "Table for the events, with its schema if needed, as in SQL."},
    {"position_table", CONF_TEXT, AT(position_table), "leat_position", 1, 200,
     NULL, "Table for the positions, in the same database."},
    {"create_table", CONF_BOOL, AT(create_table), "no", 0, 0, NULL,
     "Create the two tables if they do not exist."},
    {"dedup_by_id", CONF_BOOL, AT(dedup_by_id), "no", 0, 0, NULL,
     "Store each id only once, even if it was sent twice; needs a unique index "
     "on id."},
    {0},
};

/*
 * Return true for one TCP port, or several separated by commas.  An empty one
 * means libpq's default.
 */
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
	for (size_t i = 0; postgres_sslmodes[i]; i++) {
		if (strcmp(postgres_sslmodes[i], text) == 0)
			return true;
	}
	return false;
}

/*
 * Return the end of the SQL name, quoted or not, that the text begins with, or
 * NULL if it begins with none.
 */
static const char *
name_end(const char *text)
{
	const char *p = text;

	if (*p == '"') {
		/* A quote inside the name is doubled. */
		for (p++; *p && (p[0] != '"' || p[1] == '"'); p++)
			p += *p == '"';
		return *p == '"' && p > text + 1 ? p + 1 : NULL;
	}
	/* Characters of other scripts need no quotes. */
	for (; isalnum((unsigned char)*p) || *p == '_' || *p == '$' ||
	       (unsigned char)*p >= 0x80;
	     p++) {
		if (p == text && (isdigit((unsigned char)*p) || *p == '$'))
			return NULL;
	}
	return p > text ? p : NULL;
}

/* Return true for [[database.]schema.]name. */
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
check_table_name(const struct conf_source *source, const char *key,
                 const char *name)
{
	const char *schema = name_end(name);
	const char *end =
	    schema && *schema == '.' ? name_end(schema + 1) : NULL;

	if (is_table_name(name)) {
		if (end && *end == '.')
			conf_warn(source, SECTION, key, name,
			          "PostgreSQL refuses a table of another "
			          "database than dbname: write SCHEMA.TABLE");
		return 0;
	}
	return conf_refuse(source, SECTION, key, name,
	                   "must be a table's name as in SQL: events, "
	                   "app.events, or in quotes \"My Events\"");
}

/*
 * Return why an option is not allowed in conninfo or dbname, or NULL if it is
 * allowed.
 */
static const char *
refusal(const PQconninfoOption *o)
{
	/* --check prints conninfo and dbname. */
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
		return "would write the keys of the connection to a "
		       "file";
	return NULL;
}

/* Check one of the options in conninfo or dbname. */
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

/*
 * The message that libpq has for a text it cannot parse would quote that text,
 * which may hold a password.  So the refusal does not include it.
 */
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

/*
 * Copy the value of a keyword in a connection string to `out`, if it has one.
 * Without a string, use libpq's defaults, which include the environment.
 */
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

/* Return true if libpq would read further settings from the database's name. */
static bool
dbname_is_conninfo(const struct postgres_settings *c)
{
	return strchr(c->dbname, '=') || strstr(c->dbname, "://");
}

/*
 * Find the value that is in effect for a keyword.  Of these sources, the last
 * one that has a value is used.
 */
static void
find_option(const struct postgres_settings *c, const char *keyword,
            const char *setting, char *out, size_t size)
{
	out[0] = '\0';
	copy_conninfo_option(NULL, keyword, out,
	                     size); /* includes the environment */
	copy_conninfo_option(c->conninfo, keyword, out, size);
	if (dbname_is_conninfo(c))
		copy_conninfo_option(c->dbname, keyword, out, size);
	if (setting[0])
		(void)snprintf(out, size, "%s", setting);
}

/*
 * Warn if the server's certificate is to be checked, but there is no file with
 * the certificates to trust: each connection would fail.
 */
static void
postgres_warn_of_authorities(const struct conf_source *source,
                             const struct postgres_settings *c)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *home = getenv("HOME");
	char host[512], mode[32], file[1024];

	find_option(c, "host", c->host, host, sizeof host);
	find_option(c, "sslmode", postgres_sslmodes[c->sslmode], mode,
	            sizeof mode);
	find_option(c, "sslrootcert", c->sslrootcert, file, sizeof file);
	/* libpq does not use TLS on Unix sockets. */
	if (strncmp(mode, "verify-", 7) != 0 || file[0] ||
	    strspn(host, "/@") > 0)
		return;
	if (!home || !home[0])
		home = user ? user->pw_dir : "";
	(void)snprintf(file, sizeof file, "%s/.postgresql/root.crt", home);
	if (access(file, F_OK) < 0)
		conf_warn(source, SECTION, "sslmode", mode,
		          "there are no certificates to check the server with: "
		          "set sslrootcert; libpq's default, %s, cannot be "
		          "read: %s",
		          file, strerror(errno));
}

/* Warn if a password or the events can be read by others on the network. */
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
	find_option(c, "sslmode", postgres_sslmodes[c->sslmode], mode,
	            sizeof mode);
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

	/* libpq 16 and later use this value for the system's certificates. */
	if (strcmp(c->sslrootcert, "system") != 0 &&
	    conf_check_file(source, SECTION, "sslrootcert", c->sslrootcert) < 0)
		rc = -EINVAL;
	return rc;
}

int
postgres_check(const struct conf_source *source, const void *conf)
{
	const struct postgres_settings *c = conf;
	int rc = 0;

	if (c->host[0] != '/' && strpbrk(c->host, " \t"))
		rc = conf_refuse(source, SECTION, "host", c->host,
		                 "must be a name, an address or a directory, "
		                 "with commas and no blanks between several");
	conf_warn_quotes(source, SECTION, "host", c->host);
	if (!is_port_list(c->port))
		rc =
		    conf_refuse(source, SECTION, "port", c->port, PORT_ALLOWED);
	if (check_table_name(source, "table", c->table) < 0)
		rc = -EINVAL;
	if (check_table_name(source, "position_table", c->position_table) < 0)
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
	postgres_warn_of_authorities(source, c);
	return rc;
}
