/* table - see table.h. */
#include "sinkd-clickhouse/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/slice.h"
#include "sinkd-clickhouse/sql.h"

/*
 * Whatever the user's profile contains, an INSERT must be one block that is
 * deduplicated by its token, complete when the server responds, and stored
 * entirely or not at all.
 */
const struct ch_insert_setting ch_insert_settings[] = {
    {"async_insert", "0"},
    {"insert_deduplicate", "1"},
    {"deduplicate_insert", "enable"},
    {"max_insert_block_size", "1048576"},
    {"max_insert_block_size_bytes", "0"},
    {"min_insert_block_size_rows", "1048576"},
    {"min_insert_block_size_bytes", "0"},
    {"input_format_max_block_size_bytes", "0"},
    {"use_strict_insert_block_limits", "0"},
    {"max_insert_threads", "1"},
    {"input_format_allow_errors_num", "0"},
    {"input_format_allow_errors_ratio", "0"},
    {"input_format_with_names_use_header", "1"},
    {"input_format_with_types_use_header", "1"},
    {"input_format_binary_read_json_as_string", "1"},
    {"insert_distributed_sync", "1"},
    {"materialized_views_ignore_errors", "0"},
    /*
     * If a view missed the rows at the first attempt, it gets them from the
     * second.
     */
    {"deduplicate_blocks_in_dependent_materialized_views", "1"},
};
const size_t ch_insert_setting_count = ARRAY_LEN(ch_insert_settings);

_Static_assert(ARRAY_LEN(ch_insert_settings) <= CH_TABLE_SETTINGS_MAX,
               "knows[] is too short");

/* A result in TabSeparatedRaw, read line by line. */
struct lines {
	const char *at, *end;
};

#define CELLS_MAX 8

/* Begin with the result of the last statement. */
static struct lines
lines_of(const struct ch_table *t)
{
	const struct buf *body = &t->client->http.body;
	const char *text = (const char *)body->data;

	return (struct lines){text, text + body->len};
}

/* Read the cells of the next line.  Returns their number, or 0 at the end. */
static size_t
next_row(struct lines *l, struct slice cells[CELLS_MAX])
{
	size_t n = 0;

	while (l->at < l->end && n < CELLS_MAX) {
		const char *start = l->at;

		while (l->at < l->end && *l->at != '\t' && *l->at != '\n')
			l->at++;
		cells[n++] = (struct slice){start, (uint32_t)(l->at - start)};
		if (l->at < l->end && *l->at++ == '\n')
			break;
	}
	return n;
}

static void
copy_cell(char *out, size_t size, struct slice s)
{
	(void)snprintf(out, size, "%.*s", (int)s.bytes, s.data);
}

static int64_t
cell_number(struct slice s)
{
	char text[24];

	copy_cell(text, sizeof text, s);
	return strtoll(text, NULL, 10);
}

/*
 * Run a statement.  In its text "?n" and "?d" stand for the quoted names of the
 * table and the database, and "?r" for the system table that has the settings
 * of replicated engines.
 */
static enum sink_result
run_query(const struct ch_table *t, const char *text, struct sink_error *error)
{
	struct buf *sql = t->sql;

	buf_clear(sql);
	for (;;) {
		size_t n = strcspn(text, "?");

		buf_addf(sql, "%.*s", (int)n, text);
		text += n;
		if (!*text)
			break;
		if (text[1] == 'r')
			buf_add_text(sql, t->knows_replicated_settings
			                      ? "replicated_merge_tree_settings"
			                      : "merge_tree_settings");
		else
			ch_sql_add_value(sql, text[1] == 'n' ? t->name
			                                     : t->database);
		text += 2;
	}
	return ch_client_statement(t->client, sql, error);
}

