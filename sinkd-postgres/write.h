/*
 * write - one batch into PostgreSQL: one transaction, two round trips.
 *
 * The first carries all statements; the server runs them up to the COPY and
 * waits for rows.  By then it has said whether the position was where we
 * left it, and whether the columns are as we know them, under a lock that
 * keeps them so.  The second carries the rows; the server then moves the
 * position, if it is still where we left it, and commits.
 */
#ifndef SINKD_POSTGRES_WRITE_H
#define SINKD_POSTGRES_WRITE_H

#include "libbase/buf.h"
#include "libbase/log.h"
#include "libsink/sink.h"
#include "sinkd-postgres/connection.h"
#include "sinkd-postgres/table.h"

#define SINK_NAME "postgres"
#define STREAM_MAX 64
#define PASSWORD_MAX 256
#define SQL_MAX (16 * KIB)

/* COPY data is sent in pieces of about this size, while it is made. */
#define WRITE_PIECE_BYTES (64 * KIB)
#define WRITE_PIECE_MAX                                                        \
	(WRITE_PIECE_BYTES + EVENT_PACKED_MAX + COPY_ROW_EXTRA + 64)

struct postgres_settings {
	char *conninfo, *host, *port, *dbname, *user, *password_file;
	char *sslrootcert;
	int sslmode; /* index into those that libpq knows */
	char *table, *position_table;
	bool create_table, dedup_by_id;
};

struct postgres {
	struct pg_connection pg;
	struct table table;
	const struct postgres_settings *settings;
	char password[PASSWORD_MAX];
	bool password_read;      /* the environment is read once */
	char stream[STREAM_MAX]; /* whose position row is known to be there */
	char *position_table;    /* quoted; owned */
	struct buf sql;
	struct buf piece;
	struct log_limit probe_limit;
};

/* Store the batch, as sink.h says of write. */
enum sink_result write_batch(struct postgres *s, const struct batch *b,
                             struct sink_error *error);

/*
 * Answer a COPY that waits: send the batch's rows, with `columns` in place of
 * the table's, and its end.  With `numbered` each begins with its index in the
 * batch.  Returns SINK_DONE, or as pg_copy.
 */
enum sink_result write_rows(struct postgres *s, const struct batch *b,
                            const struct copy_columns *columns, bool numbered,
                            struct sink_error *error);

/*
 * The position of `stream`; *found says whether there is one.  Returns
 * SINK_DONE, or as pg_run.
 */
enum sink_result write_position(struct postgres *s, const char *stream,
                                bool *found, uint64_t *next_offset,
                                struct sink_error *error);
/* Say in error what copy_check has found in a field. */
void write_name_field(enum event_field field, struct sink_error *error);

/*
 * Class a server's words about a row, with what the batch tells of it:
 * bad_event is 1 + its index, or 0 where only the words may say.
 */
enum sink_result write_classify(const struct batch *b,
                                const struct pg_diagnostics *words,
                                size_t bad_event, struct sink_error *error);

/*
 * Before events are set aside: SINK_REJECT if the position is still where the
 * batch begins, SINK_FENCED if another process has moved it, or as pg_run.
 */
enum sink_result write_confirm_position(struct postgres *s,
                                        const struct batch *b,
                                        struct sink_error *error);

/*
 * Whether an error that is none of an event by its code may be one all the
 * same, such as one of a trigger that knows some types only.
 */
bool write_may_be_event(const struct sink_error *error);

/*
 * Whether the table takes an ordinary event that comes at the time of `like`.
 * If it does, what it fails at is the fault of the event.
 */
bool write_takes_ordinary(struct postgres *s, const struct event *like);

/* SINK_DONE if the columns are still of the types that the sink knows. */
enum sink_result write_confirm_columns(struct postgres *s,
                                       struct sink_error *error);

/*
 * A column has refused a null.  Returns SINK_REJECT if that is an event's
 * fault, or what is wrong with the table.
 */
enum sink_result write_confirm_null(struct postgres *s,
                                    struct sink_error *error);

/* Note that the stream has its row in the position table. */
void write_remember_stream(struct postgres *s, const char *stream);

#endif
