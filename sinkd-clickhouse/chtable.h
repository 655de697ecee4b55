/*
 * chtable - what a server says of itself and of the table that is written:
 * its columns, its engine, and so which guarantee holds.
 */
#ifndef SINKD_CLICKHOUSE_CHTABLE_H
#define SINKD_CLICKHOUSE_CHTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libsink/sink.h"
#include "sinkd-clickhouse/chlink.h"
#include "sinkd-clickhouse/chtype.h"

#define CHTABLE_TYPE_TEXT 512 /* longest type taken, with its NUL */

/* Blocks that a table made here remembers, to know them when repeated. */
#define CHTABLE_WINDOW "10000"

struct chtable_setting {
	const char *name;
	const char *value;
};

/* Settings sent with each INSERT to servers that know them; see there. */
#define CHTABLE_SETTINGS_MAX 24
extern const struct chtable_setting chtable_insert_settings[];
extern const size_t chtable_insert_setting_count;

struct chtable {
	const char *database, *name; /* set by the caller */

	/* Of the server. */
	char version[32];
	bool knows[CHTABLE_SETTINGS_MAX]; /* insert_settings, by index */
	bool knows_token;                 /* insert_deduplication_token */
	bool knows_types_header;          /* checks the types of a header */
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
	struct chtype types[FIELD_COUNT];
	char type_text[FIELD_COUNT][CHTABLE_TYPE_TEXT];
};

/*
 * Ask the server about itself and the table, which is created when `create`
 * is set and there is none.  sql is room for statements.  SINK_MISCONFIGURED
 * says what is wrong with the table in *error.
 */
enum sink_result chtable_read(struct chtable *table, struct chlink *link,
                              bool create, struct buf *sql,
                              struct sink_error *error);

/*
 * Read the columns again.  *changed says whether any field's type is not
 * what the table holds; the table is left as it was.
 */
enum sink_result chtable_compare(const struct chtable *table,
                                 struct chlink *link, struct buf *sql,
                                 bool *changed, struct sink_error *error);

/*
 * One line: which guarantee holds, and why.  Returns whether an event can
 * never be stored twice.
 */
bool chtable_guarantee(const struct chtable *table, char *out, size_t size);

/* `database`.`name`.  Returns as buf_add. */
MUST_USE int chtable_add_name(const struct chtable *table, struct buf *out);

#endif
