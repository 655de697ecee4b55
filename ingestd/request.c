/* request - see request.h. */
#include "ingestd/request.h"

#include <inttypes.h>
#include <string.h>

#include "ingestd/metrics_page.h"
#include "ingestd/request_head.h"
#include "ingestd/responses.h"
#include "libbase/clock.h"
#include "libhttp/auth.h"
#include "libhttp/cors.h"

#define RESPONSE_MAX_BYTES (1 * MIB) /* /metrics with TOKENS_MAX tokens */

/* One request; the http_data of its struct http_request. */
struct request {
	struct requests *all;
	struct request_head head;
	struct token *token; /* a reference; NULL: none */
	uint64_t accepted;
	uint64_t ignored;   /* fields */
	struct buf details; /* of the response: members of a JSON object */
	uint64_t since_us;  /* when the body was complete, monotonic */
};

/* Responses. */

static void
count_response(const struct request *rq, unsigned status)
{
	struct counters *c = rq->all->counters;

	if (rq->token && status >= 400 && status < 500)
		rq->token->refused++;
	if (status == 503)
		c->responses_503++;
	else if (status == 504)
		c->responses_504++;
	else if (status >= 400 && status < 500)
		c->responses_4xx++;
	else if (status < 300)
		c->responses_2xx++;
}

/*
 * Return the header lines of a response: `own`, which may be NULL, and those
 * that depend on the request.  Valid until the next response is written.
 */
static const char *
headers_of(struct request *rq, const char *own, unsigned retry_s)
{
	struct requests *all = rq->all;
	struct buf *headers = &all->headers;

	buf_clear(headers);
	if (own)
		buf_add_text(headers, own);
	if (retry_s > 0)
		buf_addf(headers, "Retry-After: %u\r\n", retry_s);
	if (rq->head.has_origin)
		cors_add(headers, all->settings->cors_origins, rq->head.origin,
		         rq->head.preflight);
	if (buf_add(headers, "", 1) < 0 || headers->error)
		return NULL;
	return (const char *)headers->data;
}

static void
respond(struct request *rq, struct http_response a, unsigned retry_s)
{
	count_response(rq, a.status);
	a.headers = headers_of(rq, a.headers, retry_s);
	http_respond(http_request_of(rq), &a);
}

/* Respond with all->text, or with 500 if writing it failed. */
static void
respond_text(struct request *rq, unsigned status, unsigned retry_s)
{
	struct buf *text = &rq->all->text;
	struct http_response a = {.status = status,
	                          .type = rq->head.route == ROUTE_METRICS
	                                      ? "text/plain; version=0.0.4"
	                                      : "application/json",
	                          .body = text->data,
	                          .body_bytes = text->len};

	if (text->error)
		a = response_fixed(RESPONSE_NONE);
	respond(rq, a, retry_s);
}

static void
respond_unavailable(struct request *rq, const char *why)
{
	struct buf *text = &rq->all->text;

	buf_clear(text);
	buf_add_text(text, "{\"error\":\"pipeline overloaded\",\"reason\":");
	buf_add_json_string(text, why, strlen(why));
	buf_add_text(text, "}\n");
	respond_text(rq, 503, response_retry_after_s(503, NULL, 0));
}

/* Refuse `events` events, with the time when the rate would allow them. */
static void
respond_rate_limited(struct request *rq, uint64_t events)
{
	struct buf *text = &rq->all->text;
	unsigned retry_s = response_retry_after_s(429, rq->token, events);

	buf_clear(text);
	buf_addf(text,
	         "{\"error\":\"rate limit\",\"rate\":%" PRId64
	         ",\"burst\":%" PRId64 ",\"retry_after_s\":%u}\n",
	         rq->token->rate, rq->token->burst, retry_s);
	respond_text(rq, 429, retry_s);
}

static void
respond_fixed(struct request *rq, enum fixed_response fixed)
{
	struct http_response a = response_fixed(fixed);
	const char *why = "starting";

	if (fixed == RESPONSE_RATE_LIMITED) {
		respond_rate_limited(rq, 1);
	} else if (fixed == RESPONSE_UNAVAILABLE) {
		(void)batchd_client_takes(rq->all->batchd_client, &why);
		respond_unavailable(rq, why);
	} else {
		respond(rq, a, response_retry_after_s(a.status, rq->token, 0));
	}
}

/* Write "," and the details, if there are any, and "}\n". */
static void
add_details(struct buf *text, const struct buf *details)
{
	if (details->len > 0)
		buf_add_text(text, ",");
	if (buf_add(text, details->data, details->len) == 0)
		buf_add_text(text, "}\n");
}

/* Write a member of a JSON object; `before` is what precedes its value. */
static void
add_member(struct buf *text, const char *before, uint64_t value)
{
	buf_add_text(text, before);
	buf_add_u64(text, value);
}

/*
 * {"accepted":N[,"offset":O][,"ignored_fields":F][,details]}
 *
 * This is the most frequent response, so it is written without printf.
 */
