/*
 * test_clickhouse_insert - the sink against a server that responds according to
 * a script and records the requests.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zlib.h>

#include "libbase/conf_source.h"
#include "sinkd-clickhouse/clickhouse.h"
#include "sinkd-clickhouse/sink.h"
#include "tests/support/test.h"

#define REQUESTS_MAX 16
#define REQUEST_BYTES (64 * KIB)

/* One response. With an empty text the server closes the connection instead. */
struct answer {
	const char *text; /* whole HTTP response */
	bool close;       /* then close the connection */
};

struct request {
	char bytes[REQUEST_BYTES]; /* head and body, then a NUL */
	size_t head, len;
};

static struct {
	int listener;
	pthread_t thread;
	const struct answer *script;
	size_t answers;
	struct request request[REQUESTS_MAX];
	size_t requests, connections;
} server;

static struct sink_common common;
static struct clickhouse_conf conf;
static struct clickhouse state;
static struct sink_error error;
static char url[128], database[] = "d`b", table[] = "t", user[] = "me",
		      nothing[] = "";

/*
 * Read one complete request.  Returns false if the client closed the
 * connection.
 */
static bool
read_request(int fd, struct request *r)
{
	const char *end, *length;
	size_t need = REQUEST_BYTES - 1;

	r->len = 0;
	r->head = 0;
	while (r->len < need) {
		ssize_t n =
		    recv(fd, r->bytes + r->len, REQUEST_BYTES - 1 - r->len, 0);

		if (n <= 0)
			return false;
		r->len += (size_t)n;
		r->bytes[r->len] = '\0';
		end = strstr(r->bytes, "\r\n\r\n");
		if (!end || r->head)
			continue;
		r->head = (size_t)(end - r->bytes) + 4;
		length = strstr(r->bytes, "Content-Length: ");
		ck_assert_ptr_nonnull(length);
		need = r->head + (size_t)atol(length + 16);
		ck_assert_uint_lt(need, REQUEST_BYTES);
	}
	return true;
}

