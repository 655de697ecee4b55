/*
 * connection - one connection to PostgreSQL.
 *
 * No operation takes longer than its deadline, and none receives more bytes
 * than its bound.  error_class.h decides what a failure means for the sink.
 */
#ifndef SINKD_POSTGRES_CONNECTION_H
#define SINKD_POSTGRES_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "libsink/sink.h"
#include "sinkd-postgres/error_class.h"
#include "sinkd-postgres/hosts.h"

/*
 * The most bytes that a server may send in one operation.  libpq keeps a whole
 * result in memory, in at most five times its bytes.  The results of this sink
 * have a few rows; the longest text is the message of a trigger that quotes an
 * event.
 */
#define PG_RESPONSE_MAX MIB

struct pg_connection {
	PGconn *conn; /* owned; NULL when closed */
	int64_t timeout_ms;
	uint64_t deadline_ms; /* of the current operation */
	size_t received;      /* bytes received in the current operation */
	bool read_only;       /* pg_run and pg_query can change nothing */
};

/*
 * Connect with libpq's keywords and values; both arrays end with NULL.  If they
 * name several hosts, try each for timeout_ms, in the order given.  Return
 * SINK_DONE if connected.  After any other result the caller calls pg_close.
 */
enum sink_result pg_open(struct pg_connection *pg, const char *const *keywords,
                         const char *const *values, int64_t timeout_ms,
                         struct sink_error *error);
void pg_close(struct pg_connection *pg);

/*
 * Start an operation.  What follows must end within timeout_ms and receive no
 * more than PG_RESPONSE_MAX bytes.
 */
void pg_begin(struct pg_connection *pg);

/*
 * Return the statements that were built in sql, valid until it changes; or NULL
 * with *error set if a function of buf.h or one that appends to sql has failed
 * since buf_clear.
 */
const char *pg_statements(struct buf *sql, struct sink_error *error);

/*
 * Send a query string, which may hold several statements.  Here, in pg_run and
 * in pg_query it can be the NULL of pg_statements with the same error; then
 * nothing is sent, and they return SINK_UNREACHABLE.
 */
enum sink_result pg_send(struct pg_connection *pg, const char *sql,
                         struct sink_error *error);

/*
 * Receive the next result of what was sent.  *res is owned by the caller, who
 * calls PQclear, and is NULL after the last result.  A result that reports an
 * error is returned as a result; see pg_classify.  PGRES_COPY_IN is an error
 * unless `copy_in`; after it libpq returns the same result again until
 * pg_copy_end.
 */
enum sink_result pg_next(struct pg_connection *pg, bool copy_in, PGresult **res,
                         struct sink_error *error);

/* Return true if the server reports an error, or sent something invalid. */
bool pg_is_error(const PGresult *res);

/* Send COPY data.  Returns when libpq holds none of it any more. */
enum sink_result pg_copy(struct pg_connection *pg, const void *bytes, size_t n,
                         struct sink_error *error);

/* End the COPY. */
enum sink_result pg_copy_end(struct pg_connection *pg,
                             struct sink_error *error);

/*
 * Append the settings that a transaction needs, with SET LOCAL.  Through a
 * pooler, other clients use the same session before and after this one, so that
 * no setting may outlast the transaction.
 */
void pg_add_local_settings(const struct pg_connection *pg, struct buf *sql);

/*
 * Run statements as one transaction, with the local settings.  A transaction
 * that is still open is rolled back first.  Errors are classified; a data error
 * becomes SINK_MISCONFIGURED, since no event is involved.
 */
enum sink_result pg_run(struct pg_connection *pg, const char *sql,
                        struct sink_error *error);

/*
 * Like pg_run, for a query whose result has `columns` columns and any number of
 * rows.  *res is owned by the caller, who calls PQclear, and is NULL if the
 * query failed.
 */
enum sink_result pg_query(struct pg_connection *pg, const char *sql,
                          int columns, PGresult **res,
                          struct sink_error *error);

/*
 * Like pg_query, for a query that consists of head, a text as a literal, and
 * tail.
 */
enum sink_result pg_query_with(struct pg_connection *pg, const char *head,
                               const char *literal, const char *tail,
                               int columns, PGresult **res,
                               struct sink_error *error);

/*
 * Report that the server's response does not match the statement.  Returns
 * SINK_UNREACHABLE.
 */
enum sink_result pg_unexpected(struct sink_error *error);

/* Append a quoted literal. */
void pg_add_literal(struct pg_connection *pg, struct buf *out,
                    const char *text);

#endif
