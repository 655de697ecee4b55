/* request - see request.h. */
#include "ingestd/request.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ingestd/cors.h"
#include "ingestd/headers.h"
#include "libbase/clock.h"

/*
 * Requests over are kept, with the memory of their bodies, so that a busy
 * ingestd allocates nothing; larger bodies are given back at once.
 */
#define SPARE_BODY_MAX (512 * KIB)
#define SPARE_BYTES_MAX (8 * MIB)
#define SPARE_COUNT_MAX 1024

#define SPARE_ANSWER_MAX (16 * KIB)
#define OVERLOADED_RETRY_S 1
#define ANSWER_MAX_BYTES (1 * MIB) /* /metrics with TOKENS_MAX tokens */

/* A body is given so much at once; more as it comes, not as announced. */
#define BODY_FIRST_MAX (256 * KIB)

enum route {
	ROUTE_NONE,
	ROUTE_EVENTS,
	ROUTE_HEALTH,
	ROUTE_READY,
	ROUTE_METRICS
};

enum phase {
	PHASE_BODY,    /* is being received */
	PHASE_DISCARD, /* is being received, for nothing: refusal stands */
	PHASE_WAITING, /* the connection is suspended */
	PHASE_ANSWER,  /* status and answer stand */
	PHASE_OVER,    /* the answer is libmicrohttpd's */
};

struct request {
	struct request *next; /* when spare */
	struct requests *all;
	struct MHD_Connection *c;
	enum phase phase;
	enum route route;
	enum fixed_reply refusal; /* PHASE_DISCARD: why */
	enum encoding encoding;
	bool ndjson;
	bool partial;
	bool preflight;
	const char *origin;  /* header; NULL without cors_origins */
	struct token *token; /* a reference; NULL: nobody in particular */
	size_t received;     /* bytes of the body */
	size_t charged;      /* of them, to the budget */
	struct buf body;
	uint64_t accepted, rejected;
	unsigned status;
	unsigned retry_after_s; /* of the answer; 0: none */
	struct buf details;     /* of an answer: members of a JSON object */
	struct buf answer;
	struct metrics_waiter waiter;
};

static struct request *
request_new(struct requests *all, struct MHD_Connection *c)
{
	struct request *rq = all->spare;

	if (rq) {
		all->spare = rq->next;
		all->spare_count--;
		all->spare_bytes -= rq->body.cap;
	} else {
		rq = calloc(1, sizeof *rq);
		if (!rq)
			return NULL;
		buf_init(&rq->body,
		         (size_t)all->settings->max_body_bytes + JSON_PADDING);
		buf_init(&rq->details, ANSWER_MAX_BYTES);
		buf_init(&rq->answer, ANSWER_MAX_BYTES);
	}
	buf_clear(&rq->body);
	buf_clear(&rq->details);
	buf_clear(&rq->answer);
	rq->next = NULL;
	rq->all = all;
	rq->c = c;
	rq->phase = PHASE_BODY;
	rq->route = ROUTE_NONE;
	rq->preflight = false;
	rq->origin = NULL;
	rq->token = NULL;
	rq->retry_after_s = 0;
	rq->received = rq->charged = 0;
	rq->accepted = rq->rejected = 0;
	return rq;
}

static void
request_destroy(struct request *rq)
{
	buf_fini(&rq->body);
	buf_fini(&rq->details);
	buf_fini(&rq->answer);
	free(rq);
}

static void
uncharge(struct request *rq)
{
	budget_give(rq->all->budget, rq->charged);
	rq->charged = 0;
}

void
requests_on_completed(void *arg, void *request)
{
	struct requests *all = arg;
	struct request *rq = request;

	assert(rq->phase != PHASE_WAITING); /* its ticket points here */
	uncharge(rq);
	token_unref(rq->token);
	rq->token = NULL;
	if (rq->body.cap > SPARE_BODY_MAX)
		buf_fini(&rq->body);
	if (rq->answer.cap > SPARE_ANSWER_MAX)
		buf_fini(&rq->answer);
	if (all->spare_count >= SPARE_COUNT_MAX ||
	    all->spare_bytes + rq->body.cap > SPARE_BYTES_MAX) {
		request_destroy(rq);
		return;
	}
	all->spare_count++;
	all->spare_bytes += rq->body.cap;
	rq->next = all->spare;
	all->spare = rq;
}

/* Answers. */