static void *
serve(void *arg)
{
	int fd = -1;

	(void)arg;
	for (size_t i = 0; i < server.answers; i++) {
		const struct answer *a = &server.script[i];

		while (fd < 0 || !read_request(fd, &server.request[i])) {
			if (fd >= 0)
				(void)close(fd);
			fd = accept(server.listener, NULL, NULL);
			if (fd < 0)
				return NULL; /* the test is over */
			server.connections++;
		}
		server.requests++;
		if (a->text)
			ck_assert_int_eq(
			    send(fd, a->text, strlen(a->text), MSG_NOSIGNAL),
			    (ssize_t)strlen(a->text));
		if (!a->text || a->close) {
			(void)close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

static void
start_sink(const struct answer *script, size_t answers)
{
	ck_assert_uint_le(answers, REQUESTS_MAX);
	server.script = script;
	server.answers = answers;
	server.requests = server.connections = 0;
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

/* Wait until the script has ended, or stop at once if it never will. */
static void
finish_sink(bool early)
{
	if (early)
		(void)shutdown(server.listener, SHUT_RDWR);
	clickhouse_sink.close(&state);
	ck_assert_int_eq(pthread_join(server.thread, NULL), 0);
}

static void
setup(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;

	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(server.listener, 0);
	ck_assert_int_eq(bind(server.listener, (void *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(server.listener, 8), 0);
	ck_assert_int_eq(getsockname(server.listener, (void *)&a, &n), 0);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u",
	               ntohs(a.sin_port));
	common = (struct sink_common){
	    .batch_events = 1000, .batch_bytes = 16384, .timeout_ms = 5000};
	conf = (struct clickhouse_conf){.url = url,
	                                .database = database,
	                                .table = table,
	                                .user = user,
	                                .password_file = nothing,
	                                .ca_file = nothing,
	                                .connect_timeout_ms = 1000};
	state = (struct clickhouse){.conf = NULL};
	error = (struct sink_error){.bad_event = 0};
}

static void
teardown(void)
{
	(void)close(server.listener);
}

TEST_CASE(inserts, .setup = setup, .teardown = teardown);

#define OK(text) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" text
#define KEPT                                                                   \
	"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: "                 \
	"Keep-Alive\r\n\r\n"
#define FAIL(text)                                                             \
	"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n" text

static const char old_server[] = OK("version\t\t18.16.1\n"
                                    "setting\tinsert_deduplicate\t\n");
static const char new_server[] =
    OK("version\t\t26.1.1\n"
       "setting\tinsert_deduplicate\t\n"
       "setting\tasync_insert\t\n"
       "setting\tinsert_deduplication_token\t\n"
       "tree\tnon_replicated_deduplication_window\t0\n");
static const char plain_engine[] = OK("MergeTree\tplain\t\t\t\t\t100\t\n");
static const char window_engine[] = OK("MergeTree\tplain\t50\t\t\t0\t100\t\n");
static const char no_engine[] = OK("");
static const char columns[] =
    OK("id\t\tUUID\ntype\t\tString\nuser_id\tDEFAULT\tNullable(String)\n"
       "payload\t\tString\ncreated_at\t\tInt64\nreceived_at\t\tInt64\n");

/* The queries that open sends, in this order. */
#define OPENS(server, engine)                                                  \
	{server, true}, {engine, true},                                        \
	{                                                                      \
		columns, true                                                  \
	}

static enum sink_result
open_sink(void)
{
	return clickhouse_sink.open(&state, &common, &conf, &error);
}

static struct slice
slice(const char *text)
{
	return (struct slice){text, (uint32_t)strlen(text)};
}

#define EVENTS_MAX 64

static enum sink_result
write_events(size_t count)
{
	static struct event e[EVENTS_MAX];
	struct batch b = {.stream = "s",
	                  .position = 9,
	                  .offset = 10,
	                  .next_offset = 10 + count,
	                  .events = e,
	                  .count = count};

	for (size_t i = 0; i < count; i++)
		e[i] = (struct event){
		    .id = slice("00112233-4455-6677-8899-aabbccddeeff"),
		    .type = slice("t"),
		    .payload = slice("{}"),
		    .created_at_us = 1000,
		    .received_at_us = 2000};
	return clickhouse_sink.write(&state, &b, &error);
}

static const char row[] = "\x77\x66\x55\x44\x33\x22\x11\0"
			  "\xff\xee\xdd\xcc\xbb\xaa\x99\x88\1t\1\2{}"
			  "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0";
#define ROW_BYTES (sizeof row - 1)

TEST(sends_rows_under_a_token_of_their_offsets)
{
	static const struct answer script[] = {
	    OPENS(new_server, window_engine), {KEPT, false}, {KEPT, false}};
	struct request *r = &server.request[3];

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_ptr_nonnull(
	    strstr(state.logged_guarantee, "guarantee=exactly_once"));
	ck_assert_int_eq(write_events(1), SINK_DONE);
	ck_assert_int_eq(write_events(2), SINK_DONE);
	finish_sink(false);
	ck_assert_ptr_nonnull(strstr(r->bytes, "POST /?query=INSERT%20INTO%20"
	                                       "%60d%5C%60b%60.%60t%60%20"));
	ck_assert_ptr_nonnull(strstr(r->bytes, "FORMAT%20RowBinary&"));
	ck_assert_ptr_nonnull(strstr(r->bytes,
	                             "&insert_deduplication_token=s%3A"
	                             "clickhouse%3A0%3A10-11 HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(r->bytes, "&async_insert=0&"));
	ck_assert_ptr_nonnull(strstr(r->bytes, "&insert_deduplicate=1&"));
	ck_assert_ptr_nonnull(strstr(r->bytes, "X-ClickHouse-User: me\r\n"));
	ck_assert_ptr_null(strstr(r->bytes, "Expect:"));
	ck_assert_uint_eq(r->len - r->head, ROW_BYTES);
	ck_assert_mem_eq(r->bytes + r->head, row, ROW_BYTES);
	/* The second request uses the same connection as the first. */
	ck_assert_uint_eq(server.connections, 4);
}

TEST(finds_the_settings_of_replicated_engines)
{
	static const char with[] =
	    OK("version\t\t26.1.1\n"
	       "setting\tinsert_deduplication_token\t\n"
	       "replicated\treplicated_merge_tree_settings\t\n");
	static const char engine[] =
	    OK("ReplicatedMergeTree\treplicated\t\t\t\t100\t0\t0\n");
	static const struct answer script[] = {OPENS(with, engine),
	                                       OPENS(new_server, plain_engine)};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_ptr_nonnull(
	    strstr(state.logged_guarantee, "guarantee=at_least_once"));
	clickhouse_sink.close(&state);
	ck_assert_int_eq(open_sink(), SINK_DONE);
	finish_sink(false);
	ck_assert_ptr_nonnull(strstr(server.request[1].bytes,
	                             "system.replicated_merge_tree_settings "
	                             "WHERE name = 'replicated_dedup"));
	/* A query for a table that does not exist would fail as a whole. */
	ck_assert_ptr_null(strstr(server.request[4].bytes,
	                          "system.replicated_merge_tree_settings"));
}

TEST(sends_an_old_server_no_unknown_setting)
{
	static const struct answer script[] = {OPENS(old_server, plain_engine),
	                                       {KEPT, true}};
	struct request *r = &server.request[3];

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_ptr_nonnull(
	    strstr(state.logged_guarantee, "guarantee=at_least_once"));
	ck_assert_int_eq(write_events(1), SINK_DONE);
	finish_sink(false);
	ck_assert_ptr_nonnull(strstr(r->bytes, "&insert_deduplicate=1 HTTP"));
	ck_assert_ptr_null(strstr(r->bytes, "token"));
	ck_assert_ptr_null(strstr(r->bytes, "async_insert"));
}

TEST(writes_nothing_for_an_empty_batch)
{
	static const struct answer script[] = {OPENS(new_server, plain_engine)};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(0), SINK_DONE);
	finish_sink(false);
}

TEST(compresses_the_rows_if_configured)
{
	static const struct answer script[] = {OPENS(new_server, plain_engine),
	                                       {KEPT, true}};
	struct request *r = &server.request[3];
	Bytef out[256];
	z_stream z = {.next_out = out, .avail_out = sizeof out};

	conf.compression = COMPRESSION_GZIP;
	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(2), SINK_DONE);
	finish_sink(false);
	ck_assert_ptr_nonnull(strstr(r->bytes, "Content-Encoding: gzip\r\n"));
	z.next_in = (Bytef *)r->bytes + r->head;
	z.avail_in = (uInt)(r->len - r->head);
	ck_assert_int_eq(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_int_eq(inflateEnd(&z), Z_OK);
	ck_assert_uint_eq(z.total_out, 2 * ROW_BYTES);
	ck_assert_mem_eq(out + ROW_BYTES, row, ROW_BYTES);
}

TEST(classifies_the_exception_of_an_insert)
{
	static const struct {
		const char *text;
		enum sink_result result;
		const char *code;
	} cases[] = {
	    {FAIL("Code: 241. DB::Exception: Memory limit"), SINK_UNREACHABLE,
	     "241"},
	    {FAIL("Code: 60. DB::Exception: No table"), SINK_MISCONFIGURED,
	     "60"},
	    /*
	     * An exception after a status of 200, and one in the header only.
	     */
	    {OK("Code: 497. DB::Exception: no"), SINK_MISCONFIGURED, "497"},
	    {"HTTP/1.1 500 E\r\nX-ClickHouse-Exception-Code: 242\r\n"
	     "Content-Length: 0\r\n\r\n",
	     SINK_UNREACHABLE, "242"},
	    {"HTTP/1.1 503 E\r\nContent-Length: 0\r\n\r\n", SINK_UNREACHABLE,
	     "503"},
	    {"HTTP/1.1 403 E\r\nContent-Length: 0\r\n\r\n", SINK_MISCONFIGURED,
	     "403"},
	    /* No proxy has a limit as low as these rows. */
	    {"HTTP/1.1 413 E\r\nContent-Length: 0\r\n\r\n", SINK_MISCONFIGURED,
	     "413"},
	    {OK("<html>log in here</html>"), SINK_UNREACHABLE, ""},
	    /* Compressed, which the client has not asked for. */
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	     SINK_UNREACHABLE, ""},
	    {NULL, SINK_UNREACHABLE, ""},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", SINK_UNREACHABLE,
	     ""},
	    /* Not HTTP: the port of another kind of server. */
	    {"nonsense\r\n\r\n", SINK_MISCONFIGURED, ""},
	};
	struct answer script[] = {OPENS(new_server, window_engine),
	                          {NULL, true}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script[3].text = cases[i].text;
		error = (struct sink_error){.bad_event = 0};
		start_sink(script, ARRAY_LEN(script));
		ck_assert_int_eq(open_sink(), SINK_DONE);
		ck_assert_int_eq(write_events(2), cases[i].result);
		finish_sink(false);
		ck_assert_str_eq(error.code, cases[i].code);
		ck_assert_str_ne(error.text, "");
		ck_assert_uint_eq(error.bad_event, 0);
	}
}

TEST(does_not_take_a_proxys_response_for_the_servers)
{
	static const char named[] =
	    "HTTP/1.1 200 OK\r\nX-ClickHouse-Server-Display-Name: a\r\n"
	    "Content-Length: 0\r\n\r\n";
	static const char named_columns[] =
	    "HTTP/1.1 200 OK\r\nX-ClickHouse-Server-Display-Name: a\r\n"
	    "Connection: close\r\n\r\n"
	    "id\t\tUUID\ntype\t\tString\nuser_id\t\tString\n"
	    "payload\t\tString\ncreated_at\t\tInt64\nreceived_at\t\tInt64\n";
	static const struct answer script[] = {{new_server, true},
	                                       {window_engine, true},
	                                       {named_columns, true},
	                                       {named, false},
	                                       {KEPT, false}};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(1), SINK_DONE);
	ck_assert_int_eq(write_events(1), SINK_UNREACHABLE);
	finish_sink(false);
	ck_assert_ptr_nonnull(strstr(error.text, "proxy"));
}

/* Whatever the reason for refusing a statement is, no event is at fault. */
TEST(rejects_nothing_when_the_table_cannot_be_checked)
{
	static const char *const refusals[] = {
	    FAIL("Code: 27. DB::Exception: Cannot parse input"),
	    "HTTP/1.1 413 E\r\nContent-Length: 0\r\n\r\n"};
	struct answer script[] = {
	    OPENS(new_server, window_engine),
	    {FAIL("Code: 469. DB::Exception: violated at row 1."), true},
	    {NULL, true}};

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		script[4].text = refusals[i];
		start_sink(script, ARRAY_LEN(script));
		ck_assert_int_eq(open_sink(), SINK_DONE);
		ck_assert_int_eq(write_events(1), SINK_MISCONFIGURED);
		finish_sink(false);
	}
}

TEST(passes_on_the_row_that_the_server_names)
{
	static const struct answer script[] = {
	    OPENS(new_server, window_engine),
	    {FAIL("Code: 469. DB::Exception: violated at row 2."), true},
	    {columns, true}};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(3), SINK_REJECT);
	finish_sink(false);
	ck_assert_uint_eq(error.bad_event, 2);
	ck_assert_str_eq(error.text, "violated at row 2.");
}

TEST(blames_no_event_when_the_columns_have_changed)
{
	static const char changed[] =
	    OK("id\t\tString\ntype\t\tString\nuser_id\t\tString\n"
	       "payload\t\tString\ncreated_at\t\tInt64\n"
	       "received_at\t\tInt64\n");
	static const struct answer script[] = {
	    OPENS(old_server, plain_engine),
	    {FAIL("Code: 33, e.displayText() = DB::Exception: Cannot read "
	          "all data, e.what() = DB::Exception"),
	     true},
	    {changed, true}};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(3), SINK_UNREACHABLE);
	finish_sink(false);
	ck_assert_uint_eq(error.bad_event, 0);
}

