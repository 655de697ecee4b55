/*
 * answers - the answers whose text never changes: a status, a JSON text, and
 * the header lines that go with the status.
 */
#ifndef INGESTD_ANSWERS_H
#define INGESTD_ANSWERS_H

#include "libhttp/http.h"

enum fixed_answer {
	ANSWER_NONE, /* there is nothing to refuse */
	ANSWER_OK,
	ANSWER_PREFLIGHT,
	ANSWER_OPTIONS_EVENTS,
	ANSWER_OPTIONS_GET,
	ANSWER_OPTIONS_ANY,
	ANSWER_UNAUTHORIZED,
	ANSWER_FORBIDDEN,
	ANSWER_ORIGIN,
	ANSWER_LIMITED, /* status only: its text says for how long */
	ANSWER_NOT_FOUND,
	ANSWER_BAD_PARTIAL,
	ANSWER_POST_ONLY,
	ANSWER_GET_ONLY,
	ANSWER_NO_BODY,
	ANSWER_TOO_LARGE,
	ANSWER_TOO_MANY,
	ANSWER_MEDIA_TYPE,
	ANSWER_ENCODING,
	ANSWER_BAD_PACKED,
	ANSWER_OVERLOADED,
	ANSWER_STOPPING,
	ANSWER_LATE,        /* append_timeout_ms has passed */
	ANSWER_LOST,        /* the connection to batchd was */
	ANSWER_UNAVAILABLE, /* status only: its text says why */
	ANSWER_COUNT,
};

/* The answer; its texts are static. */
struct http_answer answer_fixed(enum fixed_answer answer);

#endif
