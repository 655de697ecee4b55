/*
 * request_parts - one request, as request.c (its body and its end),
 * request_begin.c (what the headers say) and request_answer.c (what the sender
 * is told) share it.  Everybody else wants request.h.
 */
#ifndef INGESTD_REQUEST_PARTS_H
#define INGESTD_REQUEST_PARTS_H

#include "ingestd/request.h"

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

/* The headers have come: route, admission, or a refusal. */
enum MHD_Result request_begin(struct request *rq, const char *url,
                              const char *method);

/* The answer will be no; what is still to come of the body is thrown away. */
void request_refuse(struct request *rq, enum fixed_reply why);

/* Give back what the body had of the budget. */
void request_uncharge(struct request *rq);

/*
 * Answers.  Each queues one and ends the request; MHD_NO closes the connection
 * instead, for want of memory.  request_answer sends what was written into
 * rq->answer; rc < 0 says that it was cut short, which would be worse than
 * none.
 */
enum MHD_Result request_send_fixed(struct request *rq, enum fixed_reply reply);
enum MHD_Result request_answer(struct request *rq, unsigned status, int rc);
enum MHD_Result request_answer_overloaded(struct request *rq, const char *why);
enum MHD_Result request_answer_limited(struct request *rq, uint64_t n);
enum MHD_Result request_answer_invalid(struct request *rq);

/* The same in two steps, for a request that has waited in between. */
MUST_USE int request_write_overloaded(struct buf *out, const char *why);
MUST_USE int request_write_accepted(struct request *rq, bool has_offset,
                                    uint64_t offset);
enum MHD_Result request_send_answer(struct request *rq);

#endif
