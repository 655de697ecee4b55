/* sink - see sink.h. */
#include "sinkd-postgres/sink.h"

#include <stdlib.h>

#include "sinkd-postgres/open.h"
#include "sinkd-postgres/position.h"
#include "sinkd-postgres/postgres.h"
#include "sinkd-postgres/rejected_rows.h"
#include "sinkd-postgres/write.h"

static void
postgres_close(void *state)
{
	struct postgres *s = state;

	pg_close(&s->pg);
	free(s->position_table);
	s->position_table = NULL;
	buf_fini(&s->sql);
	buf_fini(&s->piece);
	memset(s->streams, 0, sizeof s->streams);
}

static enum sink_result
postgres_position(void *state, const char *stream, bool *found,
                  uint64_t *next_offset, struct sink_error *error)
{
	struct postgres *s = state;
	enum sink_result result;

	pg_begin(&s->pg);
	result = pg_position_read(s, stream, found, next_offset, error);
	if (result == SINK_DONE && *found)
		pg_position_remember(s, stream);
	return result;
}

const struct sink postgres_sink = {
    .name = SINK_NAME,
    .summary = "Writes events into a table of PostgreSQL, each exactly once.",
    .keys = postgres_keys,
    .conf_bytes = sizeof(struct postgres_settings),
    .state_bytes = sizeof(struct postgres),
    .batch_events = "10000",
    .batch_wait_ms = "10",
    .check = postgres_check,
    .open = postgres_open,
    .position = postgres_position,
    .write = write_batch,
    .probe = rejected_rows_find,
    .check_store = postgres_check_store,
    .count = postgres_count,
    .close = postgres_close,
};
