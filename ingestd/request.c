/* request - see request.h.  Its other parts: request_parts.h. */
#include "ingestd/request_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/*
 * Requests over are kept, with the memory of their bodies, so that a busy
 * ingestd allocates nothing; larger bodies are given back at once.
 */
#define SPARE_BODY_MAX (512 * KIB)
#define SPARE_BYTES_MAX (8 * MIB)
#define SPARE_COUNT_MAX 1024

#define SPARE_ANSWER_MAX (16 * KIB)
#define ANSWER_MAX_BYTES (1 * MIB) /* /metrics with TOKENS_MAX tokens */

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

void
request_uncharge(struct request *rq)
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
	request_uncharge(rq);
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
		rc = request_write_accepted(rq, true, offset);
	} else {
		rq->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		rc = request_write_overloaded(
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

/* The body. */

void
request_refuse(struct request *rq, enum fixed_reply why)
{
	rq->phase = PHASE_DISCARD;
	rq->refusal = why;
	if (why == REPLY_OVERLOADED)
		places_press(&rq->all->http->places);
	request_uncharge(rq);
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

static enum MHD_Result
receive(struct request *rq, const char *bytes, size_t n)
{
	size_t max = (size_t)rq->all->settings->max_body_bytes;

	rq->all->counters->body_bytes += n;
	if (rq->phase == PHASE_BODY && rq->route == ROUTE_EVENTS) {
		if (n > max - rq->received)
			request_refuse(rq, REPLY_TOO_LARGE);
		else if (!grow(rq, n) || buf_add(&rq->body, bytes, n) < 0)
			request_refuse(rq, REPLY_OVERLOADED);
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
		return request_answer_overloaded(rq, why);
	result = accept_body(all->accept, &body, rq, &rq->accepted,
	                     &rq->rejected, &rq->details);
	request_uncharge(rq);
	all->counters->rejected_events += rq->rejected;
	switch (result) {
	case ACCEPT_WAIT:
		suspend(rq);
		return MHD_YES;
	case ACCEPT_NOTHING:
		return request_answer(rq, MHD_HTTP_ACCEPTED,
		                      request_write_accepted(rq, false, 0));
	case ACCEPT_INVALID:
		return request_answer_invalid(rq);
	case ACCEPT_BAD_PACKED:
		return request_send_fixed(rq, REPLY_BAD_PACKED);
	case ACCEPT_TOO_LARGE:
		return request_send_fixed(rq, REPLY_TOO_LARGE);
	case ACCEPT_TOO_MANY:
		return request_send_fixed(rq, REPLY_TOO_MANY);
	case ACCEPT_OVERLOADED:
		places_press(&all->http->places);
		return request_send_fixed(rq, REPLY_OVERLOADED);
	case ACCEPT_LIMITED:
		return request_answer_limited(rq, rq->accepted);
	}
	return MHD_NO;
}

static enum MHD_Result
end_ready(struct request *rq)
{
	const char *why;

	if (rq->all->stopping)
		return request_send_fixed(rq, REPLY_STOPPING);
	if (upstream_takes(rq->all->upstream, &why))
		return request_send_fixed(rq, REPLY_OK);
	return request_answer_overloaded(rq, why);
}

static enum MHD_Result
end_metrics(struct request *rq)
{
	rq->waiter.on_ready = on_metrics;
	if (!metrics_refresh(rq->all->metrics, &rq->waiter)) {
		suspend(rq);
		return MHD_YES;
	}
	return request_answer(rq, MHD_HTTP_OK,
	                      metrics_render(rq->all->metrics, &rq->answer));
}

static enum MHD_Result
end(struct request *rq)
{
	const char *why = "starting";

	if (rq->phase == PHASE_DISCARD) {
		if (rq->refusal == REPLY_LIMITED)
			return request_answer_limited(rq, 1);
		if (rq->refusal != REPLY_UNAVAILABLE)
			return request_send_fixed(rq, rq->refusal);
		(void)upstream_takes(rq->all->upstream, &why);
		return request_answer_overloaded(rq, why);
	}
	switch (rq->route) {
	case ROUTE_EVENTS:
		return end_events(rq);
	case ROUTE_HEALTH:
		return request_send_fixed(rq, REPLY_OK);
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
		return request_begin(rq, url, method);
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
		return rq->answer.len > 0 ? request_send_answer(rq) : MHD_NO;
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
