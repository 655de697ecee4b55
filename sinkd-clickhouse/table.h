/*
 * table - what a server says of itself and of the table that is written:
 * its columns, its engine, and so which guarantee holds.
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

#define CH_TABLE_TYPE_TEXT 512 /* longest type taken, with its NUL */

/* Blocks that a table made here remembers, to know them when repeated. */
#define CH_TABLE_WINDOW "10000"

struct ch_insert_setting {
	const char *name;
	const char *value;
};

/* Settings sent with each INSERT to servers that know them; see there. */
#define CH_TABLE_SETTINGS_MAX 24
extern const struct ch_insert_setting ch_insert_settings[];
extern const size_t ch_insert_setting_count;

struct ch_table {
	const char *database, *name; /* set by the caller */

	/* Of the server. */
	char version[32];
	bool knows[CH_TABLE_SETTINGS_MAX]; /* insert_settings, by index */
	bool knows_token;                  /* insert_deduplication_token */
	bool knows_types_header;           /* checks the types of a header */
	bool knows_window; /* non_replicated_deduplication_window */
	bool knows_fsync;  /* fsync_after_insert */
	/* Has system.replicated_merge_tree_settings. */
	bool knows_replicated_settings;

	/* Of the table. */
	bool exists;
	char engine[64];
	bool replicated; /* the engine keeps a window of its own */
	int64_t window;  /* blocks remembered */
	bool fsync;      /* an INSERT is synced before its answer */
	struct column_type types[FIELD_COUNT];
	char type_text[FIELD_COUNT][CH_TABLE_TYPE_TEXT];
};

/*
 * Ask the server about itself and the table, which is created when `create`
 * is set and there is none.  sql is room for statements.  SINK_MISCONFIGURED
 * says what is wrong with the table in *error.
 */
enum sink_result ch_table_read(struct ch_table *table, struct ch_client *client,
                               bool create, struct buf *sql,
                               struct sink_error *error);

/*
 * Read the columns again.  *changed says whether any field's type is not
 * what the table holds; the table is left as it was.
 */
enum sink_result ch_table_compare(const struct ch_table *table,
                                  struct ch_client *client, struct buf *sql,
                                  bool *changed, struct sink_error *error);

/*
 * One line: which guarantee holds, and why.  Returns whether an event can
 * never be stored twice.
 */
bool ch_table_guarantee(const struct ch_table *table, char *out, size_t size);

/* `database`.`name`.  Returns as buf_add. */
MUST_USE int ch_table_add_name(const struct ch_table *table, struct buf *out);

#endif
