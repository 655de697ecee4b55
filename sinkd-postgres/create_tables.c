/* create_tables - see create_tables.h. */
#include "sinkd-postgres/create_tables.h"

#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"

#define POSITION_COLUMNS                                                       \
	"stream text, sink text, next_offset bigint NOT NULL, "                \
	"PRIMARY KEY (stream, sink)"

#define EVENTS_COLUMNS(id)                                                     \
	"id text " id ", type text NOT NULL, user_id text, "                   \
	"payload jsonb NOT NULL, created_at timestamptz NOT NULL, "            \
	"received_at timestamptz NOT NULL"

/* A table that the sink needs. */
struct needed {
	const char *name;    /* as configured: SQL, may include a schema */
	const char *columns; /* as in CREATE TABLE */
	const char *rights;  /* as in GRANT */
	bool staging;        /* the sink also needs temporary tables */
};

/* Columns of the result of query_place. */
enum {
	SCHEMA,      /* where the table is or would be, quoted; may be null */
	SCHEMA_IS,   /* t: the schema exists */
	MAY_USE,     /* t: the user has USAGE on the schema */
	MAY_CREATE,  /* t: the user may create tables in it */
	TABLE,       /* the table's name with its schema, quoted */
	TABLE_IS,    /* t: the table exists */
	TABLE_GRANT, /* t: the user has the rights on it */
	MAY_STAGE,   /* t: the user may create temporary tables */
	USER,        /* quoted, as is DATABASE */
	DATABASE,
	PLACE_COLUMNS,
};

/* Append has_table_privilege(...) AND ... for each of the rights. */
static void
add_rights(struct buf *sql, const char *rights)
{
	const char *join = "";

	while (*rights) {
		int n = (int)strcspn(rights, ",");

		buf_addf(sql, "%shas_table_privilege(c.oid, '%.*s')", join, n,
		         rights);
		join = " AND ";
		rights += n;
		rights += strspn(rights, ", ");
	}
}

/*
 * Append the query that finds where the table is or would be, and what the user
 * may do there.  The server parses the name.  to_regclass raises an error for a
 * schema that the user may not use, so the query checks that first; OFFSET 0
 * keeps the planner from changing the order.
 */
static void
add_place_query(struct buf *sql, struct pg_connection *pg,
                const struct needed *table)
{
	buf_add_text(sql, "SELECT quote_ident(p.wanted), "
	                  "p.schema IS NOT NULL, p.may_use, "
	                  "has_schema_privilege(p.schema, 'CREATE'), "
	                  "coalesce(quote_ident(n.nspname) || '.' || "
	                  "quote_ident(c.relname), concat_ws('.', "
	                  "quote_ident(p.wanted), quote_ident("
	                  "p.part[cardinality(p.part)]))), "
	                  "c.oid IS NOT NULL, ");
	add_rights(sql, table->rights);
	buf_add_text(sql,
	             ", has_database_privilege(current_database(), 'TEMP'), "
	             "quote_ident(current_user), "
	             "quote_ident(current_database()) "
	             "FROM (SELECT w.part, w.wanted, s.oid AS schema, "
	             "has_schema_privilege(s.oid, 'USAGE') AS may_use, "
	             "CASE WHEN cardinality(w.part) = 1 "
	             "OR has_schema_privilege(s.oid, 'USAGE') "
	             "THEN to_regclass(");
	pg_add_literal(pg, sql, table->name);
	buf_add_text(sql, ")::oid END AS found "
	                  "FROM (SELECT part, "
	                  "CASE cardinality(part) WHEN 1 "
	                  "THEN current_schema() "
	                  "ELSE part[cardinality(part) - 1] END "
	                  "AS wanted FROM parse_ident(");
	pg_add_literal(pg, sql, table->name);
	buf_add_text(sql, ") AS part) w LEFT JOIN pg_namespace s "
	                  "ON s.nspname = w.wanted OFFSET 0) p "
	                  "LEFT JOIN pg_class c ON c.oid = p.found "
	                  "LEFT JOIN pg_namespace n "
	                  "ON n.oid = c.relnamespace");
}

static enum sink_result
query_place(struct postgres *s, const struct needed *table, PGresult **res,
            struct sink_error *error)
{
	enum sink_result result;

	buf_clear(&s->sql);
	add_place_query(&s->sql, &s->pg, table);
	result = pg_query(&s->pg, pg_statements(&s->sql, error), PLACE_COLUMNS,
	                  res, error);
	if (result != SINK_DONE || PQntuples(*res) == 1)
		return result;
	PQclear(*res);
	*res = NULL;
	return pg_unexpected(error);
}

static bool
is_true(const PGresult *place, int column)
{
	return PQgetvalue(place, 0, column)[0] == 't';
}

/*
 * Check whether the user may use what exists.  If not, the error text has the
 * statements that an operator has to run.
 */
