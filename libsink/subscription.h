/*
 * subscription - a sink's connection to batchd: hello, wait for start,
 * subscribe, receive whole batches, report them as committed.
 *
 * A batch is collected from its frames into one buffer that is allocated once,
 * and its events are decoded in place.  Only sends block, for at most
 * SUBSCRIPTION_SEND_MS.  After any error but -EAGAIN the owner calls
 * subscription_close.  All that comes from batchd is checked: a frame that is
 * not expected is -EPROTO, and a malformed one -EBADMSG.
 */
#ifndef LIBSINK_SUBSCRIPTION_H
#define LIBSINK_SUBSCRIPTION_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libproto/chan.h"

/* How long a send waits for batchd before the connection counts as lost. */
#define SUBSCRIPTION_SEND_MS 10000

/* What subscription_step has received. */
enum subscription_event {
	SUBSCRIPTION_WELCOME = 1, /* batchd has named the stream */
	SUBSCRIPTION_START,       /* the sink may open its store and work */
	SUBSCRIPTION_PART,        /* a part of a batch */
	SUBSCRIPTION_BATCH, /* the last part of a batch, which is whole now */
	SUBSCRIPTION_EMPTY, /* the answer to a flush: there are no events */
	SUBSCRIPTION_HALT,  /* the sink must close its store and answer */
	SUBSCRIPTION_SEEK,  /* it must move its position: seek_from, seek_to */
	SUBSCRIPTION_ORDER, /* dead letters are to be retried: see `order` */
	SUBSCRIPTION_OTHER, /* nothing of interest */
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

	bool welcomed; /* welcome was received */
	/* From the stream frame after it. */
	bool has_stream;
	char stream[FRAME_STREAM_MAX + 1];
	/* From start. */
	bool started;
	uint64_t cursor; /* batchd's, for a store without a position */
	bool halting;    /* halt or seek was received, and not answered */
	uint64_t seek_from, seek_to;

	/* The batch: valid from SUBSCRIPTION_BATCH until
	 * subscription_committed. */
	uint64_t offset;      /* of its first event */
	struct event *events; /* owned; grows up to events_max */
	size_t count;
	size_t body_bytes;
	bool whole;
	bool again; /* it may have been sent before, to a stable sink */
	uint64_t generation; /* how often the position was moved before it */

	bool subscribed;
	uint64_t wanted; /* no batch may start below this offset */
	uint8_t *bytes;  /* owned; frames as they came */
	size_t bytes_cap, used;
	size_t events_cap;

	/*
	 * An order to retry or drop dead letters, which the owner has not
	 * answered with subscription_retried.
	 */
	struct {
		bool pending;
		bool is_new; /* the owner has not looked at it; it clears it */
		uint64_t id;
		enum frame_retry action;
		uint64_t committed;
		uint8_t *map; /* owned: the arguments */
		size_t map_bytes;
	} order;

	/* From batchd's error frame, after ERR_BATCHD_REFUSED. */
	enum frame_error error_code;
	char error_text[FRAME_TEXT_MAX + 1];
};

/*
 * Allocate for batches within limits.  A batch for a stable sink may have any
 * size that the limits had when it was cut.  name is the sink's; it is not
 * copied and must outlive s.  Returns 0 or -ENOMEM.
 */
MUST_USE int subscription_init(struct subscription *s, const char *name,
                               const struct subscription_limits *limits);
void subscription_fini(struct subscription *s);

/*
 * Connect and send hello.  subscription_step returns SUBSCRIPTION_WELCOME when
 * batchd has answered with welcome and stream, and SUBSCRIPTION_START when the
 * sink may work, which follows at once unless the sink is paused.
 */
MUST_USE int subscription_connect(struct subscription *s, const char *socket);

/*
 * Ask for batches from `position` on or, without one, from batchd's cursor.
 * `refused` is of the events below that.  The sink must have been started.
 */
MUST_USE int subscription_start(struct subscription *s, bool has_position,
                                uint64_t position,
                                const struct frame_refused *refused);

/*
 * Receive one frame.  Returns an enum subscription_event; -EAGAIN when there is
 * none; -EPIPE when batchd has closed the connection; ERR_BATCHD_REFUSED when
 * batchd refuses, see error_*.
 */
MUST_USE int subscription_step(struct subscription *s);

/*
 * Report the events below next_offset as committed, and what of them the store
 * has refused.  next_offset is in the batch, which stays valid, or it is the
 * same as in the last report.
 */
MUST_USE int subscription_report(struct subscription *s, uint64_t next_offset,
                                 const struct frame_refused *refused);

/*
 * Answer halt or seek: the store is closed, and has this position if that is
 * known.  `refused` is of the events below it, or without one, after a seek,
 * below seek_to.  Releases the batch and ends the subscription; start or seek
 * follows.
 */
MUST_USE int subscription_halted(struct subscription *s, bool has_position,
                                 uint64_t position,
                                 const struct frame_refused *refused);

/* The same for the whole batch: release it, and ask for the next one. */
MUST_USE int subscription_committed(struct subscription *s,
                                    uint64_t next_offset,
                                    const struct frame_refused *refused);

/*
 * Read what batchd sent before the connection broke, which a failed send has
 * not read.  Returns ERR_BATCHD_REFUSED if that was a refusal, else -EPIPE.
 */
MUST_USE int subscription_final_error(struct subscription *s);

/*
 * Ask for what is in the log now.  The answer is a batch or SUBSCRIPTION_EMPTY.
 */
MUST_USE int subscription_flush(struct subscription *s);

/*
 * Answer the order that is pending: with counts as a map, or with the reason
 * why it cannot be carried out.
 */
MUST_USE int subscription_retried(struct subscription *s, const char *why,
                                  const uint8_t *map, size_t bytes);

/*
 * Send a stats map.  Returns 1, or 0 if it was not sent because the socket is
 * full.
 */
MUST_USE int subscription_stats(struct subscription *s, const uint8_t *map,
                                size_t bytes);

/* Close the connection and release the batch.  May be called twice. */
void subscription_close(struct subscription *s);

#endif
