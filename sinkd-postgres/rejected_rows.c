/* rejected_rows - see rejected_rows.h. */
#include "sinkd-postgres/rejected_rows.h"

#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "sinkd-postgres/position.h"
#include "sinkd-postgres/reject.h"
#include "sinkd-postgres/rejected_rows_sql.h"
#include "sinkd-postgres/write.h"

#define NOT_NULL_VIOLATION "23502"

/* What the results of the statements have reported so far. */
struct probe_results {
	unsigned tables; /* results with rows so far */
	bool can_tell;
	bool unchanged;
	bool copying;
	bool failed;       /* a statement failed: the probe has no answer */
	bool unexpected;   /* a result does not match the statements */
	PGresult *refused; /* owned */
};

static void
probe_on_rows(const struct postgres *s, struct probe_results *a, PGresult *res)
{
	static const int columns[] = {1, TABLE_TYPES_FIELDS, AT_COUNT};
	unsigned table = a->tables++;

	if (table >= ARRAY_LEN(columns) || PQnfields(res) != columns[table])
		a->unexpected = true;
	else if (table == 0)
		a->can_tell =
		    PQntuples(res) == 1 && PQgetvalue(res, 0, 0)[0] == 't';
	else if (table == 1)
		a->unchanged = table_unchanged(&s->table, res);
	else
		a->refused = res;
	if (res != a->refused)
		PQclear(res);
}

/*
 * Receive results until the server waits for COPY data, or until the last one.
 */
static enum sink_result
probe_read_results(struct postgres *s, struct probe_results *a,
                   struct sink_error *error)
{
	enum sink_result result;
	PGresult *res;

	while ((result = pg_next(&s->pg, true, &res, error)) == SINK_DONE &&
	       res) {
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_TUPLES_OK) {
			probe_on_rows(s, a, res);
			continue;
		}
		if (pg_is_error(res)) {
			a->failed = true;
			(void)pg_classify(res, error);
		}
		PQclear(res);
		if (status == PGRES_COPY_IN) {
			a->copying = true;
			return SINK_DONE;
		}
		if (PQstatus(s->pg.conn) == CONNECTION_BAD)
			return SINK_UNREACHABLE;
	}
	return result;
}

/* Every text goes into the temporary table as bytes. */
static enum sink_result
send_rows(struct postgres *s, const struct batch *b, struct sink_error *error)
{
	struct copy_columns staged;

	rejected_rows_staged_columns(&s->table.columns, &staged);
	return write_rows(s, b, &staged, true, error);
}

static enum sink_result
ask_server(struct postgres *s, const struct batch *b, struct probe_results *a,
           struct sink_error *error)
{
	enum sink_result result;

	rejected_rows_add_statements(s, b);
	result = pg_send(&s->pg, pg_statements(&s->sql, error), error);
	if (result == SINK_DONE)
		result = probe_read_results(s, a, error);
	if (result == SINK_DONE && a->copying) {
		result = send_rows(s, b, error);
		if (result == SINK_DONE)
			result = probe_read_results(s, a, error);
	}
	/* A failed statement leaves the transaction open. */
	if (result == SINK_DONE &&
	    PQtransactionStatus(s->pg.conn) != PQTRANS_IDLE)
		result = pg_run(&s->pg, "ROLLBACK", error);
	if (result == SINK_DONE && a->unexpected)
		result = pg_unexpected(error);
	return result;
}

static const char *
value_at(const PGresult *res, int row, int column)
{
	return PQgetisnull(res, row, column) ||
	               PQgetvalue(res, row, column)[0] == '\0'
	           ? NULL
	           : PQgetvalue(res, row, column);
}

/*
 * Classify row `row` of the result: set *event to the index of its event, and
 * *why to the reason.
 */
static enum sink_result
classify_row(const struct batch *b, const PGresult *res, int row, size_t *event,
             struct sink_error *why)
{
	const char *text = value_at(res, row, AT_TEXT);
	struct pg_diagnostics diagnostics = {
	    .state = PQgetvalue(res, row, AT_STATE),
	    .text = text ? text : "",
	    .detail = value_at(res, row, AT_DETAIL),
	    .context = value_at(res, row, AT_CONTEXT),
	    .table = value_at(res, row, AT_TABLE),
	    .constraint = value_at(res, row, AT_CONSTRAINT),
	};

	*why = (struct sink_error){0};
	*event = strtoul(PQgetvalue(res, row, AT_N), NULL, 10);
	return reject_classify(b, &diagnostics, *event + 1, why);
}

