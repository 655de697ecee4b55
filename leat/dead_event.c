/* dead_event - see dead_event.h. */
#include "leat/dead_event.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "libbase/file.h"
#include "libbase/log.h"
#include "libjson/json.h"

/* A file in which every character of the largest event is escaped. */
#define FILE_BYTES_MAX (6 * EVENT_PACKED_MAX + 16 * KIB)

struct edited {
	const struct event *old;
	struct buf *out;
	size_t count;
	bool is_too_large;
};

static int
on_edited(void *arg, const struct event *event)
{
	struct edited *e = arg;
	struct event made = *event;
	int rc = 0;

	e->count++;
	if (made.id.bytes == 0)
		made.id = e->old->id;
	made.received_at_us = e->old->received_at_us;
	if (e->count == 1)
		rc = event_pack(e->out, &made);
	e->is_too_large |= rc == -EMSGSIZE;
	return rc;
}

static const char *
event_problem(int rc, const struct edited *e, const struct json_report *report)
{
	if (rc == -ENOMEM)
		return "out of memory";
	if (e->is_too_large)
		return "the event is larger than 120 KiB, which is the limit "
		       "here";
	if (report->error_count > 0)
		return report->errors[0].reason;
	if (rc < 0)
		return file_error(rc);
	return e->count == 1 ? NULL : "it must contain one event";
}

int
dead_event_read(const char *path, const struct event *old, struct buf *out)
{
	struct json_rules rules = {.received_at_us = old->received_at_us,
	                           .max_events = 2,
	                           .ignore_unknown = true};
	struct json_report report = {0};
	struct edited e = {.old = old, .out = out};
	struct json_reader *reader = json_reader_new();
	char *text = NULL, *padded;
	const char *problem;
	size_t bytes = 0;
	int rc = file_read(path, FILE_BYTES_MAX, &text, &bytes);

	padded = realloc(text, bytes + JSON_PADDING);
	text = padded ? padded : text;
	if (rc == 0 && padded && reader)
		rc = json_read(reader, text, bytes, &rules, on_edited, &e,
		               &report);
	else if (rc == 0)
		rc = -ENOMEM;
	problem = event_problem(rc, &e, &report);
	if (problem)
		log_error("no event to retry path=%s err=%s", log_quote(path),
		          log_quote(problem));
	free(text);
	json_reader_free(reader);
	return problem && rc >= 0 ? -EINVAL : rc;
}
