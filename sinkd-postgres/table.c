/* table - see table.h. */
#include "sinkd-postgres/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"

#define SQL_MAX (16 * KIB)

/* OIDs of PostgreSQL's built-in types, which never change. */
enum {
	OID_INT8 = 20,
	OID_TEXT = 25,
	OID_JSON = 114,
	OID_VARCHAR = 1043,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

static const struct {
	Oid type;
	enum copy_kind kind;
	unsigned fields; /* bits: 1 << enum event_field */
} holds[] = {
    {OID_TEXT, COPY_TEXT,
     1 << FIELD_ID | 1 << FIELD_TYPE | 1 << FIELD_USER_ID | 1 << FIELD_PAYLOAD},
    {OID_VARCHAR, COPY_TEXT,
     1 << FIELD_ID | 1 << FIELD_TYPE | 1 << FIELD_USER_ID | 1 << FIELD_PAYLOAD},
    {OID_UUID, COPY_UUID, 1 << FIELD_ID | 1 << FIELD_USER_ID},
    {OID_JSON, COPY_JSON, 1 << FIELD_PAYLOAD},
    {OID_JSONB, COPY_JSONB, 1 << FIELD_PAYLOAD},
    {OID_TIMESTAMPTZ, COPY_TIMESTAMPTZ,
     1 << FIELD_CREATED_AT | 1 << FIELD_RECEIVED_AT},
    {OID_TIMESTAMP, COPY_TIMESTAMP,
     1 << FIELD_CREATED_AT | 1 << FIELD_RECEIVED_AT},
    {OID_INT8, COPY_INT8_MS, 1 << FIELD_CREATED_AT | 1 << FIELD_RECEIVED_AT},
};

static const char *const allowed[FIELD_COUNT] = {
    [FIELD_ID] = "text, varchar or uuid",
    [FIELD_TYPE] = "text or varchar",
    [FIELD_USER_ID] = "text, varchar or uuid",
    [FIELD_PAYLOAD] = "jsonb, json, text or varchar",
    [FIELD_CREATED_AT] = "timestamptz, timestamp or bigint (ms since 1970)",
    [FIELD_RECEIVED_AT] = "timestamptz, timestamp or bigint (ms since 1970)",
};

/* The type of each column in a table that the sink creates. */
static const char *const best[FIELD_COUNT] = {
    [FIELD_ID] = "text",
    [FIELD_TYPE] = "text",
    [FIELD_USER_ID] = "text",
    [FIELD_PAYLOAD] = "jsonb",
    [FIELD_CREATED_AT] = "timestamptz",
    [FIELD_RECEIVED_AT] = "timestamptz",
};

static int
find_field(const char *column)
{
	for (int i = 0; i < FIELD_COUNT; i++) {
		if (strcmp(column, event_field_name((enum event_field)i)) == 0)
			return i;
	}
	return -1;
}

static Oid
oid_of(const PGresult *res, int row, int column)
{
	return (Oid)strtoul(PQgetvalue(res, row, column), NULL, 10);
}

/* Set how the field is encoded for the type of its column. */
static enum sink_result
set_kind(struct table *t, enum event_field field, Oid type,
         const char *type_name, struct sink_error *error)
{
	const char *name = event_field_name(field);

	for (size_t i = 0; i < ARRAY_LEN(holds); i++) {
		if (holds[i].type == type && holds[i].fields >> field & 1) {
			t->columns.kind[field] = holds[i].kind;
			return SINK_DONE;
		}
	}
	return sink_fail(
	    error, SINK_MISCONFIGURED,
	    "column %s of %s has type %s: must be %s; run, to keep "
	    "what it has under another name: ALTER TABLE %s ALTER "
	    "COLUMN %s DROP NOT NULL; ALTER TABLE %s RENAME COLUMN "
	    "%s TO old_%s; ALTER TABLE %s ADD COLUMN %s %s",
	    name, t->name, type_name, allowed[field], t->name, name, t->name,
	    name, name, t->name, name, best[field]);
}

/*
 * Read the columns of the table.  A row of the result has the column's name,
 * its type, its base type, the name of its type, and whether an INSERT must
 * give a value.
 */
static enum sink_result
table_read_columns(struct table *t, const PGresult *res,
                   struct sink_error *error)
{
	bool seen[FIELD_COUNT] = {0};

