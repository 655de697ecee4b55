/* accept - see accept.h. */
#include "ingestd/accept.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libbase/clock.h"

/* Memory for an unpacked body that is kept for the next one. */
#define KEEP_UNPACKED_BYTES MIB

int
accept_open(struct accept *a, const struct settings *settings,
            struct upstream *upstream)
{
	*a = (struct accept){.settings = settings, .upstream = upstream};
	buf_init(&a->unpacked, (size_t)settings->max_body_bytes + JSON_PADDING);
	a->reader = json_reader_new();
	a->inflate = inflate_new();
	if (!a->reader || !a->inflate)
		return -ENOMEM;
	return uuid7_init(&a->uuid7);
}

void
accept_close(struct accept *a)
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
	struct accept *a = arg;
	struct event named;
	char id[UUID7_TEXT_BYTES];

	if (event->id.data)
		return upstream_add(a->upstream, event);
	uuid7_next(&a->uuid7, event->received_at_us, id);
	named = *event;
	named.id = (struct slice){id, sizeof id};
	return upstream_add(a->upstream, &named);
}

/*
 * The members "rejected" and "errors".  A failure (out of memory) leaves the
 * answer shorter, never broken: it is cut back to where it was.
 */
static void
describe(const struct json_report *report, struct buf *answer)
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
static enum accept_result
text_of(struct accept *a, const struct accept_body *body, struct buf **text)
{
	int rc;

	if (body->encoding == ENCODING_IDENTITY) {
		*text = body->bytes;
		return ACCEPT_WAIT;
	}
	rc = inflate_body(a->inflate, body->encoding, body->bytes->data,
	                  body->bytes->len, JSON_PADDING, &a->unpacked);
	if (rc == 0)
		rc = buf_reserve(&a->unpacked, JSON_PADDING);
	*text = &a->unpacked;
	switch (rc) {
	case 0:
		return ACCEPT_WAIT;
	case -EBADMSG:
		return ACCEPT_BAD_PACKED;
	case -EMSGSIZE:
		return ACCEPT_TOO_LARGE;
	default:
		return ACCEPT_OVERLOADED;
	}
}

/* What became of the text, which json_read answered with rc. */
static enum accept_result
settle(struct accept *a, int rc, const struct accept_body *body, void *owner)
{
	const struct json_report *report = &a->report;

	if (rc == 0 && (report->rejected == 0 || body->partial)) {
		if (report->accepted == 0) {
			upstream_cancel(a->upstream);
			return ACCEPT_NOTHING;
		}
		if (body->token && !token_take(body->token, report->accepted,
		                               clock_mono_ms())) {
			upstream_cancel(a->upstream);
			return ACCEPT_LIMITED;
		}
		rc = upstream_commit(a->upstream, owner);
		return rc < 0 ? ACCEPT_OVERLOADED : ACCEPT_WAIT;
	}
	upstream_cancel(a->upstream);
	if (rc == 0 || rc == -EBADMSG)
		return ACCEPT_INVALID;
	return rc == -E2BIG ? ACCEPT_TOO_MANY : ACCEPT_OVERLOADED;
}

enum accept_result
accept_body(struct accept *a, const struct accept_body *body, void *owner,
            uint64_t *accepted, uint64_t *rejected, struct buf *answer)
{
	struct json_rules rules = {
	    .received_at_us = clock_wall_us(),
	    .max_events = (uint64_t)a->settings->max_request_events,
	    .ignore_unknown = a->settings->unknown_fields == UNKNOWN_IGNORE,
	    .ndjson = body->ndjson,
	};
	enum accept_result result;
	struct buf *text;
	int rc;

	*accepted = *rejected = 0;
	result = text_of(a, body, &text);
	if (result == ACCEPT_WAIT) {
		rc = json_read(a->reader, (char *)text->data, text->len, &rules,
		               on_event, a, &a->report);
		result = settle(a, rc, body, owner);
		if (result == ACCEPT_WAIT || result == ACCEPT_LIMITED)
			*accepted = a->report.accepted;
		if (result == ACCEPT_WAIT || result == ACCEPT_NOTHING ||
		    result == ACCEPT_INVALID) {
			*rejected = a->report.rejected;
			if (*rejected > 0)
				describe(&a->report, answer);
		}
	}
	if (a->unpacked.cap > KEEP_UNPACKED_BYTES)
		buf_fini(&a->unpacked);
	return result;
}
