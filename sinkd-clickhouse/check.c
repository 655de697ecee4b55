/* check - what `leat check` wants to know of a ClickHouse server. */
#include "sinkd-clickhouse/sink.h"

#include <stdio.h>
#include <string.h>

#include "libsink/finding.h"
#include "sinkd-clickhouse/clickhouse.h"

/*
 * Run the statement in c->sql.  Returns its result as text, valid until the
 * next statement, or NULL.
 */
static const char *
ask(struct clickhouse *c, struct sink_error *error)
{
	struct buf *body = &c->client.http.body;

	if (ch_client_statement(&c->client, &c->sql, error) != SINK_DONE ||
	    buf_add(body, "", 1) < 0)
		return NULL;
	return (const char *)body->data;
}

/* Whether the user is one who may only read, whatever has been granted. */
static void
check_readonly(struct clickhouse *c)
{
	struct sink_error error = {.bad_event = 0};
	const char *value;

	buf_clear(&c->sql);
	buf_add_text(&c->sql, "SELECT value FROM system.settings WHERE name "
	                      "= 'readonly' FORMAT TabSeparatedRaw");
	value = ask(c, &error);
	if (value && value[0] != '0' && value[0] != '\0')
		finding_print(FINDING_ERROR,
		              "user %s is readonly = %.1s: the server refuses "
		              "every INSERT; set readonly to 0 in the user's "
		              "profile, or another user in [sinkd-clickhouse]",
		              c->conf->user, value);
}

/*
 * Whether one line of SHOW GRANTS gives INSERT on the table.  The line is
 * "GRANT SELECT, INSERT(id) ON db.table TO user"; a column list is taken as the
 * right, since the sink's INSERT names its six columns.
 */
static bool
line_grants(const struct clickhouse *c, const char *line, size_t n)
{
	const char *on = memmem(line, n, " ON ", 4);
	const char *to =
	    on ? memmem(on, n - (size_t)(on - line), " TO ", 4) : NULL;
	size_t rights = on ? (size_t)(on - line) : 0;
	char target[300], all[300], table[300];

	if (!to || n < 6 || memcmp(line, "GRANT ", 6) != 0 ||
	    (!memmem(line, rights, "INSERT", 6) &&
	     !memmem(line, rights, "ALL", 3)))
		return false;
	(void)snprintf(target, sizeof target, "%.*s", (int)(to - on - 4),
	               on + 4);
	(void)snprintf(all, sizeof all, "%.120s.*", c->conf->database);
	(void)snprintf(table, sizeof table, "%.120s.%.120s", c->conf->database,
	               c->conf->table);
	/* A name that needs quotes is not recognized, and taken as granted. */
	return strcmp(target, "*.*") == 0 || strcmp(target, all) == 0 ||
	       strcmp(target, table) == 0 || strchr(target, '`') != NULL ||
	       strchr(target, '*') != NULL;
}

/*
 * Whether the user may insert.  Servers before 20.4 have no grants, and roles
 * are not resolved: what they give is then not known.
 */
static void
check_grants(struct clickhouse *c)
{
	struct sink_error error = {.bad_event = 0};
	const char *text;
	bool roles = false;

	buf_clear(&c->sql);
	buf_add_text(&c->sql, "SHOW GRANTS FORMAT TabSeparatedRaw");
	text = ask(c, &error);
	if (!text || !strstr(text, "GRANT "))
		return;
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (line_grants(c, text, n))
			return;
		roles |= n > 0 && !memmem(text, n, " ON ", 4);
		text += n + (text[n] == '\n');
	}
	if (!roles)
		finding_print(FINDING_ERROR,
		              "user %s may not insert; run: GRANT INSERT ON "
		              "%s.%s TO %s",
		              c->conf->user, c->conf->database, c->conf->table,
		              c->conf->user);
}

/* Which values of events would not fit, or would be changed. */
static void
check_columns(const struct clickhouse *c)
{
	const char *db = c->conf->database, *table = c->conf->table;

	for (int f = 0; f < FIELD_COUNT; f++) {
		const struct column_type *type = &c->table.types[f];
		const char *name = event_field_name((enum event_field)f);
		const char *text = c->table.type_text[f];

		if (type->kind == COLUMN_UUID)
			finding_print(
			    FINDING_WARNING,
			    "column %s is %s: an event whose %s is no "
			    "UUID becomes a dead letter; run, if "
			    "there are such: ALTER TABLE %s.%s MODIFY "
			    "COLUMN %s String",
			    name, text, name, db, table, name);
		if (type->kind == COLUMN_FIXED_STRING)
			finding_print(
			    f == FIELD_PAYLOAD ? FINDING_ERROR
					       : FINDING_WARNING,
			    "column %s is %s: longer ones become "
			    "dead letters; run: ALTER TABLE %s.%s MODIFY "
			    "COLUMN %s String",
			    name, text, db, table, name);
		/* Older servers have no better type. */
		if (type->kind == COLUMN_DATETIME && c->table.knows_token)
			finding_print(FINDING_WARNING,
			              "column %s is %s: it has no fractions of "
			              "a second, and a time after 2106 becomes "
			              "a dead letter; run: ALTER TABLE %s.%s "
			              "MODIFY COLUMN %s DateTime64(6, 'UTC')",
			              name, text, db, table, name);
	}
}

