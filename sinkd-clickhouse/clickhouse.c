/* clickhouse - see clickhouse.h. */
#include "sinkd-clickhouse/clickhouse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/log.h"
#include "libbase/secret.h"
#include "sinkd-clickhouse/gzip.h"
#include "sinkd-clickhouse/rowbinary.h"
#include "sinkd-clickhouse/sql.h"

#define SECTION "sinkd-clickhouse"
#define PASSWORD_ENV "LEAT_CLICKHOUSE_PASSWORD"
#define URLS_MAX 16
#define SQL_MAX (16 * KIB)

/* Four columns can be FixedString; a header names all. */
_Static_assert(4 * COLUMN_FIXED_MAX + EVENT_PACKED_MAX +
                       FIELD_COUNT * (CH_TABLE_TYPE_TEXT + KIB) <
                   SINK_BATCH_BYTES_MAX,
               "no room for a row");

static const char *const compressions[] = {"none", "gzip", NULL};

#define KEY(field) offsetof(struct clickhouse_conf, field)
static const struct conf_key clickhouse_keys[] = {
    {"url", CONF_TEXT, KEY(url), "http://127.0.0.1:8123", 1, 4096, NULL,
     "HTTP interface of the server; several, separated by spaces, are tried "
     "in turn and must be replicas of one table."},
    {"database", CONF_TEXT, KEY(database), "default", 1, 128, NULL,
     "Database of the table."},
    {"table", CONF_TEXT, KEY(table), "events", 1, 128, NULL,
     "Table to insert into, without its database."},
    {"user", CONF_TEXT, KEY(user), "default", 1, 128, NULL,
     "User to insert as."},
    {"password_file", CONF_TEXT, KEY(password_file), "", 0, 1024, NULL,
     "File whose first line is the password; empty: environment variable "
     "LEAT_CLICKHOUSE_PASSWORD, or none."},
    {"ca_file", CONF_TEXT, KEY(ca_file), "", 0, 1024, NULL,
     "Certificates that an https server is checked against; empty: the "
     "system's."},
    {"create_table", CONF_BOOL, KEY(create_table), "no", 0, 0, NULL,
     "Create the table when there is none."},
    {"compression", CONF_CHOICE, KEY(compression), "none", 0, 0, compressions,
     "How to pack the rows on their way."},
    {"connect_timeout_ms", CONF_INT, KEY(connect_timeout_ms), "2000", 10, 60000,
     NULL, "Time to connect to one server before the next is tried."},
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL},
};
#undef KEY

/*
 * The index-th URL of the list, with one '/' at its end.  Returns its
 * length; 0 behind the last; -EINVAL when it is no URL to use.
 */
static int
nth_url(const char *list, unsigned index, char out[CH_CLIENT_URL_MAX])
{
	size_t n;

	for (;;) {
		list += strspn(list, " \t");
		n = strcspn(list, " \t");
		if (n == 0)
			return 0;
		if (index-- == 0)
			break;
		list += n;
	}
	if (strncmp(list, "http://", 7) != 0 &&
	    strncmp(list, "https://", 8) != 0)
		return -EINVAL;
	/* A query is ours to add; a password here would be in logs. */
	if (memchr(list, '?', n) || memchr(list, '#', n) ||
	    memchr(list, '@', n))
		return -EINVAL;
	while (n > 0 && list[n - 1] == '/')
		n--;
	if (n + 2 > CH_CLIENT_URL_MAX)
		return -EINVAL;
	memcpy(out, list, n);
	out[n] = '/';
	out[n + 1] = '\0';
	return (int)n + 1;
}

/* Warn of what makes the password anybody's. */
static void
clickhouse_warn_of_settings(const struct conf_source *source,
                            const struct clickhouse_conf *conf)
{
	static const char plain[] = "http://";
	char url[CH_CLIENT_URL_MAX];

	if (!conf->password_file[0] && !getenv(PASSWORD_ENV))
		return;
	for (unsigned i = 0; nth_url(conf->url, i, url) > 0; i++) {
		char *host = url + sizeof plain - 1;

		if (strncmp(url, plain, sizeof plain - 1) != 0)
			continue;
		host[strcspn(host, "/")] = '\0';
		if (!secret_stays_local(host))
			conf_warn(source, SECTION, "url", url,
			          "the password is sent over a connection "
			          "that is not encrypted; use https://");
	}
}