static void
note_feature(struct ch_table *t, struct slice kind, struct slice name,
             struct slice value)
{
	if (slice_is(kind, "version")) {
		copy_cell(t->version, sizeof t->version, value);
	} else if (slice_is(kind, "setting")) {
		for (size_t i = 0; i < ch_insert_setting_count; i++)
			if (slice_is(name, ch_insert_settings[i].name))
				t->knows[i] = true;
		t->knows_token |= slice_is(name, "insert_deduplication_token");
		t->knows_json |=
		    slice_is(name, "input_format_binary_read_json_as_string");
		t->knows_types_header |=
		    slice_is(name, "input_format_with_types_use_header");
	} else if (slice_is(kind, "tree")) {
		t->knows_window |=
		    slice_is(name, "non_replicated_deduplication_window");
		t->knows_fsync |= slice_is(name, "fsync_after_insert");
	} else if (slice_is(kind, "replicated")) {
		t->knows_replicated_settings = true;
	}
}

static enum sink_result
read_server(struct ch_table *t, struct sink_error *error)
{
	struct slice cell[CELLS_MAX];
	struct lines l;
	size_t n;
	enum sink_result result = run_query(
	    t,
	    "SELECT 'version' AS kind, '' AS name, version() AS value "
	    "UNION ALL SELECT 'setting' AS kind, name, '' AS value "
	    "FROM system.settings WHERE match(name, "
	    "'insert|^input_format_|materialized_views') "
	    "UNION ALL SELECT 'tree' AS kind, name, value "
	    "FROM system.merge_tree_settings WHERE match(name, "
	    "'deduplication_window$|^fsync_after_insert$') "
	    "UNION ALL SELECT 'replicated' AS kind, name, '' AS value "
	    "FROM system.tables WHERE database = 'system' AND "
	    "name = 'replicated_merge_tree_settings' "
	    "FORMAT TabSeparatedRaw",
	    error);

	if (result != SINK_DONE)
		return result;
	l = lines_of(t);
	while ((n = next_row(&l, cell)) > 0)
		if (n == 3)
			note_feature(t, cell[0], cell[1], cell[2]);
	if (t->version[0])
		return SINK_DONE;
	return sink_fail(
	    error, SINK_MISCONFIGURED,
	    "the server does not report its version; check that url "
	    "is that of a ClickHouse server");
}

/* `extract` returns '' for a setting that engine_full does not contain. */
static enum sink_result
read_engine(struct ch_table *t, struct sink_error *error)
{
	struct slice cell[CELLS_MAX];
	struct lines l;
	enum sink_result result = run_query(
	    t,
	    "SELECT engine, "
	    "if(match(engine, '^(Replicated|Shared).*MergeTree$'), "
	    "'replicated', "
	    "if(match(engine, 'MergeTree$'), 'plain', 'other')) AS family, "
	    "extract(engine_full, "
	    "'[ ,]non_replicated_deduplication_window = ([0-9]+)') AS plain, "
	    "extract(engine_full, "
	    "'[ ,]replicated_deduplication_window = ([0-9]+)') AS own, "
	    "extract(engine_full, '[ ,]fsync_after_insert = ([a-z0-9]+)') "
	    "AS fsync, "
	    "(SELECT max(value) FROM system.merge_tree_settings WHERE name = "
	    "'non_replicated_deduplication_window') AS plain_default, "
	    "(SELECT max(value) FROM system.?r WHERE name = "
	    "'replicated_deduplication_window') AS own_default, "
	    "if(family = 'replicated', "
	    "(SELECT max(value) FROM system.?r WHERE name = "
	    "'fsync_after_insert'), "
	    "(SELECT max(value) FROM system.merge_tree_settings WHERE name = "
	    "'fsync_after_insert')) AS fsync_default "
	    "FROM system.tables WHERE database = ?d AND name = ?n "
	    "FORMAT TabSeparatedRaw",
	    error);
	struct slice window;

	if (result != SINK_DONE)
		return result;
	l = lines_of(t);
	t->exists = next_row(&l, cell) == 8;
	if (!t->exists)
		return SINK_DONE;
	copy_cell(t->engine, sizeof t->engine, cell[0]);
	t->replicated = slice_is(cell[1], "replicated");
	window = t->replicated ? cell[3] : cell[2];
	if (window.bytes == 0)
		window = t->replicated ? cell[6] : cell[5];
	t->window = slice_is(cell[1], "other") ? 0 : cell_number(window);
	if (cell[4].bytes == 0)
		cell[4] = cell[7];
	t->fsync = slice_is(cell[4], "1") || slice_is(cell[4], "true");
	return SINK_DONE;
}

