/* count - how many events a table of ClickHouse has. */
#include "sinkd-clickhouse/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinkd-clickhouse/clickhouse.h"

/*
 * Rows with the same id are counted in so many parts, one after the other, so
 * that the server needs memory for the ids of one part only.
 */
#define PARTS 16

static enum sink_result
ask_numbers(struct clickhouse *c, const char *select, const char *where,
            uint64_t numbers[2], struct sink_error *error)
{
	const struct buf *body = &c->client.http.body;
	enum sink_result result;
	char text[64];
	char *end;

	buf_clear(&c->sql);
	buf_add_text(&c->sql, select);
	ch_table_add_name(&c->table, &c->sql);
	buf_add_text(&c->sql, where);
	result = ch_client_statement(&c->client, &c->sql, error);
	if (result != SINK_DONE)
		return result;
	(void)snprintf(text, sizeof text, "%.*s", (int)body->len,
	               (const char *)body->data);
	numbers[0] = strtoull(text, &end, 10);
	numbers[1] = strtoull(end, NULL, 10);
	return SINK_DONE;
}

/*
 * Count one part.  The times are those of the rows: with two rows of one id
 * that were received at different times, the sender has sent it twice.
 */
static enum sink_result
count_part(struct clickhouse *c, unsigned part, struct sink_count *count,
           struct sink_error *error)
{
	uint64_t numbers[2] = {0, 0};
	char where[160];
	enum sink_result result;

	(void)snprintf(where, sizeof where,
	               " WHERE cityHash64(id) %% %d = %u GROUP BY id, "
	               "received_at) FORMAT TabSeparatedRaw",
	               PARTS, part);
	result = ask_numbers(
	    c, "SELECT sum(n), count() FROM (SELECT count() AS n FROM ", where,
	    numbers, error);
	if (result != SINK_DONE)
		return result;
	count->rows += numbers[0];
	count->distinct += numbers[1];
	return SINK_DONE;
}

/* The parts are counted one after the other, while events may come. */
static enum sink_result
count_all(struct clickhouse *c, struct sink_count *count,
          struct sink_error *error)
{
	struct sink_error now = {.bad_event = 0};
	uint64_t numbers[2] = {0, 0};
	enum sink_result result = SINK_DONE;

	for (unsigned i = 0; i < PARTS && result == SINK_DONE; i++)
		result = count_part(c, i, count, &now);
	count->has = COUNT_DISTINCT;
	if (result == SINK_DONE)
		return SINK_DONE;
	count->has = 0;
	result = ask_numbers(c, "SELECT count(), 0 FROM ",
	                     " FORMAT TabSeparatedRaw", numbers, error);
	count->rows = numbers[0];
	(void)snprintf(count->note, sizeof count->note,
	               "the server could not look for rows that are there "
	               "twice: %.300s",
	               now.text);
	return result;
}

enum sink_result
clickhouse_count(void *state, const struct sink_common *common,
                 const void *conf, struct sink_count *count,
                 struct sink_error *error)
{
	struct clickhouse *c = state;
	enum sink_result result = clickhouse_prepare(c, common, conf, error);

	if (result != SINK_DONE)
		return result;
	result = SINK_UNREACHABLE;
	for (unsigned i = 0;
	     result == SINK_UNREACHABLE &&
	     clickhouse_nth_url(c->conf->url, i, c->client.url) > 0;
	     i++) {
		*error = (struct sink_error){.bad_event = 0};
		result = ch_table_look(&c->table, error);
	}
	if (result != SINK_DONE)
		return result;
	if (c->table.exists)
		return count_all(c, count, error);
	return sink_fail(error, SINK_MISCONFIGURED,
	                 "no table %s.%s, or no right to see it; run: GRANT "
	                 "SELECT ON %s.%s TO %s",
	                 c->conf->database, c->conf->table, c->conf->database,
	                 c->conf->table, c->conf->user);
}