static int
check_urls(const struct conf_source *source, const char *list)
{
	char url[CH_CLIENT_URL_MAX];
	unsigned count = 0;
	int rc;

	while ((rc = nth_url(list, count, url)) > 0) {
		const char *why = ch_http_check_url(url);

		if (why)
			return conf_refuse(source, SECTION, "url", url, "%s",
			                   why);
		count++;
	}
	if (rc == 0 && count > 0 && count <= URLS_MAX)
		return 0;
	/* Not shown: it may hold a password. */
	return conf_refuse(source, SECTION, "url", NULL,
	                   "must be 1 to %d of http://host:port or "
	                   "https://host:port, separated by spaces, without "
	                   "user, password or query",
	                   URLS_MAX);
}

static int
clickhouse_check(const struct conf_source *source, const void *vconf)
{
	const struct clickhouse_conf *conf = vconf;
	int rc = check_urls(source, conf->url);

	if (rc == 0)
		clickhouse_warn_of_settings(source, conf);
	if (strchr(conf->table, '.'))
		rc = conf_refuse(source, SECTION, "table", conf->table,
		                 "must be a name without a dot: database is "
		                 "a key of its own");
	if (secret_check_password(source, SECTION, conf->password_file,
	                          CLICKHOUSE_PASSWORD_MAX) < 0)
		rc = -EINVAL;
	if (conf_check_file(source, SECTION, "ca_file", conf->ca_file) < 0)
		rc = -EINVAL;
	return rc;
}

/*
 * Read the password anew, so that a changed file counts; the environment
 * gives it only once.  Returns 0 or -errno.
 */
static int
clickhouse_read_password(struct clickhouse *c)
{
	char text[CLICKHOUSE_PASSWORD_MAX];
	int rc = secret_read(c->conf->password_file, PASSWORD_ENV, text,
	                     sizeof text);

	if (rc > 0 || (rc == 0 && c->conf->password_file[0]))
		memcpy(c->password, text, (size_t)rc + 1);
	explicit_bzero(text, sizeof text);
	return rc < 0 ? rc : 0;
}

/* Say which guarantee holds; once, until it changes. */
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
 * Try the servers in turn, from the one that answered last, until one is
 * ready.  When none is, the first whose set-up is wrong has the word: that
 * needs somebody.
 */