/* Return true if the rows name events of the batch in ascending order. */
static bool
in_order(const struct batch *b, const PGresult *res, int rows)
{
	struct sink_error why;
	size_t event, next = 0;

	for (int row = 0; row < rows; row++) {
		(void)classify_row(b, res, row, &event, &why);
		if (event < next || event >= b->count)
			return false;
		next = event + 1;
	}
	return true;
}

/*
 * Report the refused rows.
 *
 * Two kinds of errors do not blame the event: a null refused by a column that
 * was added after the sink read the table, and what reject_classify does not
 * return as SINK_REJECT.  In the second case the event is at fault nevertheless
 * if the table accepts an ordinary event.  Otherwise the report ends before
 * that row, and *looked is the number of events examined.
 */
static enum sink_result
report_rejected(struct postgres *s, const struct batch *b, const PGresult *res,
                const struct sink_refused *refused, size_t *looked,
                struct sink_error *error)
{
	int rows = PQntuples(res), row;
	enum sink_result class;
	struct sink_error why;
	bool nulls = false, taken = false;
	size_t event;

	*looked = b->count;
	if (rows > 0 && PQgetisnull(res, rows - 1, AT_STATE)) {
		/* The block stopped at this row. */
		(void)classify_row(b, res, --rows, &event, &why);
		*looked = event < b->count ? event : b->count;
	}
	if (!in_order(b, res, rows))
		return pg_unexpected(error);
	for (row = 0; row < rows; row++) {
		class = classify_row(b, res, row, &event, &why);
		if (class != SINK_REJECT && reject_may_be_event(&why)) {
			taken = taken ||
			        reject_takes_ordinary(s, &b->events[event]);
			class = taken ? SINK_REJECT : class;
		}
		if (class != SINK_REJECT)
			break;
		nulls |= strcmp(why.code, NOT_NULL_VIOLATION) == 0;
	}
	if (row < rows)
		*looked = event;
	rows = row;
	class = nulls ? reject_confirm_null(s, error) : SINK_REJECT;
	/*
	 * This process may have been stopped after the probe, and another sink
	 * may have taken over.
	 */
	if (class == SINK_REJECT && rows > 0)
		class = pg_position_confirm(s, b, error);
	if (class != SINK_REJECT)
		return class;
	*error = (struct sink_error){0};
	for (row = 0; row < rows; row++) {
		(void)classify_row(b, res, row, &event, &why);
		refused->on_event(refused->arg, event, &why);
	}
	return SINK_DONE;
}

/*
 * Report the events with a field that its column cannot hold, which the sink
 * finds without the server.
 */
static enum sink_result
report_known(struct postgres *s, const struct batch *b, size_t first,
             enum event_field field, const struct sink_refused *refused,
             size_t *looked, struct sink_error *error)
{
	enum sink_result result = reject_confirm_columns(s, error);

	if (result == SINK_DONE)
		result = pg_position_confirm(s, b, error);
	if (result != SINK_REJECT)
		return result;
	*error = (struct sink_error){0};
	while (first < b->count) {
		struct sink_error why = {0};

		reject_name_field(field, &why);
		refused->on_event(refused->arg, first, &why);
		first++;
		first += copy_check(&s->table.columns, b->events + first,
		                    b->count - first, &field);
	}
	*looked = b->count;
	return SINK_DONE;
}

enum sink_result
rejected_rows_find(void *state, const struct batch *b,
                   const struct sink_refused *refused, size_t *looked,
                   struct sink_error *error)
{
	struct postgres *s = state;
	struct probe_results a = {0};
	enum event_field field;
	enum sink_result result;
	size_t bad;

	s->probe_limit.interval_ms = 60000;
	s->probe_limit.burst = 1;
	pg_begin(&s->pg);
	bad = copy_check(&s->table.columns, b->events, b->count, &field);
	if (bad < b->count)
		return report_known(s, b, bad, field, refused, looked, error);
	result = ask_server(s, b, &a, error);
	if (result == SINK_DONE && a.refused && a.can_tell && a.unchanged)
		result =
		    report_rejected(s, b, a.refused, refused, looked, error);
	else if (result == SINK_DONE && a.failed &&
	         log_allow(&s->probe_limit, NULL))
		log_warn("cannot find the refused events in one round trip, "
		         "searching for each of them; that needs PL/pgSQL, the "
		         "right to create temporary tables, and less time than "
		         "half of timeout_ms code=%s err=%s",
		         log_quote(error->code), log_quote(error->text));
	PQclear(a.refused);
	return result;
}
