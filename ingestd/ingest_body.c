/* ingest_body - see ingest_body.h. */
#include "ingestd/ingest_body.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libbase/clock.h"
#include "libbase/error.h"

/* A larger buffer for a decompressed body is freed after that body. */
#define KEEP_UNPACKED_BYTES MIB

int
ingest_body_open(struct ingest_body *ib,
                 const struct ingestd_settings *settings,
                 struct batchd_client *batchd_client)
{
	*ib = (struct ingest_body){.settings = settings,
	                           .batchd_client = batchd_client};
	buf_init(&ib->unpacked,
	         (size_t)settings->max_body_bytes + JSON_PADDING);
	ib->reader = json_reader_new();
	ib->inflate = inflate_new();
	if (!ib->reader || !ib->inflate)
		return -ENOMEM;
	return uuid7_init(&ib->uuid7);
}

void
ingest_body_close(struct ingest_body *ib)
{
	json_reader_free(ib->reader);
	inflate_free(ib->inflate);
	buf_fini(&ib->unpacked);
	ib->reader = NULL;
	ib->inflate = NULL;
}

static int
ingest_body_on_event(void *arg, const struct event *event)
{
	struct ingest_body *ib = arg;
	struct event named;
	char id[UUID7_TEXT_BYTES];

	if (event->id.data)
		return batchd_client_add(ib->batchd_client, event);
	uuid7_next(&ib->uuid7, event->received_at_us, id);
	named = *event;
	named.id = (struct slice){id, sizeof id};
	return batchd_client_add(ib->batchd_client, &named);
}

/*
 * Append the members "rejected" and "errors".  If memory runs out, `answer` is
 * cut back to what it was, so that it is shorter but still valid JSON.
 */
static void
ingest_body_describe(const struct json_report *report, struct buf *answer)
{
	size_t start = answer->len;

	buf_addf(answer, "\"rejected\":%" PRIu64 ",\"errors\":[",
	         report->rejected);
	for (uint32_t i = 0; i < report->error_count; i++) {
		const struct json_error *e = &report->errors[i];

		buf_addf(answer, "%s{\"index\":%" PRIu64, i ? "," : "",
		         e->index);
		if (e->field_bytes > 0) {
			buf_add_text(answer, ",\"field\":");
			buf_add_json_string(answer, e->field, e->field_bytes);
		}
		buf_add_text(answer, ",\"reason\":");
		buf_add_json_string(answer, e->reason, strlen(e->reason));
		buf_add_text(answer, "}");
	}
	buf_add_text(answer, "]");
	if (answer->error)
		answer->len = start;
}

/* The JSON text of a request: its body, or what that decompresses to. */
struct text {
	char *at;
	size_t bytes;
};

static enum body_result
ingest_body_text(struct ingest_body *ib, const struct request_body *body,
                 struct text *text)
{
	int rc;

	*text = (struct text){body->text, body->bytes};
	if (body->encoding == ENCODING_IDENTITY)
		return BODY_CONTINUE;
	rc = inflate_body(ib->inflate, body->encoding,
	                  (const uint8_t *)body->text, body->bytes,
	                  JSON_PADDING, &ib->unpacked);
	text->bytes = ib->unpacked.len;
	if (rc == 0)
		rc = buf_reserve(&ib->unpacked, JSON_PADDING);
	text->at = (char *)ib->unpacked.data;
	switch (rc) {
	case 0:
		return BODY_CONTINUE;
	case -EBADMSG:
		return BODY_BAD_COMPRESSION;
	case -EMSGSIZE:
		return BODY_TOO_LARGE;
	default:
		return BODY_OVERLOADED;
	}
}

/*
 * Read the events of a text and add them to the current request.  Returns
 * BODY_CONTINUE if they are to be committed.  *cost is raised to the number of
 * events that the text counts as.
 */
static enum body_result
ingest_body_read(struct ingest_body *ib, const struct request_body *body,
                 const struct text *text, uint64_t *cost)
{
	const struct json_report *report = &ib->report;
	struct json_rules rules = {
	    .received_at_us = clock_wall_us(),
	    .max_events = (uint64_t)ib->settings->max_request_events,
	    .ignore_unknown = ib->settings->unknown_fields == UNKNOWN_IGNORE,
	    .ndjson = body->ndjson,
	};
	int rc = json_read(ib->reader, text->at, text->bytes, &rules,
	                   ingest_body_on_event, ib, &ib->report);
	uint64_t events = rc == ERR_TOO_MANY_EVENTS
	                      ? rules.max_events
	                      : report->accepted + report->rejected;

	if (*cost < events)
		*cost = events;
	if (rc == ERR_TOO_MANY_EVENTS)
		return BODY_TOO_MANY_EVENTS;
	if (rc < 0 && rc != -EBADMSG)
		return BODY_OVERLOADED;
	if (rc < 0 || (report->rejected > 0 && !body->partial))
		return BODY_INVALID;
	return report->accepted > 0 ? BODY_CONTINUE : BODY_NO_EVENTS;
}

/*
 * Commit the events if the token's rate allows `cost` of them.  A request
 * that exceeds the rate costs only its size: if it cost all of its events, a
 * sender that repeats it would never get below the rate.
 */
static enum body_result
ingest_body_commit(struct ingest_body *ib, const struct request_body *body,
                   uint64_t cost, uint64_t size_cost, void *owner)
{
	uint64_t now_ms = body->token ? clock_mono_ms() : 0;

	if (body->token && !token_take(body->token, cost, now_ms)) {
		batchd_client_cancel(ib->batchd_client);
		token_charge(body->token, size_cost, now_ms);
		return BODY_RATE_LIMITED;
	}
	if (batchd_client_commit(ib->batchd_client, owner) < 0)
		return BODY_OVERLOADED;
	return BODY_COMMITTED;
}

enum body_result
ingest_body_process(struct ingest_body *ib, const struct request_body *body,
                    void *owner, uint64_t *accepted, uint64_t *rejected,
                    struct buf *answer)
{
	struct text text;
	enum body_result result = ingest_body_text(ib, body, &text);
	/* A compressed body may be larger than what it decompresses to. */
	const uint64_t size_cost =
	    (text.bytes > body->bytes ? text.bytes : body->bytes) /
	    (uint64_t)ib->settings->max_event_bytes;
	uint64_t cost = size_cost;

	*accepted = *rejected = 0;
	if (result == BODY_CONTINUE) {
		result = ingest_body_read(ib, body, &text, &cost);
		if (result == BODY_CONTINUE)
			result = ingest_body_commit(ib, body, cost, size_cost,
			                            owner);
		else
			batchd_client_cancel(ib->batchd_client);
	}
	if (result == BODY_COMMITTED)
		*accepted = ib->report.accepted;
	else if (result == BODY_RATE_LIMITED)
		*accepted = cost;
	if (result == BODY_COMMITTED || result == BODY_NO_EVENTS ||
	    result == BODY_INVALID) {
		*rejected = ib->report.rejected;
		if (*rejected > 0)
			ingest_body_describe(&ib->report, answer);
	}
	/* Nothing was kept, but the work is paid for: as one event at least. */
	if (body->token && result != BODY_COMMITTED &&
	    result != BODY_RATE_LIMITED && result != BODY_OVERLOADED)
		token_charge(body->token, cost > 0 ? cost : 1, clock_mono_ms());
	if (ib->unpacked.cap > KEEP_UNPACKED_BYTES)
		buf_fini(&ib->unpacked);
	return result;
}