TEST(refuses_an_event_that_a_column_cannot_hold_by_itself)
{
	static const struct answer script[] = {OPENS(new_server, plain_engine)};
	struct event e[2] = {
	    {.id = slice("00112233445566778899aabbccddeeff"),
	     .type = slice("t"),
	     .payload = slice("{}")},
	    {.id = slice("no"), .type = slice("t"), .payload = slice("{}")}};
	struct batch b = {
	    .stream = "s", .next_offset = 2, .events = e, .count = 2};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(clickhouse_sink.write(&state, &b, &error),
	                 SINK_REJECT);
	finish_sink(false);
	ck_assert_uint_eq(error.bad_event, 2);
	ck_assert_str_eq(error.text, "id is not a UUID (column type UUID)");
}

static size_t unfit[8], unfit_count;

static void
on_refused(void *arg, size_t event, const struct sink_error *why)
{
	ck_assert_ptr_eq(arg, unfit);
	ck_assert_uint_lt(unfit_count, ARRAY_LEN(unfit));
	ck_assert_str_eq(why->code, "content");
	ck_assert_str_eq(why->text, "id is not a UUID (column type UUID)");
	unfit[unfit_count++] = event;
}

/*
 * One query to the server for all of them, since the columns may have changed.
 */
TEST(finds_all_events_that_a_column_cannot_hold)
{
	static const struct answer script[] = {
	    OPENS(new_server, plain_engine), {columns, true}, {NULL, true}};
	struct sink_refused refused = {on_refused, unfit};
	struct event e[5];
	struct batch b = {
	    .stream = "s", .next_offset = 5, .events = e, .count = 5};
	size_t looked = 0;

	for (size_t i = 0; i < 5; i++)
		e[i] = (struct event){
		    .id = slice(i % 2 ? "00112233445566778899aabbccddeeff"
		                      : "no"),
		    .type = slice("t"),
		    .payload = slice("{}")};
	unfit_count = 0;
	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(
	    clickhouse_sink.probe(&state, &b, &refused, &looked, &error),
	    SINK_DONE);
	ck_assert_uint_eq(looked, 5);
	ck_assert_uint_eq(unfit_count, 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(unfit[i], 2 * i);
	/* Without a response no event is refused. */
	ck_assert_int_eq(
	    clickhouse_sink.probe(&state, &b, &refused, &looked, &error),
	    SINK_UNREACHABLE);
	ck_assert_uint_eq(unfit_count, 3);
	/* There is nothing to find, so the server is not asked. */
	looked = 0;
	b.events = e + 1;
	b.count = 1;
	ck_assert_int_eq(
	    clickhouse_sink.probe(&state, &b, &refused, &looked, &error),
	    SINK_DONE);
	ck_assert_uint_eq(looked, 0);
	finish_sink(true);
}

TEST(checks_the_table_before_an_event_is_rejected)
{
	static const char repaired[] =
	    OK("id\t\tString\ntype\t\tString\nuser_id\t\tString\n"
	       "payload\t\tString\ncreated_at\t\tInt64\n"
	       "received_at\t\tInt64\n");
	static const struct answer script[] = {
	    OPENS(new_server, plain_engine), {columns, true}, {repaired, true}};
	struct event e = {
	    .id = slice("no"), .type = slice("t"), .payload = slice("{}")};
	struct batch b = {
	    .stream = "s", .next_offset = 1, .events = &e, .count = 1};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(clickhouse_sink.write(&state, &b, &error),
	                 SINK_REJECT);
	ck_assert_str_eq(error.text, "id is not a UUID (column type UUID)");
	ck_assert_int_eq(clickhouse_sink.write(&state, &b, &error),
	                 SINK_UNREACHABLE);
	finish_sink(true);
	ck_assert_uint_eq(server.requests, 5);
}

TEST(asks_to_split_rows_of_more_than_a_batch_may_have)
{
	/* Each row has a little more than 262,144 bytes. */
	static const char wide[] =
	    OK("id\t\tFixedString(131072)\ntype\t\tFixedString(131072)\n"
	       "user_id\t\tString\npayload\t\tString\ncreated_at\t\t"
	       "Int64\nreceived_at\t\tInt64\n");
	static const struct answer script[] = {
	    {new_server, true}, {plain_engine, true}, {wide, true}};

	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(EVENTS_MAX), SINK_REJECT);
	ck_assert_uint_eq(error.bad_event, 0);
	ck_assert_str_eq(error.text, "the rows take more than 16777216 bytes");
	finish_sink(false);
}