static void
count_response(struct counters *c, unsigned status)
{
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		c->responses_503++;
	else if (status >= 400 && status < 500)
		c->responses_4xx++;
	else if (status < 300)
		c->responses_2xx++;
}

static enum MHD_Result
queue(struct request *rq, unsigned status, struct MHD_Response *r)
{
	count_response(rq->all->counters, status);
	if (rq->token && status >= 400 && status < 500)
		rq->token->refused++;
	rq->phase = PHASE_OVER;
	return MHD_queue_response(rq->c, status, r);
}

/* The same, of a response that is this request's own; lets go of it. */
static enum MHD_Result
queue_own(struct request *rq, unsigned status, struct MHD_Response *r)
{
	enum MHD_Result ok = r ? MHD_YES : MHD_NO;

	if (ok == MHD_YES && rq->origin)
		ok = cors_add(r, rq->all->settings->cors_origins, rq->origin,
		              rq->preflight);
	if (ok == MHD_YES)
		ok = queue(rq, status, r);
	if (r)
		MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result
send_fixed(struct request *rq, enum fixed_reply reply)
{
	unsigned status = reply_status(reply);

	if (rq->origin)
		return queue_own(rq, status, reply_fixed(reply));
	return queue(rq, status, rq->all->fixed[reply]);
}

/* The answer that stands in the request. */
static enum MHD_Result
send_answer(struct request *rq)
{
	if (rq->status == MHD_HTTP_SERVICE_UNAVAILABLE)
		rq->retry_after_s = OVERLOADED_RETRY_S;
	return queue_own(rq, rq->status,
	                 reply_of(rq->answer.data, rq->answer.len,
	                          rq->route == ROUTE_METRICS,
	                          rq->retry_after_s));
}

/*
 * Without memory for an answer the connection is closed: an answer cut short
 * would be worse.
 */
static enum MHD_Result
answer(struct request *rq, unsigned status, int rc)
{
	rq->status = status;
	rq->phase = PHASE_ANSWER;
	return rc < 0 ? MHD_NO : send_answer(rq);
}

static int
write_overloaded(struct buf *out, const char *why)
{
	int rc =
	    buf_addf(out, "{\"error\":\"pipeline overloaded\",\"reason\":");

	if (rc == 0)
		rc = buf_add_json_string(out, why, strlen(why));
	return rc < 0 ? rc : buf_add(out, "}\n", 2);
}

static enum MHD_Result
answer_overloaded(struct request *rq, const char *why)
{
	return answer(rq, MHD_HTTP_SERVICE_UNAVAILABLE,
	              write_overloaded(&rq->answer, why));
}

/* n events would be too many now: say when they would not. */
static enum MHD_Result
answer_limited(struct request *rq, uint64_t n)
{
	rq->retry_after_s = token_wait_s(rq->token, n, clock_mono_ms());
	return answer(rq, MHD_HTTP_TOO_MANY_REQUESTS,
	              buf_addf(&rq->answer,
	                       "{\"error\":\"rate limit\",\"rate\":%" PRId64
	                       ",\"burst\":%" PRId64 ",\"retry_after_s\":%u}\n",
	                       rq->token->rate, rq->token->burst,
	                       rq->retry_after_s));
}

/* {"accepted":N[,"offset":O][,details]} */
static int
write_accepted(struct request *rq, bool has_offset, uint64_t offset)
{
	char text[96];
	int n, rc;

	if (has_offset)
		n = snprintf(text, sizeof text,
		             "{\"accepted\":%" PRIu64 ",\"offset\":%" PRIu64,
		             rq->accepted, offset);
	else
		n = snprintf(text, sizeof text, "{\"accepted\":%" PRIu64,
		             rq->accepted);
	rc = buf_add(&rq->answer, text, (size_t)n);
	if (rc == 0 && rq->details.len > 0) {
		rc = buf_add(&rq->answer, ",", 1);
		if (rc == 0)
			rc = buf_add(&rq->answer, rq->details.data,
			             rq->details.len);
	}
	return rc < 0 ? rc : buf_add(&rq->answer, "}\n", 2);
}

static enum MHD_Result
answer_invalid(struct request *rq)
{
	int rc = buf_addf(&rq->answer, "{\"error\":\"invalid payload\"");

	if (rc == 0 && rq->details.len > 0)
		rc = buf_add(&rq->answer, ",", 1);
	if (rc == 0)
		rc = buf_add(&rq->answer, rq->details.data, rq->details.len);
	if (rc == 0)
		rc = buf_add(&rq->answer, "}\n", 2);
	return answer(rq, MHD_HTTP_BAD_REQUEST, rc);
}

/* Waiting. */

static void
suspend(struct request *rq)
{
	rq->phase = PHASE_WAITING;
	rq->all->suspended++;
	http_phase(rq->all->http, rq->c, PLACE_WAITING);
	MHD_suspend_connection(rq->c);
}

static void
resume(struct request *rq)
{
	rq->phase = PHASE_ANSWER;
	rq->all->suspended--;
	http_phase(rq->all->http, rq->c, PLACE_BUSY);
	http_resume(rq->all->http, rq->c);
}

void
request_on_done(void *owner, int rc, uint64_t offset)
{
	struct request *rq = owner;
	struct counters *counters = rq->all->counters;

	if (rc == 0) {
		counters->accepted_events += rq->accepted;
		if (rq->token)
			rq->token->events += rq->accepted;
		rq->status = MHD_HTTP_ACCEPTED;
		rc = write_accepted(rq, true, offset);
	} else {
		rq->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		rc = write_overloaded(
		    &rq->answer,
		    rc == -ETIMEDOUT
			? "not durable in time; the events may still be kept"
			: "batchd went away; the events may still be kept");
	}
	if (rc < 0)
		buf_clear(&rq->answer); /* closes: see requests_on_request */
	resume(rq);
}

static void
on_metrics(struct metrics_waiter *w)
{
	struct request *rq =
	    (struct request *)(void *)((char *)w -
	                               offsetof(struct request, waiter));

	rq->status = MHD_HTTP_OK;
	if (metrics_render(rq->all->metrics, &rq->answer) < 0)
		buf_clear(&rq->answer);
	resume(rq);
}

/* The beginning: what the headers say. */

static bool
read_partial(struct request *rq)
{
	const char *value = MHD_lookup_connection_value(
	    rq->c, MHD_GET_ARGUMENT_KIND, "partial");

	if (!value)
		return rq->all->settings->partial;
	return strcmp(value, "1") == 0 || strcmp(value, "yes") == 0;
}

static enum route
route_of(const char *url)
{
	if (strcmp(url, "/v1/events") == 0)
		return ROUTE_EVENTS;
	if (strcmp(url, "/healthz") == 0)
		return ROUTE_HEALTH;
	if (strcmp(url, "/readyz") == 0)
		return ROUTE_READY;
	return strcmp(url, "/metrics") == 0 ? ROUTE_METRICS : ROUTE_NONE;
}

static void
refuse(struct request *rq, enum fixed_reply why)
{
	rq->phase = PHASE_DISCARD;
	rq->refusal = why;
	if (why == REPLY_OVERLOADED)
		places_press(&rq->all->http->places);
	uncharge(rq);
	if (rq->body.cap > SPARE_BODY_MAX)
		buf_fini(&rq->body);
}

/*
 * Charge n bytes that have come, and make room for them.  What was only
 * announced is not charged: a few clients that announce much and send nothing
 * would keep all others out.
 */
static bool
grow(struct request *rq, size_t n)
{
	if (!budget_take(rq->all->budget, n))
		return false;
	rq->charged += n;
	return buf_reserve(&rq->body, n + JSON_PADDING) == 0;
}

static void
begin_events(struct request *rq, const char *method, uint64_t announced)
{
	const struct settings *s = rq->all->settings;
	size_t first =
	    announced < BODY_FIRST_MAX ? (size_t)announced : BODY_FIRST_MAX;
	const char *why;

	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) {
		refuse(rq, REPLY_POST_ONLY);
		return;
	}
	rq->encoding =
	    encoding_of(headers_get(rq->c, MHD_HTTP_HEADER_CONTENT_ENCODING));
	rq->partial = read_partial(rq);
	if (!headers_events_type(rq->c, &rq->ndjson))
		refuse(rq, REPLY_MEDIA_TYPE);
	else if (rq->encoding == ENCODING_OTHER)
		refuse(rq, REPLY_ENCODING);
	else if (announced > (uint64_t)s->max_body_bytes)
		refuse(rq, REPLY_TOO_LARGE);
	else if (rq->all->stopping)
		refuse(rq, REPLY_STOPPING);
	else if (!upstream_takes(rq->all->upstream, &why))
		refuse(rq, REPLY_UNAVAILABLE);
	else if (announced > budget_left(rq->all->budget) ||
	         buf_reserve(&rq->body, first + JSON_PADDING) < 0)
		refuse(rq, REPLY_OVERLOADED);
	else if (rq->token && !token_may(rq->token, clock_mono_ms()))
		refuse(rq, REPLY_LIMITED);
}

