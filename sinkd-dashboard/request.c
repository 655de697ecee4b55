/* request - see request.h. */
#include "sinkd-dashboard/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/json_text.h"
#include "libbase/log.h"
#include "sinkd-dashboard/metrics.h"
#include "sinkd-dashboard/page.h"

/* Room for the largest answers: /api/snapshot, and a whole event, whose texts
 * but not its payload may need escapes. */
#define TEXT_BYTES (1 * MIB)
#define HEADERS_BYTES (4 * KIB)

/* The longest types of a filter, each with a comma or the NUL after it. */
#define QUERY_TYPES_BYTES (FILTER_TYPES * (EVENT_TYPE_MAX + 1))

/* Every answer has these. */
#define COMMON_HEADERS                                                         \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; "     \
	"style-src 'self'; img-src 'self'; connect-src 'self'; form-action "   \
	"'self'; base-uri 'none'; frame-ancestors 'none'\r\n"                  \
	"X-Content-Type-Options: nosniff\r\n"                                  \
	"Referrer-Policy: no-referrer\r\n"                                     \
	"Cross-Origin-Resource-Policy: same-origin\r\n"                        \
	"Cache-Control: no-store\r\n"

enum route {
	ROUTE_NONE,
	ROUTE_PAGE,
	ROUTE_STREAM,
	ROUTE_EVENT,
	ROUTE_SNAPSHOT,
	ROUTE_LOGIN,
	ROUTE_LOGOUT,
	ROUTE_HEALTH,
	ROUTE_METRICS,
};

/* One request; the http_data of its struct http_request. */
struct request {
	struct viewer *viewer; /* must come first; NULL: it is no stream */
	struct requests *all;
	enum route route;
	struct visitor visitor;
	const struct page_file *file;
	uint64_t offset; /* ROUTE_EVENT */
	struct viewer_wish wish;
	char address[HTTP_ADDRESS_TEXT];
};

/* --- responses --- */

/* The common header lines and some more; valid until the next call. */
static const char *
headers_of(struct requests *all, const char *more, unsigned retry_s)
{
	struct buf *headers = &all->headers;

	buf_clear(headers);
	buf_add_text(headers, COMMON_HEADERS);
	if (more)
		buf_add_text(headers, more);
	if (retry_s > 0)
		buf_addf(headers, "Retry-After: %u\r\n", retry_s);
	if (buf_add(headers, "", 1) < 0)
		return COMMON_HEADERS;
	return (const char *)headers->data;
}

static void
respond_error(struct request *rq, unsigned status, const char *why,
              const char *more, unsigned retry_s)
{
	http_respond_error(http_request_of(rq), status, why,
	                   headers_of(rq->all, more, retry_s));
}

static void
respond_refusal(struct request *rq, const struct refusal *refusal)
{
	respond_error(rq, refusal->status, refusal->why,
	              refusal->status == 401
	                  ? "WWW-Authenticate: Bearer realm=\"leat\"\r\n"
	                  : NULL,
	              refusal->retry_s);
}

static void
respond_bytes(struct request *rq, const char *type, const void *data, size_t n)
{
	const struct http_response response = {.status = 200,
	                                       .type = type,
	                                       .headers =
	                                           headers_of(rq->all, NULL, 0),
	                                       .body = data,
	                                       .body_bytes = n};

	http_respond(http_request_of(rq), &response);
}

/* Respond with all->text, or with 500 if writing it failed. */
static void
respond_text(struct request *rq, const char *type)
{
	const struct buf *text = &rq->all->text;

	if (text->error)
		respond_error(rq, 500, "the answer is too large", NULL, 0);
	else
		respond_bytes(rq, type, text->data, text->len);
}

/* Redirect to the page, which is in the same directory of the URL. */
static void
respond_to_page(struct request *rq, const char *cookie)
{
	char more[ACCESS_COOKIE_BYTES + 32];
	struct http_response response = {.status = 303};

	(void)snprintf(more, sizeof more, "Location: ./\r\n%s", cookie);
	response.headers = headers_of(rq->all, more, 0);
	http_respond(http_request_of(rq), &response);
}

/* --- the head --- */

