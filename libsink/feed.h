/*
 * feed - the link to batchd: hello, subscribe, whole batches in, committed
 * out.
 *
 * A batch is collected from its frames into one buffer that is allocated
 * once; its events are decoded where they lie.  Nothing blocks but sends,
 * for at most FEED_SEND_MS.  Errors are negative errno values; after any but
 * -EAGAIN the owner calls feed_close.  Whatever comes from batchd is checked:
 * a frame out of turn or of bad form is -EPROTO or -EBADMSG.
 */
#ifndef LIBSINK_FEED_H
#define LIBSINK_FEED_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libproto/chan.h"

/* How long a send waits for batchd before the link counts as dead. */
#define FEED_SEND_MS 10000

/* What feed_step has received. */
enum feed_got {
	FEED_WELCOME = 1,
	FEED_PART,  /* some of a batch */
	FEED_BATCH, /* the end of a batch: it is whole now */
	FEED_EMPTY, /* the answer to a flush: there is nothing */
	FEED_OTHER, /* nothing that matters here */
};

struct feed_limits {
	uint64_t events;
	uint64_t bytes;
	uint64_t wait_ms;
	bool stable;
};

struct feed {
	struct chan chan;
	const char *name;
	struct feed_limits limits;
	uint64_t events_max; /* of one batch: limits.events, more if stable */

	/* From welcome. */
	bool welcomed;
	char stream[FRAME_STREAM_MAX + 1];

	/* The batch: valid from FEED_BATCH until feed_committed. */
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

	/* From batchd's error frame, after -EREMOTEIO. */
	enum frame_error error_code;
	char error_text[FRAME_TEXT_MAX + 1];
};

/*
 * Allocate for batches within limits, or, for a stable sink, of any size that
 * limits can have had when the batch was cut; name is the sink's and is kept,
 * not copied.  Returns 0 or -ENOMEM.
 */
MUST_USE int feed_init(struct feed *f, const char *name,
                       const struct feed_limits *limits);
void feed_fini(struct feed *f);

/* Connect and say hello; FEED_WELCOME comes by feed_step. */
MUST_USE int feed_connect(struct feed *f, const char *socket);

/* Ask for batches from `position`, or from batchd's cursor. */
MUST_USE int feed_subscribe(struct feed *f, bool has_position,
                            uint64_t position);

/*
 * Receive one frame.  Returns a feed_got; -EAGAIN when none is there; -EPIPE
 * when batchd is gone; -EREMOTEIO when batchd refuses, see error_*.
 */
MUST_USE int feed_step(struct feed *f);

/* The batch's events below next_offset are dealt with; it stays in hand. */
MUST_USE int feed_committed_part(struct feed *f, uint64_t next_offset);

/* Let go of the batch and ask for the next one. */
MUST_USE int feed_committed(struct feed *f, uint64_t next_offset);

/*
 * Read what batchd has said before the link broke, which a send that failed
 * has not seen.  Returns -EREMOTEIO when that was a refusal, else -EPIPE.
 */
MUST_USE int feed_last_words(struct feed *f);

/* Ask for what is there now: answered by a batch or FEED_EMPTY. */
MUST_USE int feed_flush(struct feed *f);

/*
 * Send a stats map.  Returns 1, or 0 when it was left out because the socket
 * is full.
 */
MUST_USE int feed_stats(struct feed *f, const uint8_t *map, size_t bytes);

/* Forget the link and the batch.  May be called twice. */
void feed_close(struct feed *f);

#endif
