/*
 * ingest_body - decompress the body of a request, read its events and pass
 * them to batchd_client, or describe what is wrong with them.
 */
#ifndef INGESTD_INGEST_BODY_H
#define INGESTD_INGEST_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "ingestd/batchd_client.h"
#include "ingestd/inflate.h"
#include "ingestd/settings.h"
#include "ingestd/uuid7.h"
#include "libbase/buf.h"
#include "libhttp/tokens.h"
#include "libjson/json.h"

/* What became of a body; the HTTP response is the caller's decision. */
enum body_result {
	BODY_CONTINUE,        /* internal: there is no result yet */
	BODY_COMMITTED,       /* batchd_client will call on_done */
	BODY_NO_EVENTS,       /* valid, but without an event to keep */
	BODY_INVALID,         /* events were rejected: see `answer` */
	BODY_BAD_COMPRESSION, /* not complete, valid gzip or zstd */
	BODY_TOO_LARGE,       /* after decompression */
	BODY_TOO_MANY_EVENTS,
	BODY_OVERLOADED,   /* the budget is used up, or no memory */
	BODY_RATE_LIMITED, /* by the token's rate */
};

struct ingest_body {
	const struct ingestd_settings *settings;
	struct batchd_client *batchd_client;
	struct json_reader *reader;
	struct inflate *inflate;
	struct buf unpacked;
	struct json_report report; /* of the last body */
	struct uuid7 uuid7;
};

struct request_body {
	char *text; /* with JSON_PADDING bytes after it; both are modified */
	size_t bytes;
	enum encoding encoding;
	bool ndjson;
	bool partial;
	struct token *token; /* pays for the events; may be NULL */
};

/* Returns 0 or -errno; call ingest_body_close in either case. */
MUST_USE int ingest_body_open(struct ingest_body *ib,
                              const struct ingestd_settings *settings,
                              struct batchd_client *batchd_client);
void ingest_body_close(struct ingest_body *ib);

/*
 * Process a body.  *accepted and *rejected are set to the numbers of its
 * events; for BODY_RATE_LIMITED *accepted is set to the number of events that
 * it counts as, from which the time of the next attempt follows.  If events
 * were rejected, the members "rejected" and "errors" of a JSON object, without
 * braces, are appended to `answer`.  `owner` is passed to on_done.
 *
 * The token's rate pays for the work that a body causes, not only for the
 * events that are kept: each event of the body counts, rejected ones included,
 * and the decompressed body counts as no fewer events than would fit it at
 * their largest.  Otherwise a few kilobytes of gzip that decompress to
 * millions of bad lines would be free.
 */
enum body_result ingest_body_process(struct ingest_body *ib,
                                     const struct request_body *body,
                                     void *owner, uint64_t *accepted,
                                     uint64_t *rejected, struct buf *answer);

#endif