static enum route
route_of(struct request *rq, struct slice path)
{
	static const struct {
		const char *path;
		enum route route;
	} routes[] = {
	    {"/stream", ROUTE_STREAM},         {"/login", ROUTE_LOGIN},
	    {"/api/snapshot", ROUTE_SNAPSHOT}, {"/logout", ROUTE_LOGOUT},
	    {"/healthz", ROUTE_HEALTH},        {"/metrics", ROUTE_METRICS},
	};
	static const char event[] = "/event/";
	char digits[20], *end;
	size_t n = path.bytes - strlen(event);

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (slice_is(path, routes[i].path))
			return routes[i].route;
	}
	rq->file = page_find(path);
	if (rq->file)
		return ROUTE_PAGE;
	if (path.bytes <= strlen(event) || n >= sizeof digits ||
	    strncmp(path.data, event, strlen(event)) != 0)
		return ROUTE_NONE;
	memcpy(digits, path.data + strlen(event), n);
	digits[n] = '\0';
	rq->offset = strtoull(digits, &end, 10);
	return digits[0] >= '0' && digits[0] <= '9' && *end == '\0'
	           ? ROUTE_EVENT
	           : ROUTE_NONE;
}

/*
 * Read the query of /stream.  A filter that does not fit is refused: without a
 * part of it the viewer would be shown other events than it asked for.
 */
static struct refusal
read_wish(struct request *rq, const struct http_head *head)
{
	static const struct refusal too_long = {
	    400, "the filter is too long; it has 16 types at most", 0};
	struct filter *filter = &rq->wish.filter;
	const struct model *m = rq->all->model;
	char text[QUERY_TYPES_BYTES], *rest = NULL;
	int n = http_query(head, "rows", text, sizeof text);

	rq->wish.rows =
	    rq->visitor.show >= SHOW_EVENTS && n == 1 && text[0] == '1';
	n = http_query(head, "user", text, sizeof text);
	if (n == -EMSGSIZE)
		return too_long;
	if (n > 0) {
		struct slice user = {text, (uint32_t)n};

		filter->has_user = true;
		filter->user = model_filter_key(m, user);
	}
	n = http_query(head, "types", text, sizeof text);
	if (n == -EMSGSIZE)
		return too_long;
	for (char *type = n > 0 ? strtok_r(text, ",", &rest) : NULL; type;
	     type = strtok_r(NULL, ",", &rest)) {
		if (filter->type_count == FILTER_TYPES)
			return too_long;
		filter->types[filter->type_count++] =
		    model_filter_key(m, slice_of(type));
	}
	return (struct refusal){0};
}

static bool
is_form(const struct http_head *head)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const struct slice *type = http_header(head, "Content-Type");

	return type && type->bytes >= strlen(form) &&
	       strncasecmp(type->data, form, strlen(form)) == 0;
}

/* Refuse a method, or a body, that the route does not have. */
static struct refusal
check_method(const struct request *rq, const struct http_head *head,
             const char **allow)
{
	bool posts = rq->route == ROUTE_LOGIN || rq->route == ROUTE_LOGOUT;

	*allow = NULL;
	if (rq->route == ROUTE_NONE)
		return (struct refusal){404, "there is nothing at this path",
		                        0};
	if (posts && !slice_is(head->method, "POST")) {
		*allow = "Allow: POST\r\n";
		return (struct refusal){405, "this path takes POST only", 0};
	}
	if (!posts && !slice_is(head->method, "GET") &&
	    !slice_is(head->method, "HEAD")) {
		*allow = "Allow: GET, HEAD\r\n";
		return (struct refusal){405, "this path takes GET only", 0};
	}
	if (!posts && (head->chunked || head->content_length > 0))
		return (struct refusal){413, "this path accepts no body", 0};
	if (rq->route == ROUTE_LOGIN && !is_form(head))
		return (struct refusal){
		    415, "a login is application/x-www-form-urlencoded", 0};
	return (struct refusal){0};
}

/* What is not for every visitor. */
static struct refusal
check_level(const struct request *rq)
{
	if (rq->route != ROUTE_EVENT || rq->visitor.show >= SHOW_EVENTS)
		return (struct refusal){0};
	if (!rq->visitor.logged_in)
		return (struct refusal){
		    401, "events are shown after a login only", 0};
	return (struct refusal){403, "this login does not show events", 0};
}