static void
begin_get(struct request *rq, const char *method)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		refuse(rq, REPLY_GET_ONLY);
}

/*
 * What a page's browser asks first, always without a token.  Returns whether
 * it is that, or refused.
 */
static bool
begin_of_page(struct request *rq, const char *method)
{
	const struct settings *s = rq->all->settings;

	if (!s->cors_origins[0])
		return false;
	rq->origin = headers_get(rq->c, MHD_HTTP_HEADER_ORIGIN);
	if (!rq->origin)
		return false;
	if (!cors_allows(s->cors_origins, rq->origin)) {
		refuse(rq, REPLY_ORIGIN);
		return true;
	}
	rq->preflight =
	    strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0 &&
	    headers_get(rq->c, MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_METHOD);
	if (rq->preflight)
		refuse(rq, REPLY_PREFLIGHT); /* its answer, body or not */
	return rq->preflight;
}

static void
begin_route(struct request *rq, const char *method, uint64_t announced)
{
	enum fixed_reply why = REPLY_OK;

	if (rq->route == ROUTE_NONE) {
		refuse(rq, REPLY_NOT_FOUND);
		return;
	}
	if (rq->route == ROUTE_EVENTS && begin_of_page(rq, method))
		return;
	if (rq->route == ROUTE_EVENTS || rq->route == ROUTE_METRICS)
		why = admit(&rq->all->admission, rq->c,
		            rq->route == ROUTE_METRICS, &rq->token);
	if (why != REPLY_OK)
		refuse(rq, why);
	else if (rq->route == ROUTE_EVENTS)
		begin_events(rq, method, announced);
	else
		begin_get(rq, method);
}