TEST(names_what_is_wrong_with_the_table)
{
	static const struct {
		const char *columns, *words;
	} cases[] = {
	    {OK("id\t\tString\n"), "no column type"},
	    {OK("id\t\tArray(String)\n"),
	     "column id of d`b.t has type Array(String): must be String"},
	    {OK("id\tMATERIALIZED\tString\n"), "is MATERIALIZED"},
	    {OK("id\t\tDateTime\n"), "has type DateTime: must be"},
	    {OK("id\t\tString\ntype\t\tString\nuser_id\t\tString\n"
	        "payload\t\tJSON\n"),
	     "column payload of d`b.t has type JSON"},
	    {OK("broken"), "no column id"},
	};
	struct answer script[] = {
	    {new_server, true}, {plain_engine, true}, {NULL, true}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script[2].text = cases[i].columns;
		error = (struct sink_error){.bad_event = 0};
		start_sink(script, ARRAY_LEN(script));
		ck_assert_int_eq(open_sink(), SINK_MISCONFIGURED);
		finish_sink(false);
		ck_assert_msg(strstr(error.text, cases[i].words) != NULL,
		              "%s: %s", cases[i].words, error.text);
	}
}

TEST(reports_a_missing_table_and_creates_it_if_configured)
{
	static const struct answer without[] = {{new_server, true},
	                                        {no_engine, true}};
	static const struct answer with[] = {{new_server, true},
	                                     {no_engine, true},
	                                     {KEPT, true},
	                                     {window_engine, true},
	                                     {columns, true}};
	const char *create;

	start_sink(without, ARRAY_LEN(without));
	ck_assert_int_eq(open_sink(), SINK_MISCONFIGURED);
	ck_assert_ptr_nonnull(strstr(error.text, "no table d`b.t"));
	finish_sink(false);
	conf.create_table = true;
	start_sink(with, ARRAY_LEN(with));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	finish_sink(false);
	create = server.request[2].bytes + server.request[2].head;
	ck_assert_ptr_nonnull(
	    strstr(create, "CREATE TABLE IF NOT EXISTS `d\\`b`.`t`"));
	ck_assert_ptr_nonnull(
	    strstr(create, "non_replicated_deduplication_window = 10000"));
	/* the server has no such setting */
	ck_assert_ptr_null(strstr(create, "fsync"));
}