static void
request_on_head(struct http_request *http, const struct http_head *head)
{
	struct request *rq = http_data(http);
	struct refusal refusal = {0};
	const char *allow = NULL;

	rq->all = http_arg(http);
	rq->all->count++;
	http_client_address(http, rq->address);
	rq->route = route_of(rq, head->path);
	if (rq->route != ROUTE_HEALTH)
		refusal = access_check(rq->all->access, head, rq->address,
		                       &rq->visitor);
	if (refusal.status == 0)
		refusal = check_method(rq, head, &allow);
	if (refusal.status == 0)
		refusal = check_level(rq);
	if (refusal.status == 0 && rq->route == ROUTE_STREAM)
		refusal = read_wish(rq, head);
	if (refusal.status > 0 && allow)
		respond_error(rq, refusal.status, refusal.why, allow, 0);
	else if (refusal.status > 0)
		respond_refusal(rq, &refusal);
}

/* --- the body --- */

static void
respond_stream(struct request *rq)
{
	const char *headers =
	    headers_of(rq->all, "X-Accel-Buffering: no\r\n", 0);

	if (!viewer_begin(rq->all->viewers, http_request_of(rq), headers,
	                  &rq->visitor, &rq->wish))
		respond_error(rq, 503, "too many viewers (max_viewers)", NULL,
		              5);
}

static void
respond_snapshot(struct request *rq)
{
	struct requests *all = rq->all;
	struct message_hello hello = viewers_hello(all->viewers, &rq->visitor);
	struct message_snapshot snapshot = {0};
	struct buf *text = &all->text;
	unsigned part = 0;

	buf_clear(text);
	buf_add_text(text, "{\"hello\":");
	message_hello(text, &hello);
	buf_add_text(text, ",\"snapshot\":");
	while (message_snapshot(text, all->model, rq->visitor.show, &snapshot,
	                        part))
		part++;
	buf_add_text(text, ",\"tick\":");
	message_tick(text, all->model, rq->visitor.show, all->viewers->count,
	             all->viewers->max);
	buf_add_text(text, "}\n");
	respond_text(rq, "application/json");
}

static void
begin_fetch(struct request *rq)
{
	int rc = event_fetch_begin(rq->all->fetches, rq, rq->offset);

	if (rc == -EBUSY)
		respond_error(rq, 503, "other events are being read", NULL, 1);
	else if (rc < 0)
		respond_error(rq, 503, "batchd is unreachable", NULL, 1);
}

/*
 * Read the field `token` of a form.  A form has the encoding of a query, so it
 * is given to the decoder as one.
 */
static void
respond_login(struct request *rq, const char *body, size_t n)
{
	static struct http_head form; /* large; all zero but the query */
	char secret[512 + 1], cookie[ACCESS_COOKIE_BYTES];
	struct slice token = {secret, 0};
	struct refusal refusal;
	int bytes;

	form.query = (struct slice){body, (uint32_t)n};
	bytes = http_query(&form, "token", secret, sizeof secret);
	token.bytes = bytes > 0 ? (uint32_t)bytes : 0;
	refusal = access_login(rq->all->access, token, &rq->visitor,
	                       rq->address, cookie);
	explicit_bzero(secret, sizeof secret);
	if (refusal.status > 0)
		respond_refusal(rq, &refusal);
	else
		respond_to_page(rq, cookie);
	explicit_bzero(cookie, sizeof cookie);
}

static void
respond_logout(struct request *rq)
{
	struct viewers *viewers = rq->all->viewers;
	char cookie[ACCESS_COOKIE_BYTES];

	access_logout(rq->all->access, &rq->visitor, cookie);
	respond_to_page(rq, cookie);
	viewers_wake(viewers); /* the streams of the session end now */
}

static void
respond_metrics(struct request *rq)
{
	struct requests *all = rq->all;

	buf_clear(&all->text);
	metrics_page(&all->text, all->model, all->access, all->viewers,
	             all->count);
	respond_text(rq, "text/plain; version=0.0.4");
}

