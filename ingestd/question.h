/*
 * question - ask batchd how things are.
 *
 * Each question has a connection of its own, for as long as it lasts: that of
 * the events is not read while the log is full, which is just when somebody
 * wants to know.  One question at a time; on the loop's thread.
 */
#ifndef INGESTD_QUESTION_H
#define INGESTD_QUESTION_H

#include <stdint.h>

#include <uv.h>

#include "libbase/base.h"
#include "libproto/chan.h"

struct question {
	uv_loop_t *loop;
	const char *socket; /* path; outlives the question */
	/*
	 * The answer: a msgpack map of n bytes, valid during the call, or
	 * NULL when batchd refused or went away.  May ask again.
	 */
	void (*on_answer)(void *arg, const uint8_t *map, size_t n);
	void *arg;
	struct chan chan; /* open while a question is under way */
	uv_poll_t *poll;  /* owned; freed when libuv lets go */
	uint8_t *in;      /* FRAME_MAX bytes */
};

/*
 * Ask a control verb.  Returns 0: on_answer will come, unless question_drop
 * does; or -errno: batchd cannot be asked now.  Not while one is under way.
 */
MUST_USE int question_ask(struct question *q, const char *verb);

/* Whether one is under way. */
bool question_asked(const struct question *q);

/* Let go of a question; its answer does not come. */
void question_drop(struct question *q);

#endif
