/* send_read - see send_read.h. */
#include "leat/send_read.h"

#include <errno.h>
#include <stdlib.h>

#include "libbase/error.h"

static void
take_piece(struct send *s, const struct splitter_piece *piece)
{
	struct send_event_fault fault = {0};
	const struct send_place after = {s->splitter.position,
	                                 s->read.rejected};
	int rc = send_batch_add(s->filling, &s->events, piece, &after, &fault);

	s->read = after;
	if (rc == -EINVAL) {
		s->read.rejected++;
		send_list_rejected(s, piece->start.line, fault.field.at,
		                   json_span_bytes(&fault.field), fault.reason);
	} else if (rc < 0) {
		log_error("cannot read an event err=%s",
		          log_quote(error_text(rc)));
		send_finish(s, EXIT_FAILURE);
	}
}

static void
take_too_long(struct send *s, const struct splitter_piece *piece)
{
	s->read =
	    (struct send_place){s->splitter.position, s->read.rejected + 1};
	send_list_rejected(s, piece->start.line, NULL, 0,
	                   "longer than 128 KiB, which is the longest event");
}

static void
take_end(struct send *s, enum splitter_result result,
         const struct splitter_piece *piece)
{
	s->input_ended = true;
	s->end = result;
	if (result == SPLITTER_END)
		s->read.position = s->splitter.position;
	else
		send_list_rejected(s, piece->start.line, NULL, 0, piece->why);
}

/* Read once, if something is there.  Returns true if it was. */
static bool
read_more(struct send *s)
{
	int rc = send_input_read(&s->input, &s->splitter);

	if (rc < 0) {
		log_error("cannot read %s err=%s", s->label,
		          log_quote(error_text(rc)));
		send_finish(s, EXIT_FAILURE);
	}
	return rc > 0;
}

bool
send_read(struct send *s)
{
	struct splitter_piece piece;
	enum splitter_result result;

	while (!s->finished && !s->input_ended && !send_filling_is_full(s)) {
		result = splitter_next(&s->splitter, &piece);
		switch (result) {
		case SPLITTER_PIECE:
			take_piece(s, &piece);
			break;
		case SPLITTER_TOO_LONG:
			take_too_long(s, &piece);
			break;
		case SPLITTER_MORE:
			s->filling->end = s->read;
			return !s->stopping && read_more(s);
		case SPLITTER_END:
		case SPLITTER_UNFINISHED:
		case SPLITTER_BROKEN:
			take_end(s, result, &piece);
			break;
		}
	}
	s->filling->end = s->read;
	return false;
}