/*
 * The type of a column in a table that the sink creates.
 *
 * Servers without DateTime64 (before 20.1) get the times in milliseconds, since
 * their DateTime has no fraction of a second.  The sink infers the version from
 * the settings that the server has.
 */
static const char *
created_type(const struct ch_table *t, enum event_field field)
{
	bool current = t->knows_token;

	switch (field) {
	case FIELD_TYPE:
		return current ? "LowCardinality(String)" : "String";
	case FIELD_USER_ID:
		return "Nullable(String)";
	case FIELD_CREATED_AT:
	case FIELD_RECEIVED_AT:
		return current ? "DateTime64(6, 'UTC')" : "Int64";
	default:
		return "String";
	}
}

static enum sink_result
create_table(struct ch_table *t, struct sink_error *error)
{
	struct buf *sql = t->sql;

	buf_clear(sql);
	buf_add_text(sql, "CREATE TABLE IF NOT EXISTS ");
	ch_table_add_name(t, sql);
	buf_addf(sql,
	         " (id String, type %s, user_id Nullable(String), "
	         "payload String, created_at %s, received_at %s) "
	         "ENGINE = MergeTree ORDER BY (type, created_at) "
	         "SETTINGS index_granularity = 8192",
	         created_type(t, FIELD_TYPE), created_type(t, FIELD_CREATED_AT),
	         created_type(t, FIELD_RECEIVED_AT));
	if (t->knows_window)
		buf_add_text(
		    sql,
		    ", non_replicated_deduplication_window = " CH_TABLE_WINDOW);
	if (t->knows_fsync)
		buf_add_text(sql, ", fsync_after_insert = 1, "
		                  "fsync_part_directory = 1");
	return ch_client_statement(t->client, sql, error);
}

static enum sink_result
query_columns(const struct ch_table *t, struct sink_error *error)
{
	return run_query(
	    t,
	    "SELECT name, default_kind, type FROM system.columns "
	    "WHERE database = ?d AND table = ?n AND name IN ('id', "
	    "'type', 'user_id', 'payload', 'created_at', "
	    "'received_at') FORMAT TabSeparatedRaw",
	    error);
}

/* Find the line of one field. Returns false if the table has no such column. */
static bool
find_column(const struct ch_table *t, enum event_field field,
            struct slice cell[CELLS_MAX])
{
	struct lines l = lines_of(t);
	size_t n;

	while ((n = next_row(&l, cell)) > 0)
		if (n == 3 && slice_is(cell[0], event_field_name(field)))
			return true;
	return false;
}

/* Check and store one column. */
static enum sink_result
take_column(struct ch_table *t, enum event_field field,
            struct sink_error *error)
{
	const char *name = event_field_name(field);
	struct slice cell[CELLS_MAX];
	struct column_type *type = &t->types[field];

	if (!find_column(t, field, cell))
		return sink_fail(
		    error, SINK_MISCONFIGURED,
		    "table %s.%s has no column %s (%s); run: ALTER "
		    "TABLE %s.%s ADD COLUMN %s %s",
		    t->database, t->name, name, column_type_allowed(field),
		    t->database, t->name, name, created_type(t, field));
	if (slice_is(cell[1], "MATERIALIZED") || slice_is(cell[1], "ALIAS"))
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "column %s of %s.%s is %.*s: nothing can be "
		                 "inserted into it",
		                 name, t->database, t->name, (int)cell[1].bytes,
		                 cell[1].data);
	if (cell[2].bytes >= CH_TABLE_TYPE_TEXT ||
	    column_type_parse(cell[2].data, cell[2].bytes, type) < 0 ||
	    !column_type_holds(type, field) ||
	    (type->kind == COLUMN_JSON && !t->knows_json))
		return sink_fail(
		    error, SINK_MISCONFIGURED,
		    "column %s of %s.%s has type %.*s: must be %s; "
		    "run: ALTER TABLE %s.%s MODIFY COLUMN %s %s",
		    name, t->database, t->name,
		    cell[2].bytes < 60 ? (int)cell[2].bytes : 60, cell[2].data,
		    column_type_allowed(field), t->database, t->name, name,
		    created_type(t, field));
	copy_cell(t->type_text[field], sizeof t->type_text[field], cell[2]);
	return SINK_DONE;
}

