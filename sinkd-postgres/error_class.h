/*
 * error_class - what an error of a PostgreSQL server means for the sink:
 * unreachable, misconfigured, or the fault of an event.
 */
#ifndef SINKD_POSTGRES_ERROR_CLASS_H
#define SINKD_POSTGRES_ERROR_CLASS_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "libsink/sink.h"

/*
 * query_canceled: a statement took longer than statement_timeout, which is
 * timeout_ms.
 */
#define PG_TIMED_OUT "57014"

/* Copy a text to error->text, without the line break at its end. */
void pg_set_text(struct sink_error *error, const char *text);

/*
 * The fields of a server's error report.  A field that the server did not send
 * is NULL.
 */
struct pg_diagnostics {
	const char *state; /* SQLSTATE */
	const char *text;  /* primary message; never NULL */
	const char *detail;
	const char *context;
	const char *table;
	const char *constraint;
};

/*
 * Get the diagnostics of a failed result.  The strings are valid as long as the
 * result is.  Returns false if the error is libpq's own, which has only a text.
 */
bool pg_diagnostics_of(const PGresult *res, struct pg_diagnostics *diagnostics);

/* Classify a failed result and fill in error. */
enum sink_result pg_classify(const PGresult *res, struct sink_error *error);

/* The same for diagnostics. */
enum sink_result
pg_classify_diagnostics(const struct pg_diagnostics *diagnostics,
                        struct sink_error *error);

/* The class of a SQLSTATE. */
enum sink_result pg_classify_sqlstate(const char *sqlstate);

#define PG_COLUMN_MAX 64

/*
 * Return true if the error means that a partitioned table has no partition for
 * a row.  The names of the columns that decide the partition are copied to
 * `column`, as the server lists them.
 */
bool pg_no_partition(const struct pg_diagnostics *diagnostics,
                     char column[PG_COLUMN_MAX]);

#endif
