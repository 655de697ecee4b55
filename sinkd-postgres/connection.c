/* connection - see connection.h. */
#include "sinkd-postgres/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "libbase/buf.h"
#include "libbase/clock.h"
#include "libbase/log.h"

#define SQL_MAX (20 * KIB)

/*
 * The open connection of this process, whose bytes pg_recv counts.  A process
 * has at most one.
 */
static struct pg_connection *counted;

/*
 * Copy libpq's message about a failed connection to error->text.
 *
 * The message has one line or more for each address of the host, and each of
 * these begins in the same way.  If the message does not fit, the text about
 * the last addresses is kept.  Often only the last address has a server: where
 * localhost resolves to ::1 first, 127.0.0.1 is the one that answers.
 */
static void
set_last_addresses(struct sink_error *error, const char *text)
{
	const char *next;

	while (strlen(text) >= sizeof error->text &&
	       (next = strstr(text, "\nconnection to server")))
		text = next + 1;
	pg_set_text(error, text);
}

/*
 * The function that libpq calls as recv, in place of libc's.
 *
 * libpq has no bound on memory of its own.  It trusts any length in the header
 * of a message, allocates that much, and reads for as long as data arrives.
 * Therefore this function returns an error once the operation has received
 * PG_RESPONSE_MAX bytes.
 */
ssize_t pg_recv(int fd, void *out, size_t n, int flags) __asm__("recv");

ssize_t
pg_recv(int fd, void *out, size_t n, int flags)
{
	struct pg_connection *pg = counted;
	ssize_t got;

	if (!pg || !pg->conn || PQsocket(pg->conn) != fd)
		return recvfrom(fd, out, n, flags, NULL, NULL);
	if (pg->received >= PG_RESPONSE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (n > PG_RESPONSE_MAX - pg->received)
		n = PG_RESPONSE_MAX - pg->received;
	got = recvfrom(fd, out, n, flags, NULL, NULL);
	if (got > 0)
		pg->received += (size_t)got;
	return got;
}

static enum sink_result
connection_lost(struct pg_connection *pg, struct sink_error *error)
{
	error->too_much = pg->received >= PG_RESPONSE_MAX;
	if (error->too_much)
		return sink_fail(
		    error, SINK_UNREACHABLE,
		    "the server sent more than %zu KiB; check that "
		    "host and port are those of a PostgreSQL server",
		    PG_RESPONSE_MAX / KIB);
	pg_set_text(error, PQerrorMessage(pg->conn));
	return SINK_UNREACHABLE;
}

/*
 * Return true if a message of libpq means that the server refused the
 * connection.
 *
 * libpq gives no SQLSTATE for a refused connection, so that only the text
 * tells.  The text decides only which state the status shows: the sink retries
 * in either case.
 */
static bool
is_refusal(const char *text)
{
	static const char *const refusals[] = {
	    "authentication failed", "pg_hba.conf",          "does not exist",
	    "no password supplied",  "permission denied",    "invalid ",
	    "could not match",       "not permitted to log", "certificate",
	    "private key",           "not support SSL",      " alert ",
	};

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strstr(text, refusals[i]))
			return true;
	}
	return false;
}

void
pg_close(struct pg_connection *pg)
{
	if (counted == pg)
		counted = NULL;
	PQfinish(pg->conn); /* accepts NULL */
	pg->conn = NULL;
}

void
pg_begin(struct pg_connection *pg)
{
	pg->deadline_ms = clock_mono_ms() + (uint64_t)pg->timeout_ms;
	pg->received = 0;
}

/*
 * Wait until the socket is ready.  *ready is set to poll's events, or to 0
 * after a signal.
 */
static enum sink_result
poll_socket(const struct pg_connection *pg, short events, short *ready,
            struct sink_error *error)
{
	struct pollfd p = {.fd = PQsocket(pg->conn), .events = events};
	uint64_t now = clock_mono_ms();
	int n;

	*ready = 0;
	if (now >= pg->deadline_ms) {
		/*
		 * The server's statement_timeout is the same time, so either
		 * side may notice first.  Report the same code for both.
		 */
		(void)snprintf(error->code, sizeof error->code, PG_TIMED_OUT);
		error->too_much = true;
		return sink_fail(error, SINK_UNREACHABLE,
		                 "the server did not respond within "
		                 "timeout_ms = %lld",
		                 (long long)pg->timeout_ms);
	}
	n = poll(&p, 1, (int)(pg->deadline_ms - now));
	if (n < 0 && errno != EINTR)
		return sink_fail(error, SINK_UNREACHABLE, "poll failed: %s",
		                 strerror(errno));
	if (n > 0)
		*ready = p.revents;
	return SINK_DONE;
}

/*
 * Wait until the socket is ready.  Input is consumed at once: a server that
 * cannot send its output may stop reading its input.
 */
static enum sink_result
wait_socket(struct pg_connection *pg, short events, struct sink_error *error)
{
	short ready;
	enum sink_result result = poll_socket(pg, events, &ready, error);

	if (result != SINK_DONE || !(ready & ~POLLOUT))
		return result;
	return PQconsumeInput(pg->conn) ? SINK_DONE
	                                : connection_lost(pg, error);
}

