/* request_answer - what a sender is told.  See request_parts.h. */
#include "ingestd/request_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ingestd/cors.h"
#include "libbase/clock.h"

#define OVERLOADED_RETRY_S 1

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

enum MHD_Result
request_send_fixed(struct request *rq, enum fixed_reply reply)
{
	unsigned status = reply_status(reply);

	if (rq->origin)
		return queue_own(rq, status, reply_fixed(reply));
	return queue(rq, status, rq->all->fixed[reply]);
}

/* The answer that stands in the request. */
enum MHD_Result
request_send_answer(struct request *rq)
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
enum MHD_Result
request_answer(struct request *rq, unsigned status, int rc)
{
	rq->status = status;
	rq->phase = PHASE_ANSWER;
	return rc < 0 ? MHD_NO : request_send_answer(rq);
}

int
request_write_overloaded(struct buf *out, const char *why)
{
	int rc =
	    buf_addf(out, "{\"error\":\"pipeline overloaded\",\"reason\":");

	if (rc == 0)
		rc = buf_add_json_string(out, why, strlen(why));
	return rc < 0 ? rc : buf_add(out, "}\n", 2);
}

enum MHD_Result
request_answer_overloaded(struct request *rq, const char *why)
{
	return request_answer(rq, MHD_HTTP_SERVICE_UNAVAILABLE,
	                      request_write_overloaded(&rq->answer, why));
}

/* n events would be too many now: say when they would not. */
enum MHD_Result
request_answer_limited(struct request *rq, uint64_t n)
{
	rq->retry_after_s = token_wait_s(rq->token, n, clock_mono_ms());
	return request_answer(
	    rq, MHD_HTTP_TOO_MANY_REQUESTS,
	    buf_addf(&rq->answer,
	             "{\"error\":\"rate limit\",\"rate\":%" PRId64
	             ",\"burst\":%" PRId64 ",\"retry_after_s\":%u}\n",
	             rq->token->rate, rq->token->burst, rq->retry_after_s));
}

/* {"accepted":N[,"offset":O][,details]} */
int
request_write_accepted(struct request *rq, bool has_offset, uint64_t offset)
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

enum MHD_Result
request_answer_invalid(struct request *rq)
{
	int rc = buf_addf(&rq->answer, "{\"error\":\"invalid payload\"");

	if (rc == 0 && rq->details.len > 0)
		rc = buf_add(&rq->answer, ",", 1);
	if (rc == 0)
		rc = buf_add(&rq->answer, rq->details.data, rq->details.len);
	if (rc == 0)
		rc = buf_add(&rq->answer, "}\n", 2);
	return request_answer(rq, MHD_HTTP_BAD_REQUEST, rc);
}