enum sink_result
ch_table_look(struct ch_table *t, struct sink_error *error)
{
	enum sink_result result;

	*t = (struct ch_table){.client = t->client,
	                       .sql = t->sql,
	                       .database = t->database,
	                       .name = t->name};
	result = read_server(t, error);
	if (result == SINK_DONE)
		result = read_engine(t, error);
	return result;
}

enum sink_result
ch_table_read_columns(struct ch_table *t, struct sink_error *error)
{
	enum sink_result result = query_columns(t, error);

	for (int f = 0; result == SINK_DONE && f < FIELD_COUNT; f++)
		result = take_column(t, (enum event_field)f, error);
	return result;
}

enum sink_result
ch_table_read(struct ch_table *t, bool create, struct sink_error *error)
{
	enum sink_result result = ch_table_look(t, error);

	if (result == SINK_DONE && !t->exists && create) {
		result = create_table(t, error);
		if (result == SINK_DONE)
			result = read_engine(t, error);
	}
	if (result == SINK_DONE && !t->exists)
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "no table %s.%s, or no right to see it "
		                 "(create_table = yes creates it)",
		                 t->database, t->name);
	if (result == SINK_DONE)
		result = ch_table_read_columns(t, error);
	return result;
}

enum sink_result
ch_table_compare(const struct ch_table *t, bool *changed,
                 struct sink_error *error)
{
	struct slice cell[CELLS_MAX];
	enum sink_result result = query_columns(t, error);

	*changed = false;
	for (int f = 0; result == SINK_DONE && f < FIELD_COUNT; f++)
		if (!find_column(t, (enum event_field)f, cell) ||
		    !slice_is(cell[2], t->type_text[f]))
			*changed = true;
	return result;
}

bool
ch_table_guarantee(const struct ch_table *t, char *out, size_t size)
{
	const char *because, *advice = "";
	bool once = false;

	if (t->replicated && t->window > 0) {
		/* Older servers recognize a repeated block by its content. */
		once = true;
		because = t->knows_token ? "the server recognizes repeated "
		                           "inserts by their token"
		                         : "the server recognizes repeated "
		                           "inserts by their content";
	} else if (!t->knows_token) {
		because = "the server has no insert_deduplication_token; "
			  "duplicates are possible only after a failure "
			  "during an INSERT";
	} else if (t->window > 0) {
		once = true;
		because =
		    "the server recognizes repeated inserts by their token";
	} else if (strstr(t->engine, "MergeTree")) {
		because = "the table remembers no inserts; duplicates are "
			  "possible after a failure during an INSERT";
		advice = t->replicated
		             ? " (set replicated_deduplication_window)"
		             : " (set non_replicated_deduplication_window)";
	} else {
		because = "the engine does not recognize repeated inserts; "
			  "duplicates are possible after a failure during "
			  "an INSERT";
	}
	(void)snprintf(out, size,
	               "guarantee=%s engine=%s server=%s window=%lld "
	               "fsync=%s why=\"%s%s\"",
	               once ? "exactly_once" : "at_least_once", t->engine,
	               t->version, (long long)t->window,
	               t->fsync ? "yes" : "no", because, advice);
	return once;
}

void
ch_table_add_name(const struct ch_table *t, struct buf *out)
{
	ch_sql_add_name(out, t->database);
	buf_add_text(out, ".");
	ch_sql_add_name(out, t->name);
}
