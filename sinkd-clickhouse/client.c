/* client - see client.h. */
#include "sinkd-clickhouse/client.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "sinkd-clickhouse/exception.h"

/*
 * The size of a body that any useful proxy accepts.  If a proxy with a lower
 * limit were taken for the server, all events would be dead-lettered.
 */
#define BODY_MIN (64 * KIB)

static bool
body_is_blank(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (!isspace(b->data[i]))
			return false;
	return true;
}

static enum sink_result
classify_exception(struct ch_client *client, const struct ch_exception *e,
                   size_t rows, struct sink_error *error)
{
	enum sink_result result = ch_exception_class(e);

	client->view = ch_exception_view(e);
	error->too_much = ch_exception_too_much(e);
	error->may_be_stored = ch_exception_may_be_stored(e);
	error->forgets = !client->once;
	ch_exception_text(e, error->text, sizeof error->text);
	(void)snprintf(error->code, sizeof error->code, "%d", e->code);
	if (result == SINK_REJECT)
		error->bad_event = ch_exception_row(e, rows);
	return result;
}

/* Classify a response that ClickHouse did not send, perhaps that of a proxy. */
static enum sink_result
classify_status(long status, size_t body_bytes, struct sink_error *error)
{
	enum sink_result result = ch_exception_status_class(status);

	(void)snprintf(error->code, sizeof error->code, "%ld", status);
	if (result != SINK_REJECT || body_bytes >= BODY_MIN)
		return sink_fail(
		    error, result,
		    "HTTP status %ld without an exception of ClickHouse; "
		    "check that url is that of a ClickHouse server",
		    status);
	return sink_fail(error, SINK_MISCONFIGURED,
	                 "HTTP status %ld for a body of %zu bytes: raise the "
	                 "proxy's limit, such as client_max_body_size",
	                 status, body_bytes);
}

/* Decide what a response means.  `rows` is 0 for a statement. */
static enum sink_result
classify_response(struct ch_client *client, enum ch_http_result ended,
                  size_t body_bytes, size_t rows, struct sink_error *error)
{
	const struct ch_http *h = &client->http;
	struct ch_exception e;

	client->view = (struct slice){0};
	if (ended != CH_HTTP_RESPONSE) {
		/* curl's message does not always include the server. */
		return sink_fail(error,
		                 ended == CH_HTTP_MISCONFIGURED
		                     ? SINK_MISCONFIGURED
		                     : SINK_UNREACHABLE,
		                 "%s (%.40s)", h->error, client->url);
	}
	if (ch_exception_find((const char *)h->body.data, h->body.len,
	                      h->exception_code, &e))
		return classify_exception(client, &e, rows, error);
	if (h->status != 200)
		return classify_status(h->status, body_bytes, error);
	/*
	 * A proxy may have answered instead of the server, which then stores
	 * nothing.
	 */
	if (rows > 0 && client->names_itself && !h->names_itself)
		return sink_fail(
		    error, SINK_UNREACHABLE,
		    "the response to an INSERT lacks ClickHouse's headers; "
		    "check whether a proxy responds for the server");
	/* The response to a successful INSERT is empty. */
	if (h->cut || (rows > 0 && !body_is_blank(&h->body)))
		return sink_fail(
		    error, SINK_UNREACHABLE,
		    "unexpected response of %zu bytes; check that url is "
		    "that of a ClickHouse server",
		    h->body.len);
	return SINK_DONE;
}

enum sink_result
ch_client_statement(struct ch_client *client, const struct buf *sql,
                    struct sink_error *error)
{
	char url[CH_CLIENT_URL_MAX + 32];
	enum sink_result result;
	enum ch_http_result ended;

	if (sql->error)
		return sink_fail(error, SINK_UNREACHABLE,
		                 "cannot build a statement: %s",
		                 strerror(-sql->error));
	/*
	 * Without this setting an error could arrive after a part of the
	 * result.
	 */
	(void)snprintf(url, sizeof url, "%s?wait_end_of_query=1", client->url);
	ended = ch_http_post(&client->http, url, sql->data, sql->len, false,
	                     client->timeout_ms);
	result = classify_response(client, ended, sql->len, 0, error);
	if (result == SINK_DONE)
		client->names_itself = client->http.names_itself;
	/* A statement involves no event. */
	return result == SINK_REJECT ? SINK_MISCONFIGURED : result;
}

enum sink_result
ch_client_insert(struct ch_client *client, const struct buf *url,
                 const struct buf *body, bool gzip, size_t rows,
                 struct sink_error *error)
{
	enum ch_http_result ended =
	    ch_http_post(&client->http, (const char *)url->data, body->data,
	                 body->len, gzip, client->timeout_ms);

	return classify_response(client, ended, body->len, rows, error);
}
