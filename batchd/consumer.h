/*
 * consumer - cut batches from the log for one sink, and send them.
 *
 * A consumer exists for each sink in the settings, connected or not: its cursor
 * holds the sink's events in the log.  One batch is in flight at a time (I8).
 * consumer_step does one bounded piece of work; the server calls it from its
 * loop.  Consumers share nothing with each other (I11).  Main thread only.
 */
#ifndef BATCHD_CONSUMER_H
#define BATCHD_CONSUMER_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/cursor.h"
#include "batchd/reader.h"
#include "libbase/log.h"
#include "libproto/chan.h"

enum consumer_state {
	CONSUMER_DISCONNECTED, /* no sink has subscribed */
	CONSUMER_WAITING,      /* for enough events, or for time */
	CONSUMER_PLANNING,     /* stable: finding where the batch ends */
	CONSUMER_SYNCING,      /* stable: that end is being made durable */
	CONSUMER_SENDING,      /* frames go out */
	CONSUMER_IN_FLIGHT,    /* the sink has the batch */
};

/* A value of pending_since_ms: events are pending, for an unknown time. */
#define PENDING_SINCE_UNKNOWN 1

struct consumer {
	struct store *store; /* borrowed */
	struct cursor cursor;
	struct chan *chan; /* borrowed from the peer; NULL when away */
	enum consumer_state state;
	uint64_t max_events, max_bytes, wait_ms;
	bool stable;

	struct reader reader;
	struct reader_savepoint batch_start; /* where the batch begins */
	uint8_t *body;                       /* FRAME_BODY_MAX bytes */
	struct batch_chunk chunk; /* in body, not sent yet, if built */
	bool chunk_ready;

	uint64_t batch_begin;      /* of the batch, or of the one to come */
	uint64_t batch_limit;      /* the batch ends here at the latest */
	uint64_t batch_bytes_left; /* of max_bytes */
	bool batch_resent;  /* stable: its end is of before this connection */
	uint64_t batch_end; /* behind the batch in flight */
	uint64_t
	    max_sent_offset;  /* a store can be so far: there, or sent, by us */
	bool flush_requested; /* the sink wants what is there, now */

	/*
	 * A batch that is not full is sent wait_ms after the start of the one
	 * before it.  So the first event after a pause goes at once, and under
	 * load there is one batch in each wait_ms, as large as the load makes
	 * it.
	 */
	uint64_t next_batch_ms; /* start of the next one; 0: at once */

	/* When the first event not in a batch became durable; 0: none is. */
	uint64_t pending_since_ms;
	int64_t batch_appended_us; /* wall clock of the first event in flight */
	int64_t
	    oldest_pending_us; /* of the event at the cursor; 0: not known */
	uint64_t batch_gap;    /* lost events before it, passed with it */
	uint64_t accepted_gap_from; /* with accept_gap: skipped from here on, */
	uint64_t accepted_gap_to; /* and accounted for; the same: nothing is */
	/* Of this log's events, says the sink: */
	uint64_t reported_dead;    /* those with a dead letter */
	uint64_t reported_dropped; /* those that had no room for one */
	bool has_report;
	struct log_limit rewinds; /* lines of stores that have gone back */

	/* Since the start of batchd. */
	uint64_t committed_events;
	struct histogram commit_times; /* of each, from durable to committed */
};

/*
 * Open or create the cursor of sink `name`.  A missing or damaged cursor
 * starts at the oldest event (I6), or at the newest if `newest`.  Returns 0,
 * ERR_OTHER_LOG (cursor of another log) or -errno, after saying why.
 */
MUST_USE int consumer_open(struct consumer *c, struct store *store,
                           const char *name);

/*
 * Before consumer_start: the operator goes on without the events that the log
 * no longer has, and so does the cursor.
 */
void consumer_accept_gap(struct consumer *c);

/* Once the log has started: create the cursor if there was none. */
MUST_USE int consumer_start(struct consumer *c, bool newest);

void consumer_close(struct consumer *c);

/*
 * A sink has subscribed over chan.  Returns ERROR_NONE; or the error to send
 * to it, with the text for it in *text.
 */
MUST_USE enum frame_error consumer_subscribe(struct consumer *c,
                                             struct chan *chan,
                                             const struct frame *subscribe,
                                             bool accept_gap,
                                             const char **text);

/* The sink is gone; its cursor stays. */
void consumer_unsubscribe(struct consumer *c);

/* Returns 0 or -EPROTO: nothing such was in flight. */
MUST_USE int consumer_commit(struct consumer *c, uint64_t next_offset);

/* The sink wants the events that are there now, and not wait for more. */
void consumer_flush(struct consumer *c);

/* The log's durable end has moved. */
void consumer_log_grew(struct consumer *c, uint64_t now_ms);

/* The cursor has been written. */
void consumer_cursor_written(struct consumer *c);

/* Whether the sink waits for its cursor to be written. */
static inline bool
consumer_awaits_cursor(const struct consumer *c)
{
	return c->state == CONSUMER_SYNCING;
}

/*
 * Do some work.  Returns 1 when there is more at once; 0 when an event, a
 * commit or *wake_ms (a time on the monotonic clock, UINT64_MAX for none)
 * must come first; -EAGAIN when the socket is full; or -errno: the peer must
 * be closed.
 */
MUST_USE int consumer_step(struct consumer *c, uint64_t now_ms,
                           uint64_t *wake_ms);

/*
 * The sink, or its --retry-dead, says how many of this log's events its dead
 * letters hold, and how many had no room there.
 */
void consumer_report_dead_letters(struct consumer *c, uint64_t letters,
                                  uint64_t dropped);

/*
 * Of the events below the sink's cursor: those in its store.  The others are
 * cursor.now.skipped, pending_dead_letters and dropped.
 */
uint64_t consumer_stored_events(const struct consumer *c);

/* Events that the sink is behind, and the age of the oldest of them. */
uint64_t consumer_lag_events(const struct consumer *c);
uint64_t consumer_lag_ms(const struct consumer *c, uint64_t now_ms,
                         int64_t now_us);

const char *consumer_state_name(enum consumer_state state);

#endif
