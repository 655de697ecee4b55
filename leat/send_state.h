/*
 * send_state - what the parts of `leat send` share while it runs.
 *
 * send_read fills one batch, send_request sends the other one, and send has the
 * loop.
 */
#ifndef LEAT_SEND_STATE_H
#define LEAT_SEND_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leat/send_batch.h"
#include "leat/send_event.h"
#include "leat/send_http.h"
#include "leat/send_input.h"
#include "leat/send_progress.h"
#include "leat/splitter.h"
#include "libbase/log.h"
#include "libbase/printable.h"

struct send {
	struct send_input input;
	struct splitter splitter;
	struct send_event events;
	struct json_structure *answers; /* owned; for reading answers */
	struct send_http http;
	struct send_progress progress;
	/* The input's name in messages. */
	char label[PRINTABLE_GROWTH * PATH_MAX + 1];

	/*
	 * While the events of one batch are sent, the other one is filled.
	 * They change places when all events of the first were dealt with.
	 */
	struct send_batch batches[2];
	struct send_batch *sending, *filling;
	struct send_place read;   /* the input was split up to here */
	struct send_place done;   /* and dealt with up to here */
	bool input_ended;         /* nothing more is read */
	enum splitter_result end; /* how it has ended */

	/* Limits of a request, which a 413 or many errors make smaller. */
	size_t max_events, max_bytes;
	size_t max_window;    /* events of the next request */
	size_t request_bytes; /* of the request that was started last */
	uint64_t rate;        /* bytes a second; 0: no limit */

	uint64_t due_ms;   /* no request begins before */
	unsigned failures; /* in a row */
	uint64_t failing_since_ms;
	uint64_t give_up_ms; /* after so long without success; 0: never */
	char waiting[SEND_HTTP_ERROR_TEXT + 64]; /* for what */
	struct log_limit failure_limit;

	uint64_t start_ms, start_bytes;
	uint64_t start_rejected; /* by earlier runs that have ended early */
	uint64_t accepted;       /* events, by this run */
	uint64_t refused;        /* by ingestd, of those before `done` */
	uint64_t ignored_fields;
	bool stopping;  /* a signal has come: nothing more is begun */
	bool restarted; /* --restart was given */
	bool noted_signal;
	bool finished;
	int status; /* the exit status then */
};

/* End the run with this exit status. */
void send_finish(struct send *s, int status);

/*
 * List an event that was rejected, as compilers list errors.  Neither text is
 * trusted.
 */
void send_list_rejected(struct send *s, uint64_t line, const char *field,
                        size_t field_bytes, const char *reason);

/* Return how many events before s->done were rejected. */
uint64_t send_count_rejected(const struct send *s);

/* Return true if the batch that is being filled is to have no more events. */
bool send_filling_is_full(const struct send *s);

/*
 * The input has been dealt with up to s->done: show that, and write it to
 * FILE.sent.
 */
void send_save(struct send *s);

#endif
