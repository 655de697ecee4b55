/*
 * table - what a server reports about itself and about the table: its columns,
 * its engine, and therefore which guarantee holds.
 */
#ifndef SINKD_CLICKHOUSE_TABLE_H
#define SINKD_CLICKHOUSE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libsink/sink.h"
#include "sinkd-clickhouse/client.h"
#include "sinkd-clickhouse/column_type.h"

#define CH_TABLE_TYPE_TEXT 512 /* longest type accepted, with its NUL */

/*
 * The number of blocks that a table created here remembers, to recognize
 * repeated ones.
 */
#define CH_TABLE_WINDOW "10000"

struct ch_insert_setting {
	const char *name;
	const char *value;
};

/*
 * Settings that are sent with each INSERT to a server that has them.  table.c
 * explains them.
 */
#define CH_TABLE_SETTINGS_MAX 24
extern const struct ch_insert_setting ch_insert_settings[];
extern const size_t ch_insert_setting_count;

struct ch_table {
	/* Set by the caller. */
	struct ch_client *client;
	struct buf *sql; /* for statements */
	const char *database, *name;

	/* About the server. */
	char version[32];
	/* by index into ch_insert_settings */
	bool knows[CH_TABLE_SETTINGS_MAX];
	bool knows_token;        /* insert_deduplication_token */
	bool knows_json;         /* input_format_binary_read_json_as_string */
	bool knows_types_header; /* checks the types in a header */
	bool knows_window;       /* non_replicated_deduplication_window */
	bool knows_fsync;        /* fsync_after_insert */
	/* The server has system.replicated_merge_tree_settings. */
	bool knows_replicated_settings;

	/* About the table. */
	bool exists;
	char engine[64];
	bool replicated; /* the engine keeps its own window */
	int64_t window;  /* number of blocks remembered */
	bool fsync;      /* an INSERT is synced before the response */
	struct column_type types[FIELD_COUNT];
	char type_text[FIELD_COUNT][CH_TABLE_TYPE_TEXT];
};

/*
 * Ask the server about itself and the table.  If the table does not exist and
 * `create` is set, create it.  After SINK_MISCONFIGURED, *error tells what
 * is wrong with the table.
 */
enum sink_result ch_table_read(struct ch_table *table, bool create,
                               struct sink_error *error);

/*
 * The two steps of ch_table_read that create nothing: ask the server about
 * itself and the engine of the table, if that exists, and read its columns.
 */
enum sink_result ch_table_look(struct ch_table *table,
                               struct sink_error *error);
enum sink_result ch_table_read_columns(struct ch_table *table,
                                       struct sink_error *error);

/*
 * Read the columns again.  *changed is set if the type of any field differs
 * from what `table` has.  `table` is not modified.
 */
enum sink_result ch_table_compare(const struct ch_table *table, bool *changed,
                                  struct sink_error *error);

/*
 * Write one line about which guarantee holds, and why.  Returns true if an
 * event can never be stored twice.
 */
bool ch_table_guarantee(const struct ch_table *table, char *out, size_t size);

/* Append `database`.`name`.  Returns as buf_add. */
void ch_table_add_name(const struct ch_table *table, struct buf *out);

#endif
