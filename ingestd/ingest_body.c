/* ingest_body - see ingest_body.h. */
#include "ingestd/ingest_body.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libbase/clock.h"

/* Memory for an unpacked body that is kept for the next one. */
#define KEEP_UNPACKED_BYTES MIB

int
ingest_body_open(struct ingest_body *a, const struct ingestd_settings *settings,
                 struct batchd_client *batchd_client)
{
	*a = (struct ingest_body){.settings = settings,
	                          .batchd_client = batchd_client};
	buf_init(&a->unpacked, (size_t)settings->max_body_bytes + JSON_PADDING);
	a->reader = json_reader_new();
	a->inflate = inflate_new();
	if (!a->reader || !a->inflate)
		return -ENOMEM;
	return uuid7_init(&a->uuid7);
}

void
ingest_body_close(struct ingest_body *a)
{
	json_reader_free(a->reader);
	inflate_free(a->inflate);
	buf_fini(&a->unpacked);
	a->reader = NULL;
	a->inflate = NULL;
}

static int
on_event(void *arg, const struct event *event)
{
	struct ingest_body *a = arg;
	struct event named;
	char id[UUID7_TEXT_BYTES];

	if (event->id.data)
		return batchd_client_add(a->batchd_client, event);
	uuid7_next(&a->uuid7, event->received_at_us, id);
	named = *event;
	named.id = (struct slice){id, sizeof id};
	return batchd_client_add(a->batchd_client, &named);
}

/*
 * The members "rejected" and "errors".  A failure (out of memory) leaves the
 * answer shorter, never broken: it is cut back to where it was.
 */
static void
ingest_body_describe(const struct json_report *report, struct buf *answer)
{
	size_t start = answer->len;
	int rc;

	rc = buf_addf(answer, "\"rejected\":%" PRIu64 ",\"errors\":[",
	              report->rejected);
	for (uint32_t i = 0; rc == 0 && i < report->error_count; i++) {
		const struct json_error *e = &report->errors[i];

		rc = buf_addf(answer, "%s{\"index\":%" PRIu64, i ? "," : "",
		              e->index);
		if (rc == 0 && e->field_bytes > 0) {
			rc = buf_addf(answer, ",\"field\":");
			if (rc == 0)
				rc = buf_add_json_string(answer, e->field,
				                         e->field_bytes);
		}
		if (rc == 0)
			rc = buf_addf(answer, ",\"reason\":");
		if (rc == 0)
			rc = buf_add_json_string(answer, e->reason,
			                         strlen(e->reason));
		if (rc == 0)
			rc = buf_add(answer, "}", 1);
	}
	if (rc == 0)
		rc = buf_add(answer, "]", 1);
	if (rc < 0)
		answer->len = start;
}

/* The text of a body: itself, or what it unpacks to. */
struct text {
	char *at;
	size_t bytes;
};

/* Returns BODY_COMMITTED if there is a text, else what is wrong. */
static enum body_result
ingest_body_text(struct ingest_body *a, const struct request_body *body,
                 struct text *text)
{
	int rc;

	*text = (struct text){body->text, body->bytes};
	if (body->encoding == ENCODING_IDENTITY)
		return BODY_COMMITTED;
	rc = inflate_body(a->inflate, body->encoding,
	                  (const uint8_t *)body->text, body->bytes,
	                  JSON_PADDING, &a->unpacked);
	text->bytes = a->unpacked.len;
	if (rc == 0)
		rc = buf_reserve(&a->unpacked, JSON_PADDING);
	text->at = (char *)a->unpacked.data;
	switch (rc) {
	case 0:
		return BODY_COMMITTED;
	case -EBADMSG:
		return BODY_BAD_COMPRESSION;
	case -EMSGSIZE:
		return BODY_TOO_LARGE;
	default:
		return BODY_OVERLOADED;
	}
}

/*
 * Hand over what was read, if the token's rate allows `cost` events.  What is
 * refused for the rate costs only its size, so that waiting for the rate ends.
 */
static enum body_result
commit(struct ingest_body *a, const struct request_body *body, uint64_t cost,
       uint64_t size_cost, void *owner)
{
	uint64_t now_ms = clock_mono_ms();

	if (body->token && !token_take(body->token, cost, now_ms)) {
		batchd_client_cancel(a->batchd_client);
		token_charge(body->token, size_cost, now_ms);
		return BODY_RATE_LIMITED;
	}
	return batchd_client_commit(a->batchd_client, owner) < 0
	           ? BODY_OVERLOADED
	           : BODY_COMMITTED;
}

/* What became of the text, which json_read returned rc for. */
static enum body_result
result_of(const struct json_report *report, int rc, bool partial)
{
	if (rc == 0 && (report->rejected == 0 || partial))
		return report->accepted == 0 ? BODY_NO_EVENTS : BODY_COMMITTED;
	if (rc == 0 || rc == -EBADMSG)
		return BODY_INVALID;
	return rc == -E2BIG ? BODY_TOO_MANY_EVENTS : BODY_OVERLOADED;
}

/* Read the events of a text.  *cost is set to how many events it counts as. */
static enum body_result
ingest_body_read(struct ingest_body *a, const struct request_body *body,
                 const struct text *text, uint64_t *cost)
{
	struct json_rules rules = {
	    .received_at_us = clock_wall_us(),
	    .max_events = (uint64_t)a->settings->max_request_events,
	    .ignore_unknown = a->settings->unknown_fields == UNKNOWN_IGNORE,
	    .ndjson = body->ndjson,
	};
	int rc = json_read(a->reader, text->at, text->bytes, &rules, on_event,
	                   a, &a->report);
	uint64_t events = rc == -E2BIG
	                      ? rules.max_events
	                      : a->report.accepted + a->report.rejected;

	if (*cost < events)
		*cost = events;
	return result_of(&a->report, rc, body->partial);
}

uint64_t
ingest_body_ignored_fields(const struct ingest_body *a, const char **name)
{
	*name = a->report.ignored_name;
	return a->report.ignored_fields;
}

enum body_result
ingest_body_process(struct ingest_body *a, const struct request_body *body,
                    void *owner, uint64_t *accepted, uint64_t *rejected,
                    struct buf *answer)
{
	struct text text;
	enum body_result result = ingest_body_text(a, body, &text);
	/* A packed body may be larger than what it unpacks to. */
	const uint64_t size_cost =
	    (text.bytes > body->bytes ? text.bytes : body->bytes) /
	    (uint64_t)a->settings->max_event_bytes;
	uint64_t cost = size_cost;

	*accepted = *rejected = 0;
	if (result == BODY_COMMITTED) {
		result = ingest_body_read(a, body, &text, &cost);
		if (result == BODY_COMMITTED)
			result = commit(a, body, cost, size_cost, owner);
		else
			batchd_client_cancel(a->batchd_client);
		if (result == BODY_COMMITTED)
			*accepted = a->report.accepted;
		else if (result == BODY_RATE_LIMITED)
			*accepted = cost;
		if (result == BODY_COMMITTED || result == BODY_NO_EVENTS ||
		    result == BODY_INVALID) {
			*rejected = a->report.rejected;
			if (*rejected > 0)
				ingest_body_describe(&a->report, answer);
		}
	}
	/* Nothing was kept: the work is paid for, as one event at least. */
	if (body->token && result != BODY_COMMITTED &&
	    result != BODY_RATE_LIMITED && result != BODY_OVERLOADED)
		token_charge(body->token, cost > 0 ? cost : 1, clock_mono_ms());
	if (a->unpacked.cap > KEEP_UNPACKED_BYTES)
		buf_fini(&a->unpacked);
	return result;
}
