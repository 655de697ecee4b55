/* send_state - see send_state.h. */
#include "leat/send_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/send_answer.h"
#include "libbase/error.h"

void
send_finish(struct send *s, int status)
{
	s->finished = true;
	s->status = status;
}

/* Write text, of n bytes, without what could act on a terminal. */
static void
put_printable(const char *text, size_t n)
{
	char safe[PRINTABLE_GROWTH * SEND_ANSWER_TEXT + 1];

	if (n > SEND_ANSWER_TEXT)
		n = SEND_ANSWER_TEXT;
	(void)printable_put(safe, text, n, "");
	(void)fputs(safe, stderr);
}

void
send_list_rejected(struct send *s, uint64_t line, const char *field,
                   size_t field_bytes, const char *reason)
{
	send_progress_erase(&s->progress);
	(void)fprintf(stderr, "%s:%" PRIu64 ": ", s->label, line);
	if (field_bytes > 0) {
		put_printable(field, field_bytes);
		(void)fputs(": ", stderr);
	}
	put_printable(reason, strlen(reason));
	(void)fputc('\n', stderr);
}

uint64_t
send_count_rejected(const struct send *s)
{
	return s->done.rejected + s->refused;
}

bool
send_filling_is_full(const struct send *s)
{
	return send_batch_is_full(s->filling) ||
	       s->filling->count >= s->max_events ||
	       s->filling->text.len >= s->max_bytes;
}

void
send_save(struct send *s)
{
	struct sent_file *f = &s->input.sent;
	int rc;

	s->progress.bytes = s->done.position.bytes;
	s->progress.events = s->accepted;
	if (!s->input.has_sent_file)
		return;
	f->state.position = s->done.position;
	f->state.rejected = send_count_rejected(s);
	rc = sent_file_save(f);
	if (rc == 0)
		return;
	send_progress_erase(&s->progress);
	log_error("cannot write file=%s.sent err=%s; the events up to line "
	          "%" PRIu64 " were accepted",
	          s->label, log_quote(error_text(rc)), s->done.position.line);
	send_finish(s, EXIT_FAILURE);
}