/* What a failure during an INSERT or a crash of the server would do. */
static void
check_guarantee(const struct clickhouse *c)
{
	const char *db = c->conf->database, *table = c->conf->table;
	const struct ch_table *t = &c->table;
	bool merge_tree = strstr(t->engine, "MergeTree") != NULL;
	char text[1024];

	if (ch_table_guarantee(t, text, sizeof text))
		finding_print(FINDING_OK, "exactly once: %s", text);
	else if (merge_tree && t->knows_window && t->knows_token &&
	         !t->replicated)
		finding_print(
		    FINDING_WARNING,
		    "the table remembers no inserts, so that a "
		    "failure during an INSERT may store events twice; "
		    "run: ALTER TABLE %s.%s MODIFY SETTING "
		    "non_replicated_deduplication_window = "
		    "" CH_TABLE_WINDOW,
		    db, table);
	else
		finding_print(FINDING_WARNING,
		              "a failure during an INSERT may store events "
		              "twice: %s; use a MergeTree table on a server "
		              "from 22.2 on, or remove repeated ids in queries",
		              text);
	if (merge_tree && !t->replicated && t->knows_fsync && !t->fsync)
		finding_print(FINDING_WARNING,
		              "fsync_after_insert = 0: a crash of the machine "
		              "may lose what was stored last; run: ALTER TABLE "
		              "%s.%s MODIFY SETTING fsync_after_insert = 1, "
		              "fsync_part_directory = 1",
		              db, table);
}

static void
check_table(struct clickhouse *c)
{
	const char *db = c->conf->database, *table = c->conf->table;
	struct sink_error error = {.bad_event = 0};

	if (!c->table.exists && c->conf->create_table) {
		finding_print(FINDING_OK,
		              "table %s.%s does not exist: would be created",
		              db, table);
		return;
	}
	if (!c->table.exists) {
		finding_print(
		    FINDING_ERROR,
		    "no table %s.%s, or no right to see it; set "
		    "create_table = yes, or run: GRANT SELECT, INSERT "
		    "ON %s.%s TO %s",
		    db, table, db, table, c->conf->user);
		return;
	}
	if (ch_table_read_columns(&c->table, &error) != SINK_DONE) {
		finding_print(FINDING_ERROR, "%s", error.text);
		return;
	}
	finding_print(FINDING_OK,
	              "table %s.%s (%s): the columns can hold events", db,
	              table, c->table.engine);
	check_columns(c);
	check_grants(c);
	check_guarantee(c);
}

/* Check the server whose URL is in c->client.url. */
static void
check_server(struct clickhouse *c)
{
	struct sink_error error = {.bad_event = 0};
	enum sink_result result = ch_table_look(&c->table, &error);

	if (result != SINK_DONE) {
		finding_print(FINDING_ERROR, "%s: %s",
		              result == SINK_UNREACHABLE
		                  ? "unreachable; start the server, or correct "
		                    "url in [sinkd-clickhouse]"
		                  : "refused; correct user, password_file, "
		                    "ca_file or database in "
		                    "[sinkd-clickhouse]",
		              error.text);
		return;
	}
	finding_print(FINDING_OK, "ClickHouse %s at %s, user %s",
	              c->table.version, c->client.url, c->conf->user);
	check_readonly(c);
	check_table(c);
}

void
clickhouse_check_store(void *state, const struct sink_common *common,
                       const void *conf, const char *stream)
{
	struct clickhouse *c = state;
	struct sink_error error = {.bad_event = 0};

	(void)stream;
	if (clickhouse_prepare(c, common, conf, &error) != SINK_DONE) {
		finding_print(FINDING_ERROR,
		              "%s; correct password_file or ca_file in "
		              "[sinkd-clickhouse]",
		              error.text);
		return;
	}
	for (unsigned i = 0;
	     clickhouse_nth_url(c->conf->url, i, c->client.url) > 0; i++)
		check_server(c);
}
