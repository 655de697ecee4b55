/* error_class - see error_class.h. */
#include "sinkd-postgres/error_class.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
pg_set_text(struct sink_error *error, const char *text)
{
	size_t n = strlen(text);

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	(void)snprintf(error->text, sizeof error->text, "%.*s", (int)n, text);
}

enum sink_result
pg_classify_sqlstate(const char *s)
{
	static const struct {
		const char *prefix; /* the first match is used */
		enum sink_result result;
	} classes[] = {
	    {"22", SINK_REJECT},        /* data exception */
	    {"23", SINK_REJECT},        /* integrity constraint violation */
	    {"44", SINK_REJECT},        /* check option of a view */
	    {"54", SINK_REJECT},        /* too long for an index, too deep */
	    {"P0001", SINK_REJECT},     /* a trigger has refused the row */
	    {"P0", SINK_MISCONFIGURED}, /* a trigger is broken */
	    {"0A", SINK_MISCONFIGURED}, /* not supported */
	    {"21", SINK_MISCONFIGURED}, /* cardinality */
	    {"28", SINK_MISCONFIGURED}, /* invalid authorization */
	    {"3D", SINK_MISCONFIGURED}, /* no such database */
	    {"3F", SINK_MISCONFIGURED}, /* no such schema */
	    {"42", SINK_MISCONFIGURED}, /* no such table, no permission */
	};

	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		size_t n = strlen(classes[i].prefix);

		if (strncmp(s, classes[i].prefix, n) == 0)
			return classes[i].result;
	}
	return SINK_UNREACHABLE;
}

/*
 * Copy the message of a data exception without the value that it quotes, as in
 * 'invalid input syntax for type uuid: "..."' and 'value "..."  is out of range
 * for type integer'.  No content of an event may appear in a log.
 */
static void
set_value_text(struct sink_error *error, const char *text)
{
	const char *colon = strstr(text, ": "), *quote = strchr(text, '"');
	const char *last = quote ? strrchr(quote + 1, '"') : NULL;
	int head = (int)strcspn(text, "\"");

	if (colon && (!quote || colon < quote)) {
		head = (int)(colon - text);
		quote = last = NULL;
	}
	(void)snprintf(error->text, sizeof error->text, "%.*s%s%s", head, text,
	               quote ? "..." : "", last ? last + 1 : "");
}

/* Return true if the innermost line of the context is a RAISE of PL/pgSQL. */
static bool
is_at_raise(const char *context, size_t *line_bytes)
{
	static const char at[] = " at RAISE";
	size_t n = context ? strcspn(context, "\n") : 0;

	*line_bytes = n;
	return n >= sizeof at - 1 &&
	       memcmp(context + n - (sizeof at - 1), at, sizeof at - 1) == 0;
}

/*
 * Set the text for an error that a trigger raised.
 *
 * The message of RAISE and ASSERT comes from the trigger and may quote the
 * event.  Therefore only the dead letter gets the message; the log and the
 * status get the location of the RAISE.  Returns false for any other error.
 */
static bool
set_raised_text(struct sink_error *error, const struct pg_diagnostics *w)
{
	size_t n;

	if (is_at_raise(w->context, &n))
		(void)snprintf(error->text, sizeof error->text,
		               "refused by %.*s", (int)n, w->context);
	else if (strcmp(w->state, "P0001") == 0 ||
	         strcmp(w->state, "P0004") == 0)
		(void)snprintf(error->text, sizeof error->text,
		               "refused by a trigger");
	else
		return false;
	(void)snprintf(error->dead_letter, sizeof error->dead_letter, "%s",
	               w->text);
	return true;
}

/*
 * Return true if a SQLSTATE has a class that only users define.  The SQL
 * standard leaves the classes that begin with 5 to 9 and I to Z to
 * implementations.  PostgreSQL uses a few of those.  Class 45 is the one that
 * users of other servers raise.
 */
static bool
is_own_class(const char *state)
{
	static const char *const servers[] = {"53", "54", "55", "57",
	                                      "58", "72", "P0", "XX"};

	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		if (strncmp(state, servers[i], 2) == 0)
			return false;
	}
	return (state[0] >= '5' && state[0] <= '9') || state[0] >= 'I' ||
	       strncmp(state, "45", 2) == 0;
}

/* Return true if the same statements may succeed with fewer rows. */
static bool
fewer_rows_may_pass(const char *state)
{
	static const char *const states[] = {
	    PG_TIMED_OUT, "25P04", /* transaction_timeout */
	    "53200",               /* out_of_memory */
	    "53400", /* configuration_limit_exceeded, such as temp_file_limit */
	};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strcmp(state, states[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Return the line number of COPY's own context line, or 0.  A trigger's context
 * may contain line numbers as well.
 */
static size_t
context_copy_line(const char *context)
{
	const char *at = context;

	while (at && strncmp(at, "COPY ", 5) != 0) {
		at = strchr(at, '\n');
		if (at)
			at++;
	}
	at = at ? strstr(at, ", line ") : NULL;
	return at ? strtoul(at + 7, NULL, 10) : 0;
}

enum sink_result
pg_classify_diagnostics(const struct pg_diagnostics *w,
                        struct sink_error *error)
{
	size_t n;

	(void)snprintf(error->code, sizeof error->code, "%s", w->state);
	error->bad_event = context_copy_line(w->context);
	error->too_much = fewer_rows_may_pass(w->state);
	if (!set_raised_text(error, w)) {
		if (strncmp(w->state, "22", 2) == 0)
			set_value_text(error, w->text);
		else
			pg_set_text(error, w->text);
	}
	/* A trigger refused the row with a SQLSTATE of its own. */
	if (is_own_class(w->state) && is_at_raise(w->context, &n))
		return SINK_REJECT;
	return pg_classify_sqlstate(w->state);
}

bool
pg_diagnostics_of(const PGresult *res, struct pg_diagnostics *w)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	*w = (struct pg_diagnostics){
	    .state = PQresultErrorField(res, PG_DIAG_SQLSTATE),
	    .text = text ? text : PQresultErrorMessage(res),
	    .detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL),
	    .context = PQresultErrorField(res, PG_DIAG_CONTEXT),
	    .table = PQresultErrorField(res, PG_DIAG_TABLE_NAME),
	    .constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME)};
	return w->state != NULL;
}

enum sink_result
pg_classify(const PGresult *res, struct sink_error *error)
{
	struct pg_diagnostics w;

	if (pg_diagnostics_of(res, &w))
		return pg_classify_diagnostics(&w, error);
	/* libpq's own error: the connection is lost */
	pg_set_text(error, w.text);
	return SINK_UNREACHABLE;
}

bool
pg_no_partition(const struct pg_diagnostics *w, char column[PG_COLUMN_MAX])
{
	static const char head[] =
	    "Partition key of the failing row contains (";
	const char *at;
	size_t n;

	/*
	 * A check constraint reports its name.  A trigger that raises this
	 * SQLSTATE reports no table.
	 */
	if (!w->state || strcmp(w->state, "23514") != 0 || w->constraint ||
	    !w->table || !w->detail ||
	    strncmp(w->detail, head, sizeof head - 1) != 0)
		return false;
	at = w->detail + sizeof head - 1;
	n = strcspn(at, ")");
	if (n >= PG_COLUMN_MAX)
		return false;
	(void)snprintf(column, PG_COLUMN_MAX, "%.*s", (int)n, at);
	return true;
}
