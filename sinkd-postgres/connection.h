/*
 * connection - a connection to PostgreSQL on which nothing takes longer than
 * its deadline or more memory than its bound, and which classes what goes
 * wrong.
 */
#ifndef SINKD_POSTGRES_CONNECTION_H
#define SINKD_POSTGRES_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "libsink/sink.h"
#include "sinkd-postgres/error_class.h"

/*
 * Most bytes that a server may send in one operation.  libpq keeps a result
 * whole, in at most five times its bytes.  Ours have a few rows, and the
 * longest text is that of a trigger which quotes an event.
 */
#define PG_RESPONSE_MAX MIB

struct pg_connection {
	PGconn *conn; /* owned; NULL when closed */
	int64_t timeout_ms;
	uint64_t deadline_ms; /* of the operation at work */
	size_t received;      /* its bytes */
};

/* Most pairs of pg_open. */
#define PG_PAIRS_MAX 24

/*
 * Connect with libpq's keywords and values (the arrays end with NULL).  Where
 * they name several hosts, each is tried for timeout_ms, in their order.
 * Returns SINK_DONE; else pg_close.
 */
enum sink_result pg_open(struct pg_connection *pg, const char *const *keywords,
                         const char *const *values, int64_t timeout_ms,
                         struct sink_error *error);
void pg_close(struct pg_connection *pg);

/*
 * Start an operation: what follows ends within timeout_ms, and receives no
 * more than PG_RESPONSE_MAX.
 */
void pg_begin(struct pg_connection *pg);

/* Send a query string, one or more statements. */
enum sink_result pg_send(struct pg_connection *pg, const char *sql,
                         struct sink_error *error);

/*
 * The next result of what was sent: *res, which the caller PQclears, or NULL
 * behind the last one.  A result that is an error is a result here: see
 * pg_class.  After PGRES_COPY_IN the same comes again until pg_copy_end.
 */
enum sink_result pg_next(struct pg_connection *pg, PGresult **res,
                         struct sink_error *error);

/* Send COPY data, and wait until it is out of our memory. */
enum sink_result pg_copy(struct pg_connection *pg, const void *bytes, size_t n,
                         struct sink_error *error);

/* End the COPY: well, or (with `why`) by making the server fail it. */
enum sink_result pg_copy_end(struct pg_connection *pg, const char *why,
                             struct sink_error *error);

/*
 * Append the settings that a transaction needs, for that transaction alone:
 * through a pooler the session belongs to other clients as well, before and
 * after.  Returns 0 or -errno.
 */
MUST_USE int pg_add_local_settings(const struct pg_connection *pg,
                                   struct buf *sql);

/*
 * Run statements as one transaction, with those settings; one that is open is
 * rolled back first.  Errors are classed; an error of data is one of
 * configuration here, since no event is involved.
 */
enum sink_result pg_run(struct pg_connection *pg, const char *sql,
                        struct sink_error *error);

/*
 * The same, of a query whose answer has `columns` columns and any number of
 * rows: *res, which the caller PQclears, or NULL when the query has failed.
 */
enum sink_result pg_query(struct pg_connection *pg, const char *sql,
                          int columns, PGresult **res,
                          struct sink_error *error);

/* What a server said does not answer what it was asked; returns
 * SINK_UNREACHABLE. */
enum sink_result pg_unexpected(struct sink_error *error);

/* Append a quoted literal or identifier; returns 0 or -errno. */
MUST_USE int pg_add_literal(struct pg_connection *pg, struct buf *out,
                            const char *text);

#endif