static enum MHD_Result
begin(struct request *rq, const char *url, const char *method)
{
	const struct settings *s = rq->all->settings;
	const union MHD_ConnectionInfo *headers = MHD_get_connection_info(
	    rq->c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	const char *expect = headers_get(rq->c, MHD_HTTP_HEADER_EXPECT);
	uint64_t announced = headers_body_bytes(rq->c);

	rq->all->counters->requests++;
	/* Answering here, before the body, closes the connection. */
	if (headers && headers->header_size > (size_t)s->max_header_bytes)
		return send_fixed(rq, REPLY_HEADERS);
	if (!headers_framing_sound(rq->c))
		return send_fixed(rq, REPLY_FRAMING);

	rq->route = route_of(url);
	begin_route(rq, method, announced);
	/* Who may not send keeps no place with it: see places.h. */
	if (rq->phase == PHASE_BODY)
		http_phase(rq->all->http, rq->c, PLACE_BUSY);

	/* A client that asked before sending is spared the sending. */
	if (rq->phase == PHASE_DISCARD && rq->refusal != REPLY_UNAVAILABLE &&
	    (announced > 2 * (uint64_t)s->max_body_bytes ||
	     (announced > 0 && expect &&
	      strcasecmp(expect, "100-continue") == 0)))
		return send_fixed(rq, rq->refusal);
	return MHD_YES;
}

/* The body. */

static enum MHD_Result
receive(struct request *rq, const char *bytes, size_t n)
{
	size_t max = (size_t)rq->all->settings->max_body_bytes;

	rq->all->counters->body_bytes += n;
	if (rq->phase == PHASE_BODY && rq->route == ROUTE_EVENTS) {
		if (n > max - rq->received)
			refuse(rq, REPLY_TOO_LARGE);
		else if (!grow(rq, n) || buf_add(&rq->body, bytes, n) < 0)
			refuse(rq, REPLY_OVERLOADED);
	}
	rq->received += n;
	return rq->received > 2 * max ? MHD_NO : MHD_YES;
}

/* The end: the body is through. */

static enum MHD_Result
end_events(struct request *rq)
{
	struct requests *all = rq->all;
	struct accept_body body = {.bytes = &rq->body,
	                           .encoding = rq->encoding,
	                           .ndjson = rq->ndjson,
	                           .partial = rq->partial,
	                           .token = rq->token};
	enum accept_result result;
	const char *why;

	if (!upstream_takes(all->upstream, &why))
		return answer_overloaded(rq, why);
	result = accept_body(all->accept, &body, rq, &rq->accepted,
	                     &rq->rejected, &rq->details);
	uncharge(rq);
	all->counters->rejected_events += rq->rejected;
	switch (result) {
	case ACCEPT_WAIT:
		suspend(rq);
		return MHD_YES;
	case ACCEPT_NOTHING:
		return answer(rq, MHD_HTTP_ACCEPTED,
		              write_accepted(rq, false, 0));
	case ACCEPT_INVALID:
		return answer_invalid(rq);
	case ACCEPT_BAD_PACKED:
		return send_fixed(rq, REPLY_BAD_PACKED);
	case ACCEPT_TOO_LARGE:
		return send_fixed(rq, REPLY_TOO_LARGE);
	case ACCEPT_TOO_MANY:
		return send_fixed(rq, REPLY_TOO_MANY);
	case ACCEPT_OVERLOADED:
		places_press(&all->http->places);
		return send_fixed(rq, REPLY_OVERLOADED);
	case ACCEPT_LIMITED:
		return answer_limited(rq, rq->accepted);
	}
	return MHD_NO;
}

static enum MHD_Result
end_ready(struct request *rq)
{
	const char *why;

	if (rq->all->stopping)
		return send_fixed(rq, REPLY_STOPPING);
	if (upstream_takes(rq->all->upstream, &why))
		return send_fixed(rq, REPLY_OK);
	return answer_overloaded(rq, why);
}

static enum MHD_Result
end_metrics(struct request *rq)
{
	rq->waiter.on_ready = on_metrics;
	if (!metrics_refresh(rq->all->metrics, &rq->waiter)) {
		suspend(rq);
		return MHD_YES;
	}
	return answer(rq, MHD_HTTP_OK,
	              metrics_render(rq->all->metrics, &rq->answer));
}

static enum MHD_Result
end(struct request *rq)
{
	const char *why = "starting";

	if (rq->phase == PHASE_DISCARD) {
		if (rq->refusal == REPLY_LIMITED)
			return answer_limited(rq, 1);
		if (rq->refusal != REPLY_UNAVAILABLE)
			return send_fixed(rq, rq->refusal);
		(void)upstream_takes(rq->all->upstream, &why);
		return answer_overloaded(rq, why);
	}
	switch (rq->route) {
	case ROUTE_EVENTS:
		return end_events(rq);
	case ROUTE_HEALTH:
		return send_fixed(rq, REPLY_OK);
	case ROUTE_READY:
		return end_ready(rq);
	case ROUTE_METRICS:
		return end_metrics(rq);
	case ROUTE_NONE:
		break;
	}
	return MHD_NO;
}

enum MHD_Result
requests_on_request(void *arg, struct MHD_Connection *c, const char *url,
                    const char *method, const char *version, const char *upload,
                    size_t *upload_bytes, void **request)
{
	struct requests *all = arg;
	struct request *rq = *request;

	(void)version;
	if (!rq) {
		rq = request_new(all, c);
		if (!rq)
			return MHD_NO;
		*request = rq;
		return begin(rq, url, method);
	}
	switch (rq->phase) {
	case PHASE_BODY:
	case PHASE_DISCARD:
		if (*upload_bytes == 0)
			return end(rq);
		if (receive(rq, upload, *upload_bytes) != MHD_YES)
			return MHD_NO;
		*upload_bytes = 0;
		return MHD_YES;
	case PHASE_ANSWER:
		return rq->answer.len > 0 ? send_answer(rq) : MHD_NO;
	case PHASE_WAITING:
	case PHASE_OVER:
		break;
	}
	return MHD_YES;
}

int
requests_open(struct requests *rs)
{
	for (int i = 0; i < REPLY_COUNT; i++) {
		rs->fixed[i] = reply_fixed((enum fixed_reply)i);
		if (!rs->fixed[i])
			return -ENOMEM;
	}
	return 0;
}

void
requests_close(struct requests *rs)
{
	struct request *rq;

	while ((rq = rs->spare)) {
		rs->spare = rq->next;
		request_destroy(rq);
	}
	for (int i = 0; i < REPLY_COUNT; i++) {
		if (rs->fixed[i])
			MHD_destroy_response(rs->fixed[i]);
		rs->fixed[i] = NULL;
	}
}
