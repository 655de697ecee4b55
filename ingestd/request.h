/*
 * request - handle an HTTP request: decide whether it is allowed, process its
 * body, and respond.
 *
 * A request has no state besides that of its connection.  Each of its steps
 * is a callback, and exactly one of them responds:
 *
 *   request_on_head ──refused──────────────────► 4xx, 503
 *         │ allowed
 *   request_on_body ──bad, too large, too many─► 4xx, 503
 *         │ committed
 *      pending in the append queue
 *         │
 *   request_on_done ──APPEND_DURABLE───────────► 202
 *                   ──APPEND_NOT_SENT──────────► 503, nothing was kept
 *                   ──APPEND_TIMED_OUT─────────► 504, unknown
 *                   ──APPEND_CONNECTION_LOST───► 504, unknown
 */
#ifndef INGESTD_REQUEST_H
#define INGESTD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "ingestd/batchd_client.h"
#include "ingestd/ingest_body.h"
#include "ingestd/metrics.h"
#include "ingestd/settings.h"
#include "libbase/log.h"
#include "libhttp/http.h"
#include "libhttp/tokens.h"

/* What all requests share. */
struct requests {
	const struct ingestd_settings *settings;
	struct batchd_client *batchd_client;
	struct ingest_body *ingest_body;
	struct metrics *metrics;
	struct counters *counters;
	const struct tokens *tokens;
	bool stopping; /* no more events are accepted */
	struct log_limit unauthorized_log, ignored_log;
	struct buf headers; /* of the response that is being written */
	struct buf text;    /* of the same */
};

/* The caller sets the pointers first. */
void requests_open(struct requests *rs);
void requests_close(struct requests *rs);

/* Return the callbacks for the HTTP server. */
struct http_handler requests_handler(struct requests *rs);

/* For batchd_client_conf.on_done; owner is a struct request. */
void request_on_done(void *owner, enum append_result result, uint64_t offset);

#endif