static enum sink_result
find_server(struct clickhouse *c, struct sink_error *error)
{
	enum sink_result worst = SINK_UNREACHABLE;
	unsigned count = 0;

	while (nth_url(c->conf->url, count, c->client.url) > 0)
		count++;
	for (unsigned i = 0; i < count; i++) {
		unsigned index = (c->url_index + i) % count;
		struct sink_error now = {.bad_event = 0};
		enum sink_result result;

		if (nth_url(c->conf->url, index, c->client.url) < 0)
			continue;
		result = ch_table_read(&c->table, &c->client,
		                       c->conf->create_table, &c->sql, &now);
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

static enum sink_result
clickhouse_open(void *state, const struct sink_common *common, const void *conf,
                struct sink_error *error)
{
	struct clickhouse *c = state;
	struct ch_http_options options;
	enum sink_result result;
	int rc;

	c->conf = conf;
	/*
	 * Rows that take more are split (I12), at the same offsets whatever
	 * the settings are by then: their tokens must not change.
	 */
	buf_init(&c->sql, SQL_MAX);
	buf_init(&c->rows, SINK_BATCH_BYTES_MAX);
	buf_init(&c->packed, SINK_BATCH_BYTES_MAX + MIB);
	c->table.database = c->conf->database;
	c->table.name = c->conf->table;
	c->client.timeout_ms = common->timeout_ms;
	rc = clickhouse_read_password(c);
	if (rc < 0) {
		(void)snprintf(error->text, sizeof error->text,
		               "cannot read password_file: %s", strerror(-rc));
		return SINK_MISCONFIGURED;
	}
	options = (struct ch_http_options){.user = c->conf->user,
	                                   .password = c->password,
	                                   .ca_file = c->conf->ca_file,
	                                   .connect_timeout_ms =
	                                       c->conf->connect_timeout_ms};
	if (ch_http_open(&c->client.http, &options) < 0) {
		(void)snprintf(error->text, sizeof error->text, "%s",
		               c->client.http.error);
		return SINK_MISCONFIGURED;
	}
	result = find_server(c, error);
	if (result == SINK_DONE)
		log_guarantee(c);
	return result;
}

static enum sink_result
clickhouse_position(void *state, const char *stream, bool *found,
                    uint64_t *next_offset, struct sink_error *error)
{
	/* ClickHouse has none: batchd's cursor decides. */
	(void)state, (void)stream, (void)next_offset, (void)error;
	*found = false;
	return SINK_DONE;
}

static int
add_header_string(struct buf *out, const char *text)
{
	size_t n = strlen(text);
	int rc;

	do {
		uint8_t byte = (uint8_t)((n & 0x7f) | (n >= 0x80 ? 0x80 : 0));

		rc = buf_add(out, &byte, 1);
		n >>= 7;
	} while (rc == 0 && n > 0);
	return rc == 0 ? buf_add(out, text, strlen(text)) : rc;
}

/* Names and types, so that the server notices columns that have changed. */
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

/* Say in error which column cannot hold its field. */
static void
name_field(const struct clickhouse *c, enum event_field field, const char *why,
           struct sink_error *error)
{
	(void)snprintf(error->code, sizeof error->code, "content");
	(void)snprintf(error->text, sizeof error->text,
	               "%s %s (column type %s)", event_field_name(field), why,
	               c->table.type_text[field]);
}

/*
 * Build the body.  SINK_REJECT names the event that a column cannot hold, or
 * none: rows can be wider than events were, and then the batch is split.
 * Only a single row may be wider than batch_bytes.
 */
static enum sink_result
build_rows(struct clickhouse *c, const struct batch *batch,
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
		name_field(c, field, why, error);
		return SINK_REJECT;
	case -EMSGSIZE: /* to be split */
		(void)snprintf(error->code, sizeof error->code, "size");
		(void)snprintf(error->text, sizeof error->text,
		               "the rows take more than %zu bytes",
		               SINK_BATCH_BYTES_MAX);
		return SINK_REJECT;
	default:
		(void)snprintf(error->text, sizeof error->text,
		               "cannot build the rows: %s", strerror(-rc));
		return SINK_UNREACHABLE;
	}
}

/* INSERT INTO `db`.`t` (`id`, ...) FORMAT ... */
static int
add_insert_query(struct buf *sql, const struct ch_table *t)
{
	int rc = ch_sql_add(sql, "INSERT INTO ");

	if (rc == 0)
		rc = ch_table_add_name(t, sql);
	for (int f = 0; rc == 0 && f < FIELD_COUNT; f++) {
		rc = ch_sql_add(sql, f == 0 ? " (" : ", ");
		if (rc == 0)
			rc = ch_sql_add_name(
			    sql, event_field_name((enum event_field)f));
	}
	if (rc == 0)
		rc = ch_sql_add(sql, t->knows_types_header
		                         ? ") FORMAT RowBinaryWithNamesAndTypes"
		                         : ") FORMAT RowBinary");
	return rc;
}

/*
 * The URL of an INSERT, with its NUL.  The query goes there and the rows
 * alone into the body; the server puts a newline between.
 */
static int
build_url(struct clickhouse *c, const struct batch *batch)
{
	struct ch_table *t = &c->table;
	struct buf *url = &c->sql;
	char query[1024], token[256];
	size_t query_bytes;
	int n, rc;

	buf_clear(url);
	rc = add_insert_query(url, t);
	if (rc < 0)
		return rc;
	if (url->len > sizeof query)
		return -EMSGSIZE;
	query_bytes = url->len;
	memcpy(query, url->data, query_bytes);
	buf_clear(url);
	rc = ch_sql_add(url, c->client.url);
	if (rc == 0)
		rc = ch_sql_add_parameter(url, "query", query, query_bytes);
	if (rc == 0)
		rc = ch_sql_add_parameter(url, "wait_end_of_query", "1", 1);
	for (size_t i = 0; rc == 0 && i < ch_insert_setting_count; i++) {
		const struct ch_insert_setting *s = &ch_insert_settings[i];

		if (t->knows[i])
			rc = ch_sql_add_parameter(url, s->name, s->value,
			                          strlen(s->value));
	}
	n = snprintf(token, sizeof token, "%s:%s:%" PRIu64 "-%" PRIu64,
	             batch->stream, clickhouse_sink.name, batch->offset,
	             batch->next_offset);
	if (n < 0 || (size_t)n >= sizeof token)
		return -EMSGSIZE;
	if (rc == 0 && t->knows_token)
		rc = ch_sql_add_parameter(url, "insert_deduplication_token",
		                          token, (size_t)n);
	return rc == 0 ? buf_add(url, "", 1) : rc;
}

/*
 * Rows are refused, by the server or by what was read of its columns.  Have
 * the columns changed since?  Then it is not the events' fault.
 */
static enum sink_result
confirm_reject(struct clickhouse *c, struct sink_error *error)
{
	struct sink_error now = {.bad_event = 0};
	bool changed = false;
	enum sink_result result =
	    ch_table_compare(&c->table, &c->client, &c->sql, &changed, &now);

	if (result != SINK_DONE) {
		*error = now;
		return result;
	}
	if (!changed)
		return SINK_REJECT;
	(void)snprintf(error->text, sizeof error->text,
	               "the columns of %s.%s have changed: reading them again",
	               c->conf->database, c->conf->table);
	error->bad_event = 0;
	return SINK_UNREACHABLE;
}

/*
 * A materialized view has refused what the table has stored by then.  To split
 * the batch would store it again, and its events would be in the table and in
 * the dead letters.  Where inserts are known by their token, the same one can
 * be tried until the view is mended.
 */
static enum sink_result
view_refused(const struct clickhouse *c, struct sink_error *error)
{
	char text[sizeof error->text];

	memcpy(text, error->text, sizeof text);
	(void)snprintf(error->text, sizeof error->text,
	               "materialized view %.*s refuses rows that the table "
	               "takes: mend or drop it: %.120s",
	               c->client.view.bytes < 100 ? (int)c->client.view.bytes
	                                          : 100,
	               c->client.view.data, text);
	error->bad_event = 0;
	return SINK_MISCONFIGURED;
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
		return SINK_DONE; /* no position to move */
	result = build_rows(c, batch, error);
	/* Before an event is set aside, the table has the last word. */
	if (result == SINK_REJECT && batch->count == 1)
		return confirm_reject(c, error);
	if (result != SINK_DONE)
		return result;
	rc = build_url(c, batch);
	buf_clear(&c->packed);
	if (rc == 0 && gzip)
		rc = ch_gzip_add(&c->packed, c->rows.data, c->rows.len);
	if (rc < 0) {
		(void)snprintf(error->text, sizeof error->text,
		               "cannot build the insert: %s", strerror(-rc));
		return SINK_UNREACHABLE;
	}
	result =
	    ch_client_insert(&c->client, &c->sql, gzip ? &c->packed : &c->rows,
	                     gzip, batch->count, error);
	if (result == SINK_REJECT && c->client.once && c->client.view.bytes > 0)
		result = view_refused(c, error);
	else if (result == SINK_REJECT)
		result = confirm_reject(c, error);
	if (result == SINK_UNREACHABLE || result == SINK_MISCONFIGURED)
		c->url_index++; /* open begins with the next server */
	return result;
}

/* The next event from i on that a column cannot hold, or batch->count. */
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
		name_field(c, field, text, why);
		return i;
	}
	return i;
}

/*
 * What the columns' types cannot hold is known here.  What the server alone
 * refuses, by a constraint of the table, it tells of one INSERT at a time.
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
    .name = "clickhouse",
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
    .close = clickhouse_close,
};
