/*
 * ingest_body - what to do with a whole body: unpack it, read its events, hand
 * them to the batchd_client, or say what is wrong with them.
 */
#ifndef INGESTD_INGEST_BODY_H
#define INGESTD_INGEST_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "ingestd/batchd_client.h"
#include "ingestd/inflate.h"
#include "ingestd/json.h"
#include "ingestd/settings.h"
#include "ingestd/uuid7.h"
#include "libbase/buf.h"
#include "libhttp/tokens.h"

/* Why a body got no further; what HTTP makes of it is the caller's. */
enum body_result {
	BODY_COMMITTED,       /* committed: batchd_client's on_done will come */
	BODY_NO_EVENTS,       /* fine, but without an event to keep */
	BODY_INVALID,         /* events were refused: see answer */
	BODY_BAD_COMPRESSION, /* not whole gzip or zstd */
	BODY_TOO_LARGE,       /* when unpacked */
	BODY_TOO_MANY_EVENTS, /* events */
	BODY_OVERLOADED,      /* the budget is used up */
	BODY_RATE_LIMITED,    /* the token's rate */
};

struct ingest_body {
	const struct ingestd_settings *settings;
	struct batchd_client *batchd_client;
	struct json_reader *reader;
	struct inflate *inflate;
	struct buf unpacked;
	struct json_report report;
	struct uuid7 uuid7;
};

struct request_body {
	char *text; /* with JSON_PADDING bytes after it; both may be changed */
	size_t bytes;
	enum encoding encoding;
	bool ndjson;
	bool partial;
	struct token *token; /* pays for the events; may be NULL */
};

/* Returns 0 or -errno; close even so. */
MUST_USE int ingest_body_open(struct ingest_body *a,
                              const struct ingestd_settings *settings,
                              struct batchd_client *batchd_client);
void ingest_body_close(struct ingest_body *a);

/*
 * Take a body.  *accepted and *rejected are set to how many events it has (for
 * BODY_RATE_LIMITED, *accepted is set to how many the token is short of).  The
 * members "rejected" and "errors" of a JSON object, without braces, are
 * appended to answer if there are any.
 *
 * The token's rate pays for the work that a body causes, not only for the
 * events that are kept: each event of the body counts, refused ones included,
 * and the unpacked body counts as no fewer events than would fit it at their
 * largest.  Otherwise a few kilobytes of gzip that unpack to millions of bad
 * lines would be free.
 */
enum body_result ingest_body_process(struct ingest_body *a,
                                     const struct request_body *body,
                                     void *owner, uint64_t *accepted,
                                     uint64_t *rejected, struct buf *answer);

/*
 * Unknown fields that the last body's events had, and that were ignored; the
 * first one's name, "" if there are none, is valid until the next body.
 */
uint64_t ingest_body_ignored_fields(const struct ingest_body *a,
                                    const char **name);

#endif