	for (int row = 0; row < PQntuples(res); row++) {
		const char *name = PQgetvalue(res, row, 0);
		int field = find_field(name);
		enum sink_result result;

		if (field < 0) {
			if (PQgetvalue(res, row, 4)[0] == 't')
				return sink_fail(error, SINK_MISCONFIGURED,
				                 "column %s of %s is NOT NULL "
				                 "and has no default: leat has "
				                 "no value for it; run: ALTER "
				                 "TABLE %s ALTER COLUMN \"%s\" "
				                 "DROP NOT NULL",
				                 name, t->name, t->name, name);
			continue;
		}
		seen[field] = true;
		t->types[field] = oid_of(res, row, 1);
		result =
		    set_kind(t, (enum event_field)field, oid_of(res, row, 2),
		             PQgetvalue(res, row, 3), error);
		if (result != SINK_DONE)
			return result;
	}
	for (int i = 0; i < FIELD_COUNT; i++) {
		if (!seen[i])
			return sink_fail(
			    error, SINK_MISCONFIGURED,
			    "%s has no column %s: it must be %s; run: "
			    "ALTER TABLE %s ADD COLUMN %s %s",
			    t->name, event_field_name((enum event_field)i),
			    allowed[i], t->name,
			    event_field_name((enum event_field)i), best[i]);
	}
	return SINK_DONE;
}

/* Append 'id', 'type', ...: the names of the columns as literals. */
static void
add_field_literals(struct buf *sql)
{
	for (int i = 0; i < FIELD_COUNT; i++)
		buf_addf(sql, "%s'%s'", i ? ", " : "",
		         event_field_name((enum event_field)i));
}

static enum sink_result
find_table(struct table *t, struct pg_connection *pg, const char *name,
           struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result = pg_query_with(
	    pg,
	    "SELECT quote_ident(n.nspname) || '.' || "
	    "quote_ident(c.relname), c.relkind IN ('r', 'p'), "
	    "c.relpersistence = 'u' "
	    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
	    "WHERE c.oid = to_regclass(",
	    name, ")", 3, &res, error);

	if (result != SINK_DONE)
		return result;
	if (PQntuples(res) == 0) {
		PQclear(res);
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "table %s does not exist", name);
	}
	(void)snprintf(t->name, sizeof t->name, "%s", PQgetvalue(res, 0, 0));
	if (PQgetvalue(res, 0, 1)[0] != 't')
		result = sink_fail(error, SINK_MISCONFIGURED,
		                   "%s is not a table", t->name);
	else if (PQgetvalue(res, 0, 2)[0] == 't')
		log_warn("table is UNLOGGED: a crash of the server empties it "
		         "table=%s",
		         log_quote(t->name));
	PQclear(res);
	return result;
}

/*
 * Set *exists to whether a query of one column has rows.  It consists of head,
 * the table's name as a literal, and tail.
 */
static enum sink_result
query_exists(const struct table *t, struct pg_connection *pg, const char *head,
             const char *tail, bool *exists, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result =
	    pg_query_with(pg, head, t->name, tail, 1, &res, error);

	*exists = result == SINK_DONE && PQntuples(res) > 0;
	PQclear(res);
	return result;
}

/*
 * Report that the unique index on id is missing.  PostgreSQL does not support
 * one on a table that is partitioned by anything but id.
 */
static enum sink_result
report_no_unique_index(const struct table *t, struct pg_connection *pg,
                       struct sink_error *error)
{
	bool impossible;
	enum sink_result result = query_exists(
	    t, pg,
	    "SELECT 1 FROM pg_partitioned_table p WHERE (p.partnatts <> 1 "
	    "OR NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid "
	    "= p.partrelid AND a.attnum = p.partattrs[0] "
	    "AND a.attname = 'id')) AND p.partrelid = to_regclass(",
	    ")", &impossible, error);

	if (result != SINK_DONE)
		return result;
	if (impossible)
		return sink_fail(
		    error, SINK_MISCONFIGURED,
		    "dedup_by_id cannot work on %s: PostgreSQL has "
		    "no unique index on id over its partitions. "
		    "Partition it by HASH (id), or use a table "
		    "without partitions, or dedup_by_id = no and "
		    "remove repeated ids in queries",
		    t->name);
	return sink_fail(
	    error, SINK_MISCONFIGURED,
	    "dedup_by_id needs a unique index; run: CREATE UNIQUE INDEX "
	    "ON %s (id)",
	    t->name);
}

static enum sink_result
check_unique(struct table *t, struct pg_connection *pg,
             struct sink_error *error)
{
	bool found;
	enum sink_result result = query_exists(
	    t, pg,
	    "SELECT 1 FROM pg_index i JOIN pg_attribute a "
	    "ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
	    "WHERE i.indisunique AND i.indisvalid AND i.indimmediate "
	    "AND i.indnkeyatts = 1 AND i.indpred IS NULL "
	    "AND i.indexprs IS NULL AND a.attname = 'id' "
	    "AND i.indrelid = to_regclass(",
	    ")", &found, error);

	if (result == SINK_DONE && !found)
		result = report_no_unique_index(t, pg, error);
	return result;
}

/*
 * Find out whether a trigger can drop rows.  That needs a BEFORE INSERT trigger
 * for each row, on the table or on one of its partitions.  The query also finds
 * triggers on the partitions of other tables.  Then each batch looks for
 * dropped rows in the index without need, which costs time but is correct.
 */
