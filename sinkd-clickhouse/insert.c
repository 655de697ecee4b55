/* insert - see insert.h. */
#include "sinkd-clickhouse/insert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinkd-clickhouse/rowbinary.h"
#include "sinkd-clickhouse/sql.h"

/*
 * Four columns can be FixedString, and the header names all columns with their
 * types.
 */
_Static_assert(4 * COLUMN_FIXED_MAX + EVENT_PACKED_MAX +
                       FIELD_COUNT * (CH_TABLE_TYPE_TEXT + KIB) <
                   SINK_BATCH_BYTES_MAX,
               "no room for a row");

static int
add_header_string(struct buf *out, const char *text)
{
	size_t n = strlen(text);
	uint8_t length[5];
	uint8_t *end = rowbinary_put_length(length, (uint32_t)n);
	int rc = buf_add(out, length, (size_t)(end - length));

	return rc == 0 ? buf_add(out, text, n) : rc;
}

/*
 * Add the names and types of the columns, so that the server notices if they
 * have changed.
 */
static int
add_rows_header(struct buf *out, const struct ch_table *t)
{
	uint8_t columns = FIELD_COUNT;
	int rc = buf_add(out, &columns, 1);

	for (int f = 0; rc == 0 && f < FIELD_COUNT; f++)
		rc = add_header_string(out,
		                       event_field_name((enum event_field)f));
	for (int f = 0; rc == 0 && f < FIELD_COUNT; f++)
		rc = add_header_string(out, t->type_text[f]);
	return rc;
}

enum sink_result
ch_insert_name_field(const struct clickhouse *c, enum event_field field,
                     const char *why, struct sink_error *error)
{
	(void)snprintf(error->code, sizeof error->code, "content");
	return sink_fail(error, SINK_REJECT, "%s %s (column type %s)",
	                 event_field_name(field), why,
	                 c->table.type_text[field]);
}

enum sink_result
ch_insert_build_rows(struct clickhouse *c, const struct batch *batch,
                     struct sink_error *error)
{
	enum event_field field = FIELD_ID;
	const char *why = "";
	int rc = 0;
	size_t i = 0;

	buf_clear(&c->rows);
	if (batch->count > CLICKHOUSE_ROWS_MAX)
		rc = -EMSGSIZE;
	if (rc == 0 && c->table.knows_types_header)
		rc = add_rows_header(&c->rows, &c->table);
	while (rc == 0 && i < batch->count) {
		rc = rowbinary_add(&c->rows, c->table.types, &batch->events[i],
		                   &field, &why);
		i += rc == 0;
	}
	switch (rc) {
	case 0:
		return SINK_DONE;
	case -EINVAL:
		error->bad_event = i + 1;
		return ch_insert_name_field(c, field, why, error);
	case -EMSGSIZE: /* the runtime splits the batch */
		(void)snprintf(error->code, sizeof error->code, "size");
		return sink_fail(error, SINK_REJECT,
		                 "the rows take more than %zu bytes",
		                 SINK_BATCH_BYTES_MAX);
	default:
		return sink_fail(error, SINK_UNREACHABLE,
		                 "cannot build the rows: %s", strerror(-rc));
	}
}

/* Append INSERT INTO `db`.`t` (`id`, ...) FORMAT ... */
static void
add_insert_query(struct buf *sql, const struct ch_table *t)
{
	buf_add_text(sql, "INSERT INTO ");
	ch_table_add_name(t, sql);
	for (int f = 0; f < FIELD_COUNT; f++) {
		buf_add_text(sql, f == 0 ? " (" : ", ");
		ch_sql_add_name(sql, event_field_name((enum event_field)f));
	}
	buf_add_text(sql, t->knows_types_header
	                      ? ") FORMAT RowBinaryWithNamesAndTypes"
	                      : ") FORMAT RowBinary");
}

int
ch_insert_build_url(struct clickhouse *c, const struct batch *batch)
{
	struct ch_table *t = &c->table;
	struct buf *url = &c->sql;
	char query[1024], token[256];
	size_t query_bytes;
	int n;

	buf_clear(url);
	add_insert_query(url, t);
	if (url->error)
		return url->error;
	if (url->len > sizeof query)
		return -EMSGSIZE;
	query_bytes = url->len;
	memcpy(query, url->data, query_bytes);
	buf_clear(url);
	buf_add_text(url, c->client.url);
	ch_sql_add_parameter(url, "query", query, query_bytes);
	ch_sql_add_parameter(url, "wait_end_of_query", "1", 1);
	for (size_t i = 0; i < ch_insert_setting_count; i++) {
		const struct ch_insert_setting *s = &ch_insert_settings[i];

		if (t->knows[i])
			ch_sql_add_parameter(url, s->name, s->value,
			                     strlen(s->value));
	}
	n = snprintf(token, sizeof token,
	             "%s:%s:%" PRIu64 ":%" PRIu64 "-%" PRIu64, batch->stream,
	             CLICKHOUSE_SINK_NAME, batch->generation, batch->offset,
	             batch->next_offset);
	if (n < 0 || (size_t)n >= sizeof token)
		return -EMSGSIZE;
	if (t->knows_token)
		ch_sql_add_parameter(url, "insert_deduplication_token", token,
		                     (size_t)n);
	return url->error ? url->error : buf_add(url, "", 1);
}
