/*
 * subscription - the link to batchd: hello, subscribe, whole batches in,
 * committed out.
 *
 * A batch is collected from its frames into one buffer that is allocated
 * once; its events are decoded where they lie.  Nothing blocks but sends,
 * for at most SUBSCRIPTION_SEND_MS.  Errors are negative errno values; after
 * any but -EAGAIN the owner calls subscription_close.  Whatever comes from
 * batchd is checked: a frame out of turn or of bad form is -EPROTO or -EBADMSG.
 */
#ifndef LIBSINK_SUBSCRIPTION_H
#define LIBSINK_SUBSCRIPTION_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libproto/chan.h"

/* How long a send waits for batchd before the link counts as dead. */
#define SUBSCRIPTION_SEND_MS 10000

/* What subscription_step has received. */
enum subscription_event {
	SUBSCRIPTION_WELCOME = 1,
	SUBSCRIPTION_PART,  /* some of a batch */
	SUBSCRIPTION_BATCH, /* the end of a batch: it is whole now */
	SUBSCRIPTION_EMPTY, /* the answer to a flush: there is nothing */
	SUBSCRIPTION_OTHER, /* nothing that matters here */
};

struct subscription_limits {
	uint64_t events;
	uint64_t bytes;
	uint64_t wait_ms;
	bool stable;
};

struct subscription {
	struct chan chan;
	const char *name;
	struct subscription_limits limits;
	uint64_t events_max; /* of one batch: limits.events, more if stable */

	/* From welcome. */
	bool welcomed;
	char stream[FRAME_STREAM_MAX + 1];

	/* The batch: valid from SUBSCRIPTION_BATCH until
	 * subscription_committed. */
	uint64_t offset;      /* of its first event */
	struct event *events; /* owned; grows up to events_max */
	size_t count;
	size_t body_bytes;
	bool whole;
	bool again; /* it may have been sent before, to a stable sink */

	bool subscribed;
	uint64_t wanted; /* no batch may start below this offset */
	uint8_t *bytes;  /* owned; frames as they came */
	size_t bytes_cap, used;
	size_t events_cap;

	/* From batchd's error frame, after ERR_BATCHD_REFUSED. */
	enum frame_error error_code;
	char error_text[FRAME_TEXT_MAX + 1];
};

/*
 * Allocate for batches within limits, or, for a stable sink, of any size that
 * limits can have had when the batch was cut; name is the sink's and is kept,
 * not copied.  Returns 0 or -ENOMEM.
 */
MUST_USE int subscription_init(struct subscription *s, const char *name,
                               const struct subscription_limits *limits);
void subscription_fini(struct subscription *s);

/* Connect and say hello; SUBSCRIPTION_WELCOME comes by subscription_step. */
MUST_USE int subscription_connect(struct subscription *s, const char *socket);

/* Ask for batches from `position`, or from batchd's cursor. */
MUST_USE int subscription_start(struct subscription *s, bool has_position,
                                uint64_t position);

/*
 * Receive one frame.  Returns a subscription_event; -EAGAIN when none is there;
 * -EPIPE when batchd is gone; ERR_BATCHD_REFUSED when batchd refuses, see
 * error_*.
 */
MUST_USE int subscription_step(struct subscription *s);

/* The batch's events below next_offset are dealt with; it stays in hand. */
MUST_USE int subscription_committed_part(struct subscription *s,
                                         uint64_t next_offset);

/* Let go of the batch and ask for the next one. */
MUST_USE int subscription_committed(struct subscription *s,
                                    uint64_t next_offset);

/*
 * Read what batchd has said before the link broke, which a send that failed
 * has not seen.  Returns ERR_BATCHD_REFUSED when that was a refusal, else
 * -EPIPE.
 */
MUST_USE int subscription_final_error(struct subscription *s);

/* Ask for what is there now: answered by a batch or SUBSCRIPTION_EMPTY. */
MUST_USE int subscription_flush(struct subscription *s);

/*
 * Send a stats map.  Returns 1, or 0 when it was left out because the socket
 * is full.
 */
MUST_USE int subscription_stats(struct subscription *s, const uint8_t *map,
                                size_t bytes);

/* Forget the link and the batch.  May be called twice. */
void subscription_close(struct subscription *s);

#endif