static void
respond_accepted(struct request *rq, const uint64_t *offset)
{
	struct buf *text = &rq->all->text;

	buf_clear(text);
	add_member(text, "{\"accepted\":", rq->accepted);
	if (offset)
		add_member(text, ",\"offset\":", *offset);
	if (rq->ignored > 0)
		add_member(text, ",\"ignored_fields\":", rq->ignored);
	add_details(text, &rq->details);
	respond_text(rq, 202, 0);
}

static void
respond_invalid(struct request *rq)
{
	struct buf *text = &rq->all->text;

	buf_clear(text);
	buf_add_text(text, "{\"error\":\"invalid payload\"");
	add_details(text, &rq->details);
	respond_text(rq, 400, 0);
}

/* Admission. */

/*
 * Return RESPONSE_NONE if events can be accepted now and from this sender,
 * else the response that refuses them.  Called when the head is complete, so
 * that no body is received in vain, and again when the body is.
 */
static enum fixed_response
check_admission(const struct request *rq)
{
	const char *why;

	if (rq->all->stopping)
		return RESPONSE_STOPPING;
	if (!batchd_client_takes(rq->all->batchd_client, &why))
		return RESPONSE_UNAVAILABLE;
	if (rq->token && !token_allows(rq->token, clock_mono_ms()))
		return RESPONSE_RATE_LIMITED;
	return RESPONSE_NONE;
}

static void
log_unauthorized(struct request *rq)
{
	struct requests *all = rq->all;
	char address[HTTP_ADDRESS_TEXT];
	unsigned suppressed;

	all->counters->unauthorized++;
	if (!log_allow(&all->unauthorized_log, &suppressed))
		return;
	http_client_address(http_request_of(rq), address);
	log_warn("unauthorized address=%s suppressed=%u", address, suppressed);
}

/* Check whether the sender may send events, or read /metrics. */
static enum fixed_response
authorize(struct request *rq, const struct http_head *head)
{
	const struct ingestd_settings *s = rq->all->settings;
	bool metrics = rq->head.route == ROUTE_METRICS;
	struct token *found;
	bool given;

	if (!s->tokens_file[0] || (metrics && s->metrics_open))
		return RESPONSE_NONE;
	given = auth_find(rq->all->tokens, head, &found);
	if (!found) {
		if (!given && !metrics && s->allow_anonymous)
			return RESPONSE_NONE;
		log_unauthorized(rq);
		return RESPONSE_UNAUTHORIZED;
	}
	rq->token = token_ref(found);
	http_set_payer(http_request_of(rq), &found->payer);
	found->requests++;
	return found->for_metrics == metrics && !found->for_dashboard
	           ? RESPONSE_NONE
	           : RESPONSE_FORBIDDEN;
}

/* Return RESPONSE_NONE if the body is to be received. */
static enum fixed_response
check_head(struct request *rq, const struct http_head *head)
{
	const struct ingestd_settings *settings = rq->all->settings;
	enum fixed_response refusal =
	    request_head_route(&rq->head, head, settings);

	if (refusal == RESPONSE_NONE &&
	    (rq->head.route == ROUTE_EVENTS || rq->head.route == ROUTE_METRICS))
		refusal = authorize(rq, head);
	if (refusal == RESPONSE_NONE)
		refusal = request_head_read(&rq->head, head, settings);
	if (refusal == RESPONSE_NONE && rq->head.route == ROUTE_EVENTS)
		refusal = check_admission(rq);
	return refusal;
}

static void
request_on_head(struct http_request *http, const struct http_head *head)
{
	struct request *rq = http_data(http);
	enum fixed_response refusal;

	rq->all = http_arg(http);
	rq->all->counters->requests++;
	buf_init(&rq->details, RESPONSE_MAX_BYTES);
	refusal = check_head(rq, head);
	if (refusal != RESPONSE_NONE)
		respond_fixed(rq, refusal);
}

/* The body. */

/*
 * Report fields that were ignored: to the sender in the response, and to the
 * operator by a counter and a log line.
 */
static void
report_ignored_fields(struct request *rq)
{
	struct requests *all = rq->all;
	const struct json_report *report = &all->ingest_body->report;
	unsigned suppressed;

	rq->ignored = report->ignored_fields;
	if (rq->ignored == 0)
		return;
	all->counters->ignored_fields += rq->ignored;
	if (log_allow(&all->ignored_log, &suppressed))
		log_warn("unknown fields ignored fields=%" PRIu64
		         " first=%s token=%s suppressed=%u; they are not "
		         "stored; correct the sender, or put them into the "
		         "payload",
		         rq->ignored, log_quote(report->ignored_name),
		         rq->token ? rq->token->name : "none", suppressed);
}