TEST(tries_the_next_server_and_stays_with_it)
{
	static const struct answer script[] = {OPENS(new_server, window_engine),
	                                       {KEPT, true}};
	char urls[256];

	/* Nothing listens on port 1. */
	(void)snprintf(urls, sizeof urls, "http://127.0.0.1:1/  %s/", url);
	conf.url = urls;
	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_int_eq(write_events(1), SINK_DONE);
	finish_sink(false);
	ck_assert_uint_eq(state.url_index, 1);
}

TEST(tries_the_next_server_when_one_is_misconfigured)
{
	/*
	 * Two replicas in one script: the first one lacks the table, later the
	 * user.
	 */
	static const struct answer script[] = {
	    {new_server, true},
	    {no_engine, true},
	    OPENS(new_server, window_engine),
	    {FAIL("Code: 497. DB::Exception: no right to insert"), true},
	    {FAIL("Code: 516. DB::Exception: no such user"), true},
	    OPENS(new_server, window_engine)};
	char urls[300];

	(void)snprintf(urls, sizeof urls, "%s %s", url, url);
	conf.url = urls;
	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_uint_eq(state.url_index, 1);
	/* The sink also leaves a server that does not accept rows. */
	ck_assert_int_eq(write_events(1), SINK_MISCONFIGURED);
	clickhouse_sink.close(&state);
	ck_assert_int_eq(open_sink(), SINK_DONE);
	finish_sink(false);
	ck_assert_uint_eq(state.url_index % 2, 1);
}

