/*
 * request - what ingestd makes of an HTTP request: where it goes, whether it
 * may, and what it is answered.
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

/* What requests share. */
struct requests {
	const struct ingestd_settings *settings;
	struct batchd_client *batchd_client;
	struct ingest_body *ingest_body;
	struct metrics *metrics;
	struct counters *counters;
	const struct tokens *tokens;
	bool stopping; /* no further events are taken */
	struct log_limit unauthorized_log, ignored_log;
	struct buf headers; /* of the answer that is being written */
	struct buf text;    /* the same */
};

/* Fill in the pointers first. */
void requests_open(struct requests *rs);
void requests_close(struct requests *rs);

/* What the HTTP server calls, with rs as its arg. */
struct http_handler requests_handler(struct requests *rs);

/* For batchd_client_conf.on_done; owner is a struct request. */
void request_on_done(void *owner, enum append_result result, uint64_t offset);

#endif