static enum sink_result
check_place(const struct postgres *s, const struct needed *table,
            const PGresult *place, struct sink_error *error)
{
	const char *schema = PQgetvalue(place, 0, SCHEMA);
	const char *name = PQgetvalue(place, 0, TABLE);
	const char *user = PQgetvalue(place, 0, USER);
	bool create = s->settings->create_table;
	const char *rights = create ? "USAGE, CREATE" : "USAGE";

	if (is_true(place, TABLE_IS)) {
		if (!is_true(place, TABLE_GRANT))
			return sink_fail(error, SINK_MISCONFIGURED,
			                 "no permission for table %s; run: "
			                 "GRANT %s ON %s TO %s",
			                 name, table->rights, name, user);
		if (table->staging && !is_true(place, MAY_STAGE))
			return sink_fail(error, SINK_MISCONFIGURED,
			                 "no permission for temporary tables, "
			                 "which dedup_by_id needs; run: "
			                 "GRANT TEMPORARY ON DATABASE %s TO %s",
			                 PQgetvalue(place, 0, DATABASE), user);
		return SINK_DONE;
	}
	if (!schema[0])
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "no permission for any schema of the "
		                 "search_path; run: "
		                 "GRANT %s ON SCHEMA public TO %s",
		                 rights, user);
	if (!is_true(place, SCHEMA_IS))
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "schema %s does not exist; run: CREATE SCHEMA "
		                 "%s; GRANT %s ON SCHEMA %s TO %s",
		                 schema, schema, rights, schema, user);
	if (!is_true(place, MAY_USE) || (create && !is_true(place, MAY_CREATE)))
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "no permission for schema %s; run: "
		                 "GRANT %s ON SCHEMA %s TO %s",
		                 schema, rights, schema, user);
	if (!create)
		return sink_fail(
		    error, SINK_MISCONFIGURED,
		    "table %s does not exist; set create_table = "
		    "yes, or run: CREATE TABLE %s (%s); GRANT %s ON "
		    "%s TO %s",
		    name, name, table->columns, table->rights, name, user);
	return SINK_DONE;
}

/*
 * Find out where the table is or would be, and whether the sink may use or
 * create it.  *name is set to its name with its schema, so that the sink uses
 * the same table even if search_path changes.  Nothing is created.
 */
static enum sink_result
look_for(struct postgres *s, const struct needed *table, char **name,
         bool *exists, struct sink_error *error)
{
	PGresult *place = NULL;
	enum sink_result result = query_place(s, table, &place, error);

	if (result != SINK_DONE)
		return result;
	result = check_place(s, table, place, error);
	*exists = is_true(place, TABLE_IS);
	if (result == SINK_DONE) {
		free(*name);
		*name = strdup(PQgetvalue(place, 0, TABLE));
		if (!*name)
			result =
			    sink_fail(error, SINK_UNREACHABLE, "out of memory");
	}
	PQclear(place);
	return result;
}

/* The same, and create the table if it is missing. */
static enum sink_result
create_if_missing(struct postgres *s, const struct needed *table, char **name,
                  struct sink_error *error)
{
	bool exists = false;
	enum sink_result result = look_for(s, table, name, &exists, error);

	if (result != SINK_DONE || exists)
		return result;
	buf_clear(&s->sql);
	buf_addf(&s->sql, "CREATE TABLE %s (%s)", *name, table->columns);
	log_info("creating the table name=%s", log_quote(*name));
	return pg_run(&s->pg, pg_statements(&s->sql, error), error);
}

static struct needed
needed_positions(const struct postgres *s)
{
	return (struct needed){.name = s->settings->position_table,
	                       .columns = POSITION_COLUMNS,
	                       .rights = "SELECT, INSERT, UPDATE"};
}

static struct needed
needed_events(const struct postgres *s)
{
	bool dedup = s->settings->dedup_by_id;

	return (struct needed){.name = s->settings->table,
	                       .columns = dedup ? EVENTS_COLUMNS("PRIMARY KEY")
	                                        : EVENTS_COLUMNS("NOT NULL"),
	                       .rights = dedup ? "SELECT, INSERT" : "INSERT",
	                       .staging = dedup};
}

enum sink_result
find_position_table(struct postgres *s, bool *exists, struct sink_error *error)
{
	const struct needed table = needed_positions(s);

	return look_for(s, &table, &s->position_table, exists, error);
}

enum sink_result
find_events_table(struct postgres *s, bool *exists, struct sink_error *error)
{
	const struct needed table = needed_events(s);
	char *name = NULL;
	enum sink_result result = look_for(s, &table, &name, exists, error);

	free(name);
	return result;
}

enum sink_result
create_position_table(struct postgres *s, struct sink_error *error)
{
	const struct needed table = needed_positions(s);

	return create_if_missing(s, &table, &s->position_table, error);
}

enum sink_result
create_events_table(struct postgres *s, struct sink_error *error)
{
	const struct needed table = needed_events(s);
	char *name = NULL;
	enum sink_result result = create_if_missing(s, &table, &name, error);

	free(name);
	return result;
}