static enum sink_result
check_triggers(struct table *t, struct pg_connection *pg,
               struct sink_error *error)
{
	/* Bits 1, 2 and 4 of tgtype are ROW, BEFORE and INSERT. */
	return query_exists(
	    t, pg,
	    "SELECT 1 FROM pg_trigger g WHERE g.tgtype & 7 = 7 "
	    "AND g.tgenabled <> 'D' AND NOT g.tgisinternal "
	    "AND (g.tgrelid = to_regclass(",
	    ") OR g.tgrelid IN (SELECT i.inhrelid FROM pg_inherits i)) "
	    "LIMIT 1",
	    &t->may_drop, error);
}

/*
 * Resolve a column's type.  A domain may be based on another domain, and each
 * of them may refuse nulls.  Only the outermost one can have the default that
 * is used.
 */
#define BASE_TYPE                                                              \
	"WITH RECURSIVE over(type, kind, next, no_null, dflt, depth) AS ("     \
	"SELECT oid, typtype, typbasetype, typnotnull, typdefault, 0 "         \
	"FROM pg_type WHERE oid = a.atttypid UNION ALL "                       \
	"SELECT t.oid, t.typtype, t.typbasetype, t.typnotnull, NULL, "         \
	"depth + 1 FROM over JOIN pg_type t ON t.oid = over.next "             \
	"WHERE over.kind = 'd') "                                              \
	"SELECT max(CASE WHEN kind <> 'd' THEN type::int8 END) AS base, "      \
	"bool_or(no_null) AS no_null, "                                        \
	"bool_and(dflt IS NULL) AS no_default FROM over"

/*
 * Query the columns of the fields, and any other column that an INSERT would
 * have to name.
 */
static enum sink_result
table_query_columns(struct table *t, struct pg_connection *pg, PGresult **res,
                    struct sink_error *error)
{
	enum sink_result result;
	struct buf sql;

	buf_init(&sql, SQL_MAX);
	buf_add_text(&sql,
	             "SELECT attname, atttypid, base, shown, required FROM ("
	             "SELECT a.attname, a.atttypid, d.base, "
	             "format_type(a.atttypid, a.atttypmod) AS shown, "
	             "(a.attnotnull OR d.no_null) AND NOT a.atthasdef "
	             "AND d.no_default AND a.attidentity = '' AS required "
	             "FROM pg_attribute a, LATERAL (" BASE_TYPE ") d "
	             "WHERE a.attnum > 0 AND NOT a.attisdropped "
	             "AND a.attrelid = to_regclass(");
	pg_add_literal(pg, &sql, t->name);
	buf_add_text(&sql, ")) c WHERE required OR attname IN (");
	add_field_literals(&sql);
	buf_add_text(&sql, ") ORDER BY attname IN (");
	add_field_literals(&sql);
	buf_addf(&sql, ") DESC LIMIT %d", FIELD_COUNT + 1);
	result = pg_query(pg, pg_statements(&sql, error), 5, res, error);
	buf_fini(&sql);
	return result;
}

enum sink_result
table_read(struct table *t, struct pg_connection *pg, const char *name,
           bool dedup_by_id, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result = find_table(t, pg, name, error);

	if (result == SINK_DONE)
		result = table_query_columns(t, pg, &res, error);
	if (result == SINK_DONE)
		result = table_read_columns(t, res, error);
	PQclear(res);
	if (result == SINK_DONE && dedup_by_id)
		result = check_unique(t, pg, error);
	if (result == SINK_DONE && dedup_by_id)
		result = check_triggers(t, pg, error);
	return result;
}

void
table_add_types_query(const struct table *t, struct pg_connection *pg,
                      struct buf *sql)
{
	buf_add_text(sql, "SELECT attname, atttypid FROM pg_attribute "
	                  "WHERE NOT attisdropped AND attname IN (");
	add_field_literals(sql);
	buf_add_text(sql, ") AND attrelid = to_regclass(");
	pg_add_literal(pg, sql, t->name);
	buf_add_text(sql, ")");
}

void
table_add_staging(const struct table *t, struct buf *sql)
{
	buf_addf(sql,
	         "CREATE TEMP TABLE leat_staging ON COMMIT DROP AS "
	         "SELECT " TABLE_COLUMNS " FROM %s WITH NO DATA; ",
	         t->name);
}

bool
table_unchanged(const struct table *t, const PGresult *types)
{
	if (PQntuples(types) != FIELD_COUNT)
		return false;
	for (int row = 0; row < FIELD_COUNT; row++) {
		int field = find_field(PQgetvalue(types, row, 0));

		if (field < 0 || t->types[field] != oid_of(types, row, 1))
			return false;
	}
	return true;
}