TEST(reports_the_first_misconfigured_server_when_none_is_ready)
{
	static const struct answer script[] = {
	    {FAIL("Code: 516. DB::Exception: no such user"), true},
	    {new_server, true},
	    {no_engine, true}};
	char urls[300];

	(void)snprintf(urls, sizeof urls, "http://127.0.0.1:1 %s %s", url, url);
	conf.url = urls;
	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_MISCONFIGURED);
	finish_sink(false);
	ck_assert_str_eq(error.code, "516");
	ck_assert_str_eq(error.text, "no such user");
}

TEST(is_unreachable_when_no_server_responds)
{
	conf.url = (char[]){"http://127.0.0.1:1 http://127.0.0.1:1"};
	ck_assert_int_eq(open_sink(), SINK_UNREACHABLE);
	ck_assert_str_ne(error.text, "");
	clickhouse_sink.close(&state);
	clickhouse_sink.close(&state); /* a second call does no harm */
}

TEST(keeps_the_environments_password_over_a_reopening)
{
	static const struct answer script[] = {OPENS(new_server, plain_engine),
	                                       OPENS(new_server, plain_engine)};

	ck_assert_int_eq(setenv("LEAT_CLICKHOUSE_PASSWORD", "s3cret", 1), 0);
	start_sink(script, ARRAY_LEN(script));
	ck_assert_int_eq(open_sink(), SINK_DONE);
	ck_assert_ptr_null(getenv("LEAT_CLICKHOUSE_PASSWORD"));
	clickhouse_sink.close(&state);
	ck_assert_int_eq(open_sink(), SINK_DONE);
	finish_sink(false);
	ck_assert_ptr_nonnull(
	    strstr(server.request[5].bytes, "X-ClickHouse-Key: s3cret\r\n"));
}

TEST(remembers_no_position)
{
	bool found = true;
	uint64_t next = 7;

	ck_assert_int_eq(
	    clickhouse_sink.position(&state, "s", &found, &next, &error),
	    SINK_DONE);
	ck_assert(!found);
}

TEST(checks_its_urls)
{
	static const struct {
		const char *url;
		int rc;
	} cases[] = {
	    {"http://a:8123", 0},
	    {"https://a:8443/ch/ http://b", 0},
	    {"a:8123", -22},
	    {"http://a ftp://b", -22},
	    {"http://me:secret@a", -22},
	    {"http://a:port", -22},
	    {"http://a:81230", -22},
	    {"http://a/?x=1", -22},
	    {"   ", -22},
	};
	const struct conf_source source = {.path = "leat.conf", .text = ""};
	char text[64];

	conf.url = text;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text, "%s", cases[i].url);
		ck_assert_int_eq(clickhouse_sink.check(&source, &conf),
		                 cases[i].rc);
	}
	conf.url = url;
	conf.table = (char[]){"a.b"};
	ck_assert_int_eq(clickhouse_sink.check(&source, &conf), -22);
}