static void
process_events(struct request *rq, char *bytes, size_t n)
{
	struct requests *all = rq->all;
	struct request_body body = {.text = bytes,
	                            .bytes = n,
	                            .encoding = rq->head.encoding,
	                            .ndjson = rq->head.ndjson,
	                            .partial = rq->head.partial,
	                            .token = rq->token};
	enum fixed_response refusal = check_admission(rq);
	enum body_result result;
	uint64_t rejected;

	rq->since_us = clock_mono_us();
	all->counters->body_bytes += n;
	if (refusal != RESPONSE_NONE) {
		respond_fixed(rq, refusal);
		return;
	}
	result = ingest_body_process(all->ingest_body, &body, rq, &rq->accepted,
	                             &rejected, &rq->details);
	all->counters->rejected_events += rejected;
	if (result == BODY_COMMITTED || result == BODY_NO_EVENTS)
		report_ignored_fields(rq);
	switch (result) {
	case BODY_CONTINUE:  /* never returned */
	case BODY_COMMITTED: /* request_on_done responds */
		break;
	case BODY_NO_EVENTS:
		respond_accepted(rq, NULL);
		break;
	case BODY_INVALID:
		respond_invalid(rq);
		break;
	case BODY_BAD_COMPRESSION:
		respond_fixed(rq, RESPONSE_BAD_COMPRESSION);
		break;
	case BODY_TOO_LARGE:
		respond_fixed(rq, RESPONSE_TOO_LARGE);
		break;
	case BODY_TOO_MANY_EVENTS:
		respond_fixed(rq, RESPONSE_TOO_MANY_EVENTS);
		break;
	case BODY_OVERLOADED:
		respond_fixed(rq, RESPONSE_OVERLOADED);
		break;
	case BODY_RATE_LIMITED:
		respond_rate_limited(rq, rq->accepted);
		break;
	}
}

static void
respond_metrics(struct request *rq)
{
	struct buf *text = &rq->all->text;

	buf_clear(text);
	metrics_page(rq->all->metrics, text);
	respond_text(rq, 200, 0);
	if (text->cap > MIB / 4)
		buf_fini(text);
}

static void
request_on_body(struct http_request *http, char *body, size_t n)
{
	struct request *rq = http_data(http);
	enum fixed_response refusal;

	switch (rq->head.route) {
	case ROUTE_EVENTS:
		process_events(rq, body, n);
		break;
	case ROUTE_HEALTH:
		respond_fixed(rq, RESPONSE_OK);
		break;
	case ROUTE_READY:
		refusal = check_admission(rq);
		respond_fixed(rq,
		              refusal == RESPONSE_NONE ? RESPONSE_OK : refusal);
		break;
	case ROUTE_METRICS:
		respond_metrics(rq);
		break;
	case ROUTE_NONE:
	case ROUTE_ROOT:
		break; /* answered by request_on_head */
	}
}

/* libhttp refuses the body: too large, no memory, or malformed. */
static void
request_on_refuse(struct http_request *http, unsigned status, const char *why)
{
	struct request *rq = http_data(http);

	if (status == 413) {
		respond_fixed(rq, RESPONSE_TOO_LARGE);
		return;
	}
	if (status == 503) {
		respond_fixed(rq, RESPONSE_OVERLOADED);
		return;
	}
	count_response(rq, status);
	http_respond_error(
	    http, status, why,
	    headers_of(rq, NULL, response_retry_after_s(status, rq->token, 0)));
}

static void
request_on_end(struct http_request *http)
{
	struct request *rq = http_data(http);

	token_unref(rq->token);
	rq->token = NULL;
	buf_fini(&rq->details);
}

void
request_on_done(void *owner, enum append_result result, uint64_t offset)
{
	struct request *rq = owner;
	struct counters *counters = rq->all->counters;

	switch (result) {
	case APPEND_DURABLE:
		counters->accepted_events += rq->accepted;
		histogram_add(&counters->durable,
		              clock_mono_us() - rq->since_us, 1);
		if (rq->token)
			rq->token->events += rq->accepted;
		respond_accepted(rq,
		                 offset == APPEND_NO_OFFSET ? NULL : &offset);
		return;
	case APPEND_NOT_SENT:
		respond_fixed(rq, RESPONSE_UNAVAILABLE);
		return;
	case APPEND_TIMED_OUT:
		counters->unknown_events += rq->accepted;
		respond_fixed(rq, RESPONSE_TIMED_OUT);
		return;
	case APPEND_CONNECTION_LOST:
		counters->unknown_events += rq->accepted;
		respond_fixed(rq, RESPONSE_DISCONNECTED);
		return;
	}
}

static void
requests_on_turn(void *arg)
{
	struct requests *rs = arg;

	/* The requests that were committed in this turn share frames. */
	batchd_client_flush(rs->batchd_client);
}

struct http_handler
requests_handler(struct requests *rs)
{
	return (struct http_handler){.on_head = request_on_head,
	                             .on_body = request_on_body,
	                             .on_refuse = request_on_refuse,
	                             .on_end = request_on_end,
	                             .on_turn = requests_on_turn,
	                             .arg = rs,
	                             .data_bytes = sizeof(struct request)};
}

void
requests_open(struct requests *rs)
{
	rs->unauthorized_log = rs->ignored_log =
	    (struct log_limit){.interval_ms = 60000, .burst = 10};
	buf_init(&rs->headers, 4 * KIB);
	buf_init(&rs->text, RESPONSE_MAX_BYTES);
}

void
requests_close(struct requests *rs)
{
	buf_fini(&rs->headers);
	buf_fini(&rs->text);
}
