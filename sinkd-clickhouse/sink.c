/* sink - see sink.h. */
#include "sinkd-clickhouse/sink.h"

#include <errno.h>
#include <string.h>

#include "libbase/log.h"
#include "libbase/secret.h"
#include "sinkd-clickhouse/clickhouse.h"
#include "sinkd-clickhouse/gzip.h"
#include "sinkd-clickhouse/insert.h"
#include "sinkd-clickhouse/rowbinary.h"

#define SQL_MAX (16 * KIB)

/* Log which guarantee holds, if that has changed. */
static void
log_guarantee(struct clickhouse *c)
{
	char text[sizeof c->logged_guarantee];

	c->client.once = ch_table_guarantee(&c->table, text, sizeof text);
	if (strcmp(text, c->logged_guarantee) == 0)
		return;
	memcpy(c->logged_guarantee, text, sizeof text);
	if (c->client.once)
		log_info("table ready database=%s table=%s %s",
		         log_quote(c->conf->database),
		         log_quote(c->conf->table), text);
	else
		log_warn("table ready database=%s table=%s %s",
		         log_quote(c->conf->database),
		         log_quote(c->conf->table), text);
}

/*
 * Try the servers in turn, beginning with the one that answered last, until one
 * is ready.  If none is, report the first one that is misconfigured, since an
 * operator has to act; otherwise report the first one.
 */
static enum sink_result
find_server(struct clickhouse *c, struct sink_error *error)
{
	enum sink_result worst = SINK_UNREACHABLE;
	unsigned count = 0;

	while (clickhouse_nth_url(c->conf->url, count, c->client.url) > 0)
		count++;
	for (unsigned i = 0; i < count; i++) {
		unsigned index = (c->url_index + i) % count;
		struct sink_error now = {.bad_event = 0};
		enum sink_result result;

		if (clickhouse_nth_url(c->conf->url, index, c->client.url) < 0)
			continue;
		result = ch_table_read(&c->table, c->conf->create_table, &now);
		if (result == SINK_DONE) {
			c->url_index = index;
			return SINK_DONE;
		}
		if (worst == SINK_UNREACHABLE) {
			worst = result;
			*error = now;
		}
	}
	return worst;
}

enum sink_result
clickhouse_prepare(struct clickhouse *c, const struct sink_common *common,
                   const void *conf, struct sink_error *error)
{
	struct ch_http_options options;
	int rc;

	c->conf = conf;
	/*
	 * A batch whose rows take more is split (I12).  The limit does not
	 * depend on any setting, so that a batch which is sent again is split
	 * at the same offsets, and its parts have the same tokens.
	 */
	buf_init(&c->sql, SQL_MAX);
	buf_init(&c->rows, SINK_BATCH_BYTES_MAX);
	buf_init(&c->packed, SINK_BATCH_BYTES_MAX + MIB);
	c->table.client = &c->client;
	c->table.sql = &c->sql;
	c->table.database = c->conf->database;
	c->table.name = c->conf->table;
	c->client.timeout_ms = common->timeout_ms;
	rc =
	    secret_refresh(c->conf->password_file, CLICKHOUSE_PASSWORD_ENV,
	                   c->password, sizeof c->password, &c->password_known);
	if (rc < 0)
		return sink_fail(error, SINK_MISCONFIGURED,
		                 "cannot read password_file: %s",
		                 strerror(-rc));
	options = (struct ch_http_options){.user = c->conf->user,
	                                   .password = c->password,
	                                   .ca_file = c->conf->ca_file,
	                                   .connect_timeout_ms =
	                                       c->conf->connect_timeout_ms};
	if (ch_http_open(&c->client.http, &options) < 0)
		return sink_fail(error, SINK_MISCONFIGURED, "%s",
		                 c->client.http.error);
	return SINK_DONE;
}

static enum sink_result
clickhouse_open(void *state, const struct sink_common *common, const void *conf,
                struct sink_error *error)
{
	struct clickhouse *c = state;
	enum sink_result result = clickhouse_prepare(c, common, conf, error);

	if (result == SINK_DONE)
		result = find_server(c, error);
	if (result == SINK_DONE)
		log_guarantee(c);
	return result;
}

static enum sink_result
clickhouse_position(void *state, const char *stream, bool *found,
                    uint64_t *next_offset, struct sink_error *error)
{
	/* ClickHouse stores no position: batchd's cursor decides. */
	(void)state, (void)stream, (void)next_offset, (void)error;
	*found = false;
	return SINK_DONE;
}

/*
 * The server refused rows, or a value does not fit the column's type that the
 * sink read.  Check whether the columns have been changed since.  Then the
 * event is not at fault.
 */
static enum sink_result
confirm_reject(struct clickhouse *c, struct sink_error *error)
{
	struct sink_error now = {.bad_event = 0};
	bool changed = false;
	enum sink_result result = ch_table_compare(&c->table, &changed, &now);

	if (result != SINK_DONE) {
		*error = now;
		return result;
	}
	if (!changed)
		return SINK_REJECT;
	error->bad_event = 0;
	return sink_fail(
	    error, SINK_UNREACHABLE,
	    "the columns of %s.%s have changed; the sink reads them again",
	    c->conf->database, c->conf->table);
}

