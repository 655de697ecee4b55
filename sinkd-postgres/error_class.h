/*
 * error_class - what an error of a PostgreSQL server means for the sink.
 */
#ifndef SINKD_POSTGRES_ERROR_CLASS_H
#define SINKD_POSTGRES_ERROR_CLASS_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "libsink/sink.h"

/* A statement has taken longer than timeout_ms; query_canceled. */
#define PG_TIMED_OUT "57014"

/* Note text in error and return result. */
enum sink_result pg_fail(struct sink_error *error, enum sink_result result,
                         const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Copy a text to error, without the line break at its end. */
void pg_set_text(struct sink_error *error, const char *text);

/* What a server says of an error; NULL where it says nothing. */
struct pg_diagnostics {
	const char *state; /* SQLSTATE */
	const char *text;  /* primary message; never NULL */
	const char *detail;
	const char *context;
	const char *table;
	const char *constraint;
};

/*
 * The words of a failed result, valid as long as it.  Returns false when they
 * are libpq's, with a text alone.
 */
bool pg_diagnostics_of(const PGresult *res, struct pg_diagnostics *words);

/* Class a failed result, and fill in error. */
enum sink_result pg_classify(const PGresult *res, struct sink_error *error);

/* The same, for a server's words. */
enum sink_result pg_classify_diagnostics(const struct pg_diagnostics *words,
                                         struct sink_error *error);

/* The class of a SQLSTATE. */
enum sink_result pg_classify_sqlstate(const char *sqlstate);

#define PG_COLUMN_MAX 64

/*
 * Whether a partitioned table has no partition for a row, and which columns
 * decide: their names, as the server lists them, go to column.
 */
bool pg_no_partition(const struct pg_diagnostics *words,
                     char column[PG_COLUMN_MAX]);

#endif
