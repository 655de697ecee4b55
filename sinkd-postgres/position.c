/* position - see position.h. */
#include "sinkd-postgres/position.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void
pg_position_remember(struct postgres *s, const char *stream)
{
	/* The first is that of the log; those of retries replace each other. */
	char *at = s->streams[s->streams[0][0] != '\0'];

	/*
	 * A longer name is not remembered.  Each batch then uses INSERT ... ON
	 * CONFLICT, which costs a no-op INSERT.
	 */
	if (!pg_position_is_remembered(s, stream) &&
	    strlen(stream) < sizeof s->streams[0])
		memcpy(at, stream, strlen(stream) + 1);
}

bool
pg_position_is_remembered(const struct postgres *s, const char *stream)
{
	return strcmp(s->streams[0], stream) == 0 ||
	       strcmp(s->streams[1], stream) == 0;
}

/*
 * The position is moved only from the value that this sink knows (I9).  If the
 * row has another value, the statement divides by zero.  It fails with
 * MOVED_BY_OTHER, and the server runs none of the statements after it.
 */
void
pg_position_add_move(struct postgres *s, const struct batch *b)
{
	struct buf *sql = &s->sql;

	if (pg_position_is_remembered(s, b->stream)) {
		buf_addf(sql,
		         "WITH moved AS (UPDATE %s SET next_offset = "
		         "%" PRIu64 " WHERE sink = '" SINK_NAME "' "
		         "AND next_offset = %" PRIu64 " AND stream = ",
		         s->position_table, b->next_offset, b->position);
		pg_add_literal(&s->pg, sql, b->stream);
	} else {
		buf_addf(sql,
		         "WITH moved AS (INSERT INTO %s AS p "
		         "(sink, next_offset, stream) "
		         "VALUES ('" SINK_NAME "', %" PRIu64 ", ",
		         s->position_table, b->next_offset);
		pg_add_literal(&s->pg, sql, b->stream);
		buf_addf(sql,
		         ") ON CONFLICT (stream, sink) DO UPDATE "
		         "SET next_offset = EXCLUDED.next_offset "
		         "WHERE p.next_offset = %" PRIu64,
		         b->position);
	}
	buf_add_text(sql, " RETURNING 1) SELECT 1 / count(*) AS " POSITION_MOVED
	                  " FROM moved; ");
}

void
pg_position_add_query(struct postgres *s, const char *stream)
{
	buf_addf(&s->sql,
	         "SELECT next_offset AS " POSITION_READ
	         " FROM %s WHERE sink = '" SINK_NAME "' AND stream = ",
	         s->position_table);
	pg_add_literal(&s->pg, &s->sql, stream);
}

enum sink_result
pg_position_fenced(const struct batch *b, struct sink_error *error)
{
	return sink_fail(
	    error, SINK_FENCED,
	    "another process moved the position, which was %" PRIu64,
	    b->position);
}

enum sink_result
pg_position_read(struct postgres *s, const char *stream, bool *found,
                 uint64_t *next_offset, struct sink_error *error)
{
	PGresult *res = NULL;
	enum sink_result result;

	buf_clear(&s->sql);
	pg_position_add_query(s, stream);
	result =
	    pg_query(&s->pg, pg_statements(&s->sql, error), 1, &res, error);
	if (result != SINK_DONE)
		return result;
	*found = PQntuples(res) == 1;
	if (*found)
		*next_offset = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return SINK_DONE;
}

/*
 * This process may have been stopped since it read the position, and another
 * sink may have taken over.  The events are then not this sink's to reject.
 */
enum sink_result
pg_position_confirm(struct postgres *s, const struct batch *b,
                    struct sink_error *error)
{
	struct sink_error now = {0};
	uint64_t position = b->position;
	bool found = false;
	enum sink_result result =
	    pg_position_read(s, b->stream, &found, &position, &now);

	if (result != SINK_DONE)
		*error = now;
	else if (position != b->position ||
	         (!found && pg_position_is_remembered(s, b->stream)))
		return pg_position_fenced(b, error);
	return result == SINK_DONE ? SINK_REJECT : result;
}