static void
on_notice(void *arg, const PGresult *res)
{
	(void)arg;
	log_debug("notice text=%s", log_quote(PQresultErrorMessage(res)));
}

/* Complete a connection that was started. */
static enum sink_result
finish_connecting(struct pg_connection *pg, struct sink_error *error)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	if (!pg->conn)
		return sink_fail(error, SINK_UNREACHABLE, "out of memory");
	counted = pg;
	/*
	 * By default libpq writes the notices of a server to stderr as they
	 * are.
	 */
	(void)PQsetNoticeReceiver(pg->conn, on_notice, NULL);
	if (PQstatus(pg->conn) == CONNECTION_BAD)
		next = PGRES_POLLING_FAILED;
	while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
		bool reading = next == PGRES_POLLING_READING;
		enum sink_result result;
		short ready;

		result =
		    poll_socket(pg, reading ? POLLIN : POLLOUT, &ready, error);
		if (result != SINK_DONE)
			return result;
		if (ready)
			next = PQconnectPoll(pg->conn);
	}
	if (next != PGRES_POLLING_OK && pg->received >= PG_RESPONSE_MAX)
		return connection_lost(pg, error);
	if (next != PGRES_POLLING_OK) {
		const char *text = PQerrorMessage(pg->conn);

		set_last_addresses(error, text);
		return is_refusal(text) ? SINK_MISCONFIGURED : SINK_UNREACHABLE;
	}
	return PQsetnonblocking(pg->conn, 1) < 0 ? connection_lost(pg, error)
	                                         : SINK_DONE;
}

enum sink_result
pg_open(struct pg_connection *pg, const char *const *keywords,
        const char *const *values, int64_t timeout_ms, struct sink_error *error)
{
	enum sink_result result = SINK_UNREACHABLE;
	struct pg_hosts hosts = {0};

	pg_close(pg);
	pg->timeout_ms = timeout_ms;
	pg_begin(pg);
	pg->conn = PQconnectStartParams(keywords, values, 1);
	if (pg->conn && PQstatus(pg->conn) != CONNECTION_BAD)
		pg_hosts_read(&hosts, pg->conn);
	if (hosts.count <= 1)
		result = finish_connecting(pg, error);
	for (unsigned i = 0; hosts.count > 1 && i < hosts.count; i++) {
		struct sink_error now = {0};
		enum sink_result got;

		pg_close(pg);
		pg_begin(pg);
		pg->conn = pg_hosts_start(&hosts, i, keywords, values);
		got = finish_connecting(pg, &now);
		/*
		 * An error that an operator has to fix tells more than a host
		 * that is unreachable, so it is the one to report.
		 */
		if (i == 0 || got == SINK_DONE ||
		    (got == SINK_MISCONFIGURED && result == SINK_UNREACHABLE)) {
			result = got;
			*error = now;
		}
		if (got == SINK_DONE)
			break;
	}
	pg_hosts_free(&hosts);
	return result;
}

static enum sink_result
flush_output(struct pg_connection *pg, struct sink_error *error)
{
	for (;;) {
		enum sink_result result;
		int rc = PQflush(pg->conn);

		if (rc == 0)
			return SINK_DONE;
		if (rc < 0)
			return connection_lost(pg, error);
		result = wait_socket(pg, POLLIN | POLLOUT, error);
		if (result != SINK_DONE)
			return result;
	}
}

const char *
pg_statements(struct buf *sql, struct sink_error *error)
{
	if (buf_add(sql, "", 1) == 0 && sql->error == 0)
		return (const char *)sql->data;
	(void)sink_fail(error, SINK_UNREACHABLE,
	                "cannot build the statements: %s",
	                strerror(-sql->error));
	return NULL;
}

enum sink_result
pg_send(struct pg_connection *pg, const char *sql, struct sink_error *error)
{
	if (!sql)
		return SINK_UNREACHABLE;
	if (!PQsendQuery(pg->conn, sql))
		return connection_lost(pg, error);
	return flush_output(pg, error);
}

enum sink_result
pg_unexpected(struct sink_error *error)
{
	return sink_fail(error, SINK_UNREACHABLE,
	                 "the server's response does not match the statement; "
	                 "check that host and port are those of a PostgreSQL "
	                 "server");
}

/*
 * No statement of this sink copies data to the client, and most copy none to
 * the server.  During a COPY libpq returns the same result again without end
 * and never waits, so an unexpected COPY is reported as an error.
 */
enum sink_result
pg_next(struct pg_connection *pg, bool copy_in, PGresult **res,
        struct sink_error *error)
{
	ExecStatusType status;

	while (PQisBusy(pg->conn)) {
		enum sink_result result = wait_socket(pg, POLLIN, error);

		if (result != SINK_DONE)
			return result;
	}
	*res = PQgetResult(pg->conn);
	status = PQresultStatus(*res);
	if (status != PGRES_COPY_OUT && status != PGRES_COPY_BOTH &&
	    (status != PGRES_COPY_IN || copy_in))
		return SINK_DONE;
	PQclear(*res);
	*res = NULL;
	return pg_unexpected(error);
}

