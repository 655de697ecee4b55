/* reject - see reject.h. */
#include "sinkd-postgres/reject.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinkd-postgres/position.h"

/* How far created_at of an event of now is from received_at. */
#define NOW_US (INT64_C(3600) * 1000000)

#define NOT_NULL_VIOLATION "23502"

/*
 * Whether a partition is missing that had to be there.  An event of now needs
 * it, and nothing is wrong with that event.  Any other value is the sender's
 * choice: waiting for its partition would let any sender stop the sink.
 */
static bool
lacks_partition(const struct batch *b, const struct pg_diagnostics *words,
                size_t bad_event)
{
	char column[PG_COLUMN_MAX];
	const struct event *e;
	int64_t apart;

	if (!pg_no_partition(words, column))
		return false;
	if (strcmp(column, event_field_name(FIELD_RECEIVED_AT)) == 0)
		return true;
	if (bad_event == 0 && b->count == 1)
		bad_event = 1;
	if (strcmp(column, event_field_name(FIELD_CREATED_AT)) != 0 ||
	    bad_event < 1 || bad_event > b->count)
		return false;
	e = &b->events[bad_event - 1];
	apart = e->created_at_us - e->received_at_us;
	return apart > -NOW_US && apart < NOW_US;
}

enum sink_result
reject_classify(const struct batch *b, const struct pg_diagnostics *words,
                size_t bad_event, struct sink_error *error)
{
	enum sink_result result = pg_classify_diagnostics(words, error);

	if (bad_event == 0)
		bad_event = error->bad_event;
	return result == SINK_REJECT && lacks_partition(b, words, bad_event)
	           ? SINK_MISCONFIGURED
	           : result;
}

bool
reject_may_be_event(const struct sink_error *error)
{
	static const char *const others[] = {
	    /* A server or a connection in trouble, which passes. */
	    "08", "25", "40", "53", "55", "57", "58", "F0", "HV", "XX001",
	    "XX002",
	    /* A partition that is missing: lacks_partition has looked. */
	    "23"};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strncmp(error->code, others[i], strlen(others[i])) == 0)
			return false;
	}
	return error->code[0] != '\0';
}

/* The time t, as a value for one of the columns created_at and received_at. */
static int
add_time_value(struct buf *sql, enum copy_kind kind, int64_t t_us)
{
	if (kind == COPY_INT8_MS)
		return buf_addf(sql, "%" PRId64, t_us / 1000);
	return buf_addf(sql, "to_timestamp(%" PRId64 " / 1000000.0)%s", t_us,
	                kind == COPY_TIMESTAMP ? " AT TIME ZONE 'UTC'" : "");
}

/*
 * The INSERT of an ordinary event: one that the table holds, with a new id, and
 * as if it had come at the time t.  It fails when there is none.
 */
static int
add_ordinary(struct postgres *s, int64_t t_us)
{
	const struct copy_columns *columns = &s->table.columns;
	struct buf *sql = &s->sql;
	int rc;

	buf_clear(sql);
	rc = buf_addf(sql,
	              "WITH ordinary AS (INSERT INTO %s (" TABLE_COLUMNS ") "
	              "SELECT md5(random()::text)%s, type, user_id, payload, ",
	              s->table.name,
	              columns->kind[FIELD_ID] == COPY_UUID ? "::uuid" : "");
	if (rc == 0)
		rc = add_time_value(sql, columns->kind[FIELD_CREATED_AT], t_us);
	if (rc == 0)
		rc = buf_addf(sql, ", ");
	if (rc == 0)
		rc =
		    add_time_value(sql, columns->kind[FIELD_RECEIVED_AT], t_us);
	if (rc == 0)
		rc = buf_addf(sql,
		              " FROM %s LIMIT 1 RETURNING 1) SELECT 1 / "
		              "count(*) FROM ordinary; SET CONSTRAINTS ALL "
		              "IMMEDIATE; ROLLBACK",
		              s->table.name);
	return rc < 0 ? rc : buf_add(sql, "", 1);
}

bool
reject_takes_ordinary(struct postgres *s, const struct event *like)
{
	struct sink_error ignored = {0};

	return add_ordinary(s, like->received_at_us) == 0 &&
	       pg_run(&s->pg, (const char *)s->sql.data, &ignored) == SINK_DONE;
}

/* A row has failed: is its event at fault, whatever the code says? */
bool
reject_is_events_fault(struct postgres *s, const struct batch *b,
                       const struct sink_error *error)
{
	size_t i = error->bad_event > 0 ? error->bad_event - 1 : 0;

	return PQstatus(s->pg.conn) != CONNECTION_BAD && i < b->count &&
	       reject_may_be_event(error) &&
	       reject_takes_ordinary(s, &b->events[i]);
}

enum sink_result
reject_columns_changed(struct sink_error *error)
{
	return pg_fail(error, SINK_UNREACHABLE,
	               "the table's columns have changed: reading them again");
}

/*
 * A null is refused: perhaps by a column that has come since the sink looked,
 * and that leat has no value for.  Then no event is at fault, but the table.
 */
enum sink_result
reject_confirm_null(struct postgres *s, struct sink_error *error)
{
	struct sink_error now = {0};
	struct table table;
	enum sink_result result;

	result = table_read(&table, &s->pg, s->settings->table,
	                    s->settings->dedup_by_id, &now);
	if (result == SINK_DONE)
		return SINK_REJECT;
	*error = now;
	return result;
}

/* A rejected batch leaves a failed transaction, which a pg_query ends. */
enum sink_result
reject_confirm(struct postgres *s, const struct batch *b,
               struct sink_error *error)
{
	enum sink_result result;

	if (strcmp(error->code, NOT_NULL_VIOLATION) == 0)
		result = reject_confirm_null(s, error);
	else
		result = SINK_REJECT;
	if (result == SINK_REJECT)
		result = pg_position_confirm(s, b, error);
	return result;
}

void
reject_name_field(enum event_field field, struct sink_error *error)
{
	bool number = field == FIELD_PAYLOAD;

	(void)snprintf(error->code, sizeof error->code, "%s",
	               number ? "22003" : "22P02");
	(void)snprintf(error->text, sizeof error->text,
	               number ? "a number is out of range for jsonb in column "
	                        "%s: it has more than 131072 digits before "
	                        "the point or more than 16383 after it"
	                      : "invalid input syntax for type uuid in column "
	                        "%s",
	               event_field_name(field));
}

enum sink_result
reject_confirm_columns(struct postgres *s, struct sink_error *error)
{
	enum sink_result result;
	PGresult *res = NULL;
	bool same;

	buf_clear(&s->sql);
	if (table_add_types_query(&s->table, &s->pg, &s->sql) < 0 ||
	    buf_add(&s->sql, "", 1) < 0)
		return pg_fail(error, SINK_UNREACHABLE, "out of memory");
	result = pg_query(&s->pg, (const char *)s->sql.data, TABLE_TYPES_FIELDS,
	                  &res, error);
	if (result != SINK_DONE)
		return result;
	same = table_unchanged(&s->table, res);
	PQclear(res);
	return same ? SINK_DONE : reject_columns_changed(error);
}