static void
request_on_body(struct http_request *http, char *body, size_t n)
{
	static const char ok[] = "{\"status\":\"ok\"}\n";
	struct request *rq = http_data(http);

	switch (rq->route) {
	case ROUTE_PAGE:
		respond_bytes(rq, rq->file->type, rq->file->data,
		              rq->file->bytes);
		break;
	case ROUTE_STREAM:
		respond_stream(rq);
		break;
	case ROUTE_EVENT:
		begin_fetch(rq);
		break;
	case ROUTE_SNAPSHOT:
		respond_snapshot(rq);
		break;
	case ROUTE_LOGIN:
		respond_login(rq, body, n);
		break;
	case ROUTE_LOGOUT:
		respond_logout(rq);
		break;
	case ROUTE_HEALTH:
		respond_bytes(rq, "application/json", ok, sizeof ok - 1);
		break;
	case ROUTE_METRICS:
		respond_metrics(rq);
		break;
	case ROUTE_NONE:
		break; /* answered by request_on_head */
	}
}

static void
request_on_refuse(struct http_request *http, unsigned status, const char *why)
{
	respond_error(http_data(http), status, why, NULL, 0);
}

static void
request_on_end(struct http_request *http)
{
	struct request *rq = http_data(http);

	viewer_end(rq->viewer);
	rq->viewer = NULL;
	event_fetch_cancel(rq->all->fetches, rq);
}

/* --- one event --- */

static void
add_member(struct buf *out, const char *before, struct slice text)
{
	buf_add_text(out, before);
	if (text.data)
		json_text_add(out, text);
	else
		buf_add_text(out, "null");
}

static void
add_event(struct buf *out, struct model *m, uint64_t offset,
          const struct event *event)
{
	char created[CLOCK_TEXT_BYTES + 1], received[CLOCK_TEXT_BYTES + 1];
	struct slice user = event->user_id;

	if (user.data && m->mask_users)
		user = mask_user(&m->mask, user);
	clock_format_us(event->created_at_us, created);
	clock_format_us(event->received_at_us, received);
	buf_addf(out, "{\"offset\":%" PRIu64, offset);
	add_member(out, ",\"id\":", event->id);
	add_member(out, ",\"type\":", event->type);
	add_member(out, ",\"user_id\":", user);
	add_member(out, ",\"created_at\":", slice_of(created));
	add_member(out, ",\"received_at\":", slice_of(received));
	buf_add_text(out, ",\"payload\":");
	if (buf_add(out, event->payload.data, event->payload.bytes) == 0)
		buf_add_text(out, "}\n");
}

void
request_on_fetched(void *owner, enum fetch_result result, uint64_t offset,
                   const struct event *event)
{
	struct request *rq = owner;

	switch (result) {
	case FETCH_DONE:
		log_info("event shown offset=%" PRIu64 " token=%s address=%s",
		         offset, rq->visitor.name, rq->address);
		buf_clear(&rq->all->text);
		add_event(&rq->all->text, rq->all->model, offset, event);
		respond_text(rq, "application/json");
		break;
	case FETCH_DELETED:
		respond_error(rq, 410, "the log no longer has this event", NULL,
		              0);
		break;
	case FETCH_NOT_YET:
		respond_error(rq, 404, "no event has this offset yet", NULL, 0);
		break;
	case FETCH_UNREACHABLE:
		respond_error(rq, 503,
		              "batchd is unreachable, or serves max_tails "
		              "tails already",
		              NULL, 1);
		break;
	}
}

/* --- */

struct http_handler
requests_handler(struct requests *rs)
{
	return (struct http_handler){.on_head = request_on_head,
	                             .on_body = request_on_body,
	                             .on_refuse = request_on_refuse,
	                             .on_end = request_on_end,
	                             .arg = rs,
	                             .data_bytes = sizeof(struct request)};
}

int
requests_open(struct requests *rs)
{
	buf_init(&rs->headers, HEADERS_BYTES);
	buf_init(&rs->text, TEXT_BYTES);
	if (buf_reserve(&rs->headers, HEADERS_BYTES) < 0)
		return -ENOMEM;
	return buf_reserve(&rs->text, TEXT_BYTES);
}

void
requests_close(struct requests *rs)
{
	buf_fini(&rs->headers);
	buf_fini(&rs->text);
}
