/*
 * consumer - send the log to one sink, in batches.
 *
 * There is a consumer for each sink in the settings, whether the sink is
 * connected or not, because its cursor keeps the sink's events in the log.  One
 * batch at most is in flight (I8).  Consumers share nothing with each other, so
 * that a slow sink delays no other (I11).
 *
 * A consumer is in one of these states.  Only consumer_change_state, in
 * consumer.c, moves it.
 *
 *	         DISCONNECTED
 *	              | the sink subscribes
 *	              v
 *	  +------> WAITING <---------------------------------+
 *	  |           |                                      |
 *	  |           | a batch is due                       |
 *	  |           |                                      |
 *	  |           +--> PLANNING   (1)                    |
 *	  |           |        | the batch's end is found    |
 *	  |           |        v                             |
 *	  |           +--> SYNCING    (2)                    |
 *	  |           |        | the end is on disk          |
 *	  |           |        v                             |
 *	  |           +--> SENDING    (3) -------------------+
 *	  |                    |            all events of the batch are lost
 *	  |                    | the last frame was sent
 *	  |                    v
 *	  +-------------- IN_FLIGHT
 *	   the sink has committed the whole batch
 *
 * In every state the consumer goes to DISCONNECTED if the sink disconnects.
 *
 * From WAITING, a batch of a sink that wants stable batches starts at (1); or,
 * if its end was decided before, at (2) if the end is not on disk yet and else
 * at (3).  A batch of any other sink starts at (3).
 *
 * A stable batch has the same end whenever it is sent, even after a crash of
 * batchd.  A store that recognizes a repeated batch by its offsets relies on
 * that.  So its end is on disk, in the cursor, before its first frame is sent.
 *
 * All functions are called from the main thread.
 */
#ifndef BATCHD_CONSUMER_H
#define BATCHD_CONSUMER_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/position.h"
#include "batchd/reader.h"
#include "libproto/chan.h"

enum consumer_state {
	CONSUMER_DISCONNECTED, /* the sink has not subscribed */
	CONSUMER_WAITING,      /* for enough events, or for time */
	CONSUMER_PLANNING,     /* finding where a stable batch ends */
	CONSUMER_SYNCING,      /* the end of a stable batch is being synced */
	CONSUMER_SENDING,      /* frames of the batch are being sent */
	CONSUMER_IN_FLIGHT,    /* the sink has the whole batch */
};

/* A value of pending_since_ms: events are pending, for an unknown time. */
#define PENDING_SINCE_UNKNOWN 1

struct consumer {
	struct store *store; /* borrowed */
	struct position position;
	enum consumer_state state;

	/* As the sink has subscribed: */
	struct chan *chan; /* borrowed from the peer; NULL if DISCONNECTED */
	uint64_t max_events, max_bytes, wait_ms;
	bool stable;

	struct reader reader;
	struct reader_savepoint batch_start; /* where the reader began it */
	uint8_t *body;            /* owned: FRAME_BODY_MAX bytes, for chunk */
	struct batch_chunk chunk; /* the next one to send, if chunk_ready */
	bool chunk_ready;

	uint64_t batch_begin; /* of the batch, or of the next one */
	/*
	 * The batch ends here at the latest.  In SYNCING and IN_FLIGHT, and
	 * when a stable batch is in SENDING, it ends exactly here.
	 */
	uint64_t batch_end;
	uint64_t batch_bytes_left; /* of max_bytes */
	bool batch_resent;    /* stable: its end was decided before it began */
	bool flush_requested; /* the sink does not want to wait for more */

	/*
	 * The time at which a batch that is not full may begin: wait_ms after
	 * the one before it began; 0: at once.  So the first event after a
	 * pause is sent at once, and under load there is one batch in each
	 * wait_ms, which is as large as the load makes it.
	 */
	uint64_t next_batch_ms;

	/*
	 * For consumer_lag_ms: the time on the monotonic clock at which the
	 * first event after the batch became durable; 0: there is none.
	 */
	uint64_t pending_since_ms;
	/*
	 * On the wall clock: when batchd received the first event of the
	 * batch, or 0 if none of it was sent; and when it received the event
	 * at the cursor, or 0 if that is not known.
	 */
	int64_t batch_appended_us, oldest_pending_us;
};

/*
 * Open the consumer of the sink `name`, and its cursor if there is one.
 * Returns 0, ERR_OTHER_LOG for a cursor of another log, or -errno; the error
 * was logged.  consumer_close must follow either way.
 */
MUST_USE int consumer_open(struct consumer *c, struct store *store,
                           const char *name);

/*
 * Call once the log has started.  As position_start: makes a missing cursor.
 */
MUST_USE int consumer_start(struct consumer *c, bool newest);

void consumer_close(struct consumer *c);

/*
 * The sink subscribes over chan.  Returns as position_subscribe.  After
 * ERROR_NONE consumer_unsubscribe must be called before chan is closed.
 */
MUST_USE enum frame_error consumer_subscribe(struct consumer *c,
                                             struct chan *chan,
                                             const struct frame *subscribe,
                                             bool accept_gap,
                                             const char **text);

/* The sink has disconnected.  Its cursor remains. */
void consumer_unsubscribe(struct consumer *c);

/*
 * The sink has committed all events before next_offset, which may be a part of
 * the batch, and reports how many of the events below it the store has refused.
 * If next_offset is its position already, it only reports that.  Returns 0, or
 * -EPROTO if no such event is in flight.
 */
MUST_USE int consumer_commit(struct consumer *c, uint64_t next_offset,
                             const struct frame_refused *refused);

/*
 * The sink is halted.  If its store has the position `at`, it may have stored a
 * part of the batch in flight that it did not report.
 */
void consumer_halted(struct consumer *c, bool has_position, uint64_t at,
                     const struct frame_refused *refused);

/*
 * The sink has moved its store's position to the cursor's seek_to, or not, if
 * `refused` is NULL; see position_end_seek.  It is disconnected, or halted, and
 * subscribes again.
 */
void consumer_end_seek(struct consumer *c, const struct frame_refused *refused);

/* The sink wants the events that are there now, and not wait for more. */
void consumer_flush(struct consumer *c);

/* More events of the log have become durable. */
void consumer_log_grew(struct consumer *c, uint64_t now_ms);

/* The cursor was written. */
void consumer_cursor_written(struct consumer *c);

/*
 * Do one bounded piece of work.  Returns
 *
 *  - 1 when there is more to do at once;
 *  - 0 when the consumer has to wait for an event, for a commit, or until
 *    *wake_ms on the monotonic clock (UINT64_MAX: no time);
 *  - -EAGAIN when the socket is full;
 *  - another -errno, with which the peer must be closed.
 */
MUST_USE int consumer_step(struct consumer *c, uint64_t now_ms,
                           uint64_t *wake_ms);

/*
 * How long the oldest event that the sink has not committed has been pending,
 * in ms; 0 if there is none or if it is not known.  now_ms is on the monotonic
 * clock and now_us on the wall clock.
 */
uint64_t consumer_lag_ms(const struct consumer *c, uint64_t now_ms,
                         int64_t now_us);

/* The state as `leat status` shows it: PLANNING and SYNCING are "sending". */
const char *consumer_state_name(enum consumer_state state);

#endif