/*
 * A materialized view refused rows that the table has stored already.
 *
 * If the batch were split, its rows would be stored again under other tokens,
 * and the refused event would be both in the table and in the dead letters.
 * Where the server recognizes repeated inserts by their token, the same INSERT
 * can be retried until an operator has repaired the view.
 */
static enum sink_result
view_refused(const struct clickhouse *c, struct sink_error *error)
{
	char text[sizeof error->text];

	memcpy(text, error->text, sizeof text);
	error->bad_event = 0;
	return sink_fail(error, SINK_MISCONFIGURED,
	                 "materialized view %.*s refuses rows that the table "
	                 "accepts; repair or drop the view: %.120s",
	                 c->client.view.bytes < 100 ? (int)c->client.view.bytes
	                                            : 100,
	                 c->client.view.data, text);
}

static enum sink_result
clickhouse_write(void *state, const struct batch *batch,
                 struct sink_error *error)
{
	struct clickhouse *c = state;
	bool gzip = c->conf->compression == COMPRESSION_GZIP;
	enum sink_result result;
	int rc;

	if (batch->count == 0)
		return SINK_DONE; /* there is no position to move */
	result = ch_insert_build_rows(c, batch, error);
	/* Check the table's columns before an event is dead-lettered. */
	if (result == SINK_REJECT && batch->count == 1)
		return confirm_reject(c, error);
	if (result != SINK_DONE)
		return result;
	rc = ch_insert_build_url(c, batch);
	buf_clear(&c->packed);
	if (rc == 0 && gzip)
		rc = ch_gzip_add(&c->packed, c->rows.data, c->rows.len);
	if (rc < 0)
		return sink_fail(error, SINK_UNREACHABLE,
		                 "cannot build the insert: %s", strerror(-rc));
	result =
	    ch_client_insert(&c->client, &c->sql, gzip ? &c->packed : &c->rows,
	                     gzip, batch->count, error);
	if (result == SINK_REJECT && c->client.once && c->client.view.bytes > 0)
		result = view_refused(c, error);
	else if (result == SINK_REJECT)
		result = confirm_reject(c, error);
	if (result == SINK_UNREACHABLE || result == SINK_MISCONFIGURED)
		c->url_index++; /* open starts with the next server */
	return result;
}

/*
 * Find the next event from i on with a value that its column cannot hold.
 * Returns its index, or batch->count.
 */
static size_t
find_unfit(struct clickhouse *c, const struct batch *batch, size_t i,
           struct sink_error *why)
{
	enum event_field field = FIELD_ID;
	const char *text = "";

	for (; i < batch->count; i++) {
		buf_clear(&c->rows);
		if (rowbinary_add(&c->rows, c->table.types, &batch->events[i],
		                  &field, &text) != -EINVAL)
			continue;
		*why = (struct sink_error){.bad_event = 0};
		(void)ch_insert_name_field(c, field, text, why);
		return i;
	}
	return i;
}

/*
 * Find events with a value that its column cannot hold, which needs no server.
 * What only the server refuses, such as a violated constraint, it reports for
 * one event of one INSERT at a time; bisecting finds those.
 */
static enum sink_result
clickhouse_probe(void *state, const struct batch *batch,
                 const struct sink_refused *refused, size_t *looked,
                 struct sink_error *error)
{
	struct clickhouse *c = state;
	struct sink_error why;
	enum sink_result result;
	size_t i = find_unfit(c, batch, 0, &why);

	if (i == batch->count)
		return SINK_DONE;
	result = confirm_reject(c, error);
	if (result != SINK_REJECT)
		return result;
	for (; i < batch->count; i = find_unfit(c, batch, i + 1, &why))
		refused->on_event(refused->arg, i, &why);
	*looked = batch->count;
	return SINK_DONE;
}

static void
clickhouse_close(void *state)
{
	struct clickhouse *c = state;

	ch_http_close(&c->client.http);
	buf_fini(&c->sql);
	buf_fini(&c->rows);
	buf_fini(&c->packed);
}

const struct sink clickhouse_sink = {
    .name = CLICKHOUSE_SINK_NAME,
    .summary = "Stores events in a ClickHouse table.",
    .keys = clickhouse_keys,
    .conf_bytes = sizeof(struct clickhouse_conf),
    .state_bytes = sizeof(struct clickhouse),
    .batch_events = "100000",
    .batch_wait_ms = "1000",
    .stable = true,
    .check = clickhouse_check,
    .open = clickhouse_open,
    .position = clickhouse_position,
    .write = clickhouse_write,
    .probe = clickhouse_probe,
    .check_store = clickhouse_check_store,
    .count = clickhouse_count,
    .close = clickhouse_close,
};
