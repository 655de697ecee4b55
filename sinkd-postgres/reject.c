/* reject - see reject.h. */
#include "sinkd-postgres/reject.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinkd-postgres/position.h"

/*
 * An event counts as current if created_at is within this time of received_at.
 */
#define NOW_US (INT64_C(3600) * 1000000)

#define NOT_NULL_VIOLATION "23502"

/*
 * Return true if the table lacks a partition that it must have.
 *
 * The partition of the current time is one: every event of now needs it, and
 * nothing is wrong with such an event, so the sink waits for an operator.  Any
 * other value is chosen by the sender.  If the sink waited for its partition,
 * any sender could stop it, so such an event is rejected.
 */
static bool
lacks_partition(const struct batch *b, const struct pg_diagnostics *diagnostics,
                size_t bad_event)
{
	char column[PG_COLUMN_MAX];
	const struct event *e;
	int64_t apart;

	if (!pg_no_partition(diagnostics, column))
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
reject_classify(const struct batch *b, const struct pg_diagnostics *diagnostics,
                size_t bad_event, struct sink_error *error)
{
	enum sink_result result = pg_classify_diagnostics(diagnostics, error);

	if (bad_event == 0)
		bad_event = error->bad_event;
	return result == SINK_REJECT &&
	               lacks_partition(b, diagnostics, bad_event)
	           ? SINK_MISCONFIGURED
	           : result;
}

bool
reject_may_be_event(const struct sink_error *error)
{
	static const char *const others[] = {
	    /* The server or the connection is in trouble, which passes. */
	    "08", "25", "40", "53", "55", "57", "58", "F0", "HV", "XX001",
	    "XX002",
	    /* A missing partition, which lacks_partition has examined. */
	    "23"};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strncmp(error->code, others[i], strlen(others[i])) == 0)
			return false;
	}
	return error->code[0] != '\0';
}

/* Append the time t as a value for created_at or received_at. */
static void
add_time_value(struct buf *sql, enum copy_kind kind, int64_t t_us)
{
	if (kind == COPY_INT8_MS)
		buf_addf(sql, "%" PRId64, t_us / 1000);
	else
		buf_addf(sql, "to_timestamp(%" PRId64 " / 1000000.0)%s", t_us,
		         kind == COPY_TIMESTAMP ? " AT TIME ZONE 'UTC'" : "");
}

/*
 * Build the INSERT of an ordinary event.  It is a copy of one that the table
 * holds, with a new id and with t as both times.  The statement fails if the
 * table is empty.  It is always rolled back.
 */
static void
add_ordinary(struct postgres *s, int64_t t_us)
{
	const struct copy_columns *columns = &s->table.columns;
	struct buf *sql = &s->sql;

	buf_clear(sql);
	buf_addf(sql,
	         "WITH ordinary AS (INSERT INTO %s (" TABLE_COLUMNS ") "
	         "SELECT md5(random()::text)%s, type, user_id, payload, ",
	         s->table.name,
	         columns->kind[FIELD_ID] == COPY_UUID ? "::uuid" : "");
	add_time_value(sql, columns->kind[FIELD_CREATED_AT], t_us);
	buf_add_text(sql, ", ");
	add_time_value(sql, columns->kind[FIELD_RECEIVED_AT], t_us);
	buf_addf(sql,
	         " FROM %s LIMIT 1 RETURNING 1) SELECT 1 / "
	         "count(*) FROM ordinary; SET CONSTRAINTS ALL "
	         "IMMEDIATE; ROLLBACK",
	         s->table.name);
}

bool
reject_takes_ordinary(struct postgres *s, const struct event *like)
{
	struct sink_error ignored = {0};

	add_ordinary(s, like->received_at_us);
	return pg_run(&s->pg, pg_statements(&s->sql, &ignored), &ignored) ==
	       SINK_DONE;
}

/*
 * After a row failed, decide whether the event is at fault, whatever the error
 * code is.
 */
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
	return sink_fail(
	    error, SINK_UNREACHABLE,
	    "the columns of the table have changed; the sink reads "
	    "them again");
}

/*
 * A column that was added after the sink read the table may have refused the
 * null, and leat has no value for it.  Then the table is wrong and not the
 * event.  Reading the table again finds such a column.
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

/* The rejected batch left a failed transaction, which pg_query rolls back. */
enum sink_result
reject_confirm(struct postgres *s, const struct batch *b,
               struct sink_error *error)
{
	enum sink_result result = SINK_REJECT;

	if (strcmp(error->code, NOT_NULL_VIOLATION) == 0)
		result = reject_confirm_null(s, error);
	return result == SINK_REJECT ? pg_position_confirm(s, b, error)
	                             : result;
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
	table_add_types_query(&s->table, &s->pg, &s->sql);
	result = pg_query(&s->pg, pg_statements(&s->sql, error),
	                  TABLE_TYPES_FIELDS, &res, error);
	if (result != SINK_DONE)
		return result;
	same = table_unchanged(&s->table, res);
	PQclear(res);
	return same ? SINK_DONE : reject_columns_changed(error);
}