enum sink_result
pg_copy(struct pg_connection *pg, const void *bytes, size_t n,
        struct sink_error *error)
{
	int rc = PQputCopyData(pg->conn, bytes, (int)n);

	if (rc < 0)
		return connection_lost(pg, error);
	/*
	 * 0 means only that libpq has no memory: flush_output has emptied its
	 * buffer after the previous piece.
	 */
	if (rc == 0)
		return sink_fail(error, SINK_UNREACHABLE, "out of memory");
	return flush_output(pg, error);
}

enum sink_result
pg_copy_end(struct pg_connection *pg, struct sink_error *error)
{
	if (PQputCopyEnd(pg->conn, NULL) != 1)
		return connection_lost(pg, error);
	return flush_output(pg, error);
}

bool
pg_is_error(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

void
pg_add_local_settings(const struct pg_connection *pg, struct buf *sql)
{
	/*
	 * lock_timeout is shorter than statement_timeout, so that waiting for a
	 * lock fails with its own code and does not look like a batch that
	 * takes too long.  Notices are not used, and a server could send them
	 * without end.
	 */
	buf_addf(sql,
	         "SET LOCAL statement_timeout = %lld; "
	         "SET LOCAL lock_timeout = %lld; "
	         "SET LOCAL client_min_messages = error; ",
	         (long long)pg->timeout_ms,
	         (long long)(pg->timeout_ms + 1) / 2);
}

static enum sink_result
send_transaction(struct pg_connection *pg, const char *statements,
                 struct sink_error *error)
{
	enum sink_result result;
	struct buf sql;

	if (!statements)
		return SINK_UNREACHABLE;
	buf_init(&sql, SQL_MAX);
	if (PQtransactionStatus(pg->conn) != PQTRANS_IDLE)
		buf_add_text(&sql, "ROLLBACK; ");
	/* The server runs all statements of one string as one transaction. */
	pg_add_local_settings(pg, &sql);
	if (pg->read_only)
		buf_add_text(&sql, "SET LOCAL transaction_read_only = on; ");
	buf_add_text(&sql, statements);
	result = pg_send(pg, pg_statements(&sql, error), error);
	buf_fini(&sql);
	return result;
}

/* Discard the remaining results after a failed one. */
static void
skip_rest(struct pg_connection *pg)
{
	struct sink_error error = {0};
	PGresult *next;

	while (pg_next(pg, false, &next, &error) == SINK_DONE && next)
		PQclear(next);
}

/*
 * Run statements.  *last is set to the result of the last one, which may be
 * NULL.
 */
static enum sink_result
run_statements(struct pg_connection *pg, const char *sql, PGresult **last,
               struct sink_error *error)
{
	enum sink_result result = send_transaction(pg, sql, error);
	PGresult *next = NULL;

	*last = NULL;
	while (result == SINK_DONE &&
	       (result = pg_next(pg, false, &next, error)) == SINK_DONE &&
	       next) {
		PQclear(*last);
		*last = next;
		if (pg_is_error(next))
			break;
	}
	if (result == SINK_DONE && *last && pg_is_error(*last)) {
		result = pg_classify(*last, error);
		if (result == SINK_REJECT)
			result = SINK_MISCONFIGURED;
		skip_rest(pg);
	}
	if (result != SINK_DONE) {
		PQclear(*last);
		*last = NULL;
	}
	return result;
}

enum sink_result
pg_run(struct pg_connection *pg, const char *sql, struct sink_error *error)
{
	PGresult *last;
	enum sink_result result = run_statements(pg, sql, &last, error);

	PQclear(last);
	return result;
}

enum sink_result
pg_query(struct pg_connection *pg, const char *sql, int columns, PGresult **res,
         struct sink_error *error)
{
	enum sink_result result = run_statements(pg, sql, res, error);

	if (result != SINK_DONE || (PQresultStatus(*res) == PGRES_TUPLES_OK &&
	                            PQnfields(*res) == columns))
		return result;
	PQclear(*res);
	*res = NULL;
	return pg_unexpected(error);
}

enum sink_result
pg_query_with(struct pg_connection *pg, const char *head, const char *literal,
              const char *tail, int columns, PGresult **res,
              struct sink_error *error)
{
	enum sink_result result;
	struct buf sql;

	buf_init(&sql, SQL_MAX);
	buf_add_text(&sql, head);
	pg_add_literal(pg, &sql, literal);
	buf_add_text(&sql, tail);
	result = pg_query(pg, pg_statements(&sql, error), columns, res, error);
	buf_fini(&sql);
	return result;
}

void
pg_add_literal(struct pg_connection *pg, struct buf *out, const char *text)
{
	char *quoted = PQescapeLiteral(pg->conn, text, strlen(text));

	if (quoted)
		buf_add_text(out, quoted);
	else
		out->error = -ENOMEM;
	PQfreemem(quoted);
}
