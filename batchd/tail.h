/*
 * tail - send events of the log to one tail, which watches them and commits
 * nothing.
 *
 * A tail costs the sinks and the senders as little as possible:
 *
 *  - It holds no segment.  When the events that it would read next are deleted,
 *    it skips them and is sent a `skipped` frame.
 *  - One call of tail_step does one small piece of work: it searches a part of
 *    a segment, or sends one frame.  The server lets one tail do one step in a
 *    turn of the loop, and only if no sink has work left in that turn.
 *  - While sinks always have work, a live tail still does one step in each
 *    TAIL_LIVE_SHARE_MS and another one in each TAIL_HISTORY_SHARE_MS.  A step
 *    reads one frame at most, so this bounds what a tail costs at full load.
 *  - While more than TAIL_BUSY_INTAKE_BYTES_PER_S are appended, all tails
 *    together are sent no more than TAIL_BUSY_BYTES_PER_S, in equal shares, so
 *    that they take little of the CPU that senders and sinks need then.
 *  - The socket is the only buffer, apart from one frame that was read.
 *
 * A *live* tail must always show new events, so it skips events rather than
 * lag.  It is moved ahead to the newest group of events if its lag is more than
 * TAIL_LIVE_LAG_BYTES; or more than one frame, when bytes_per_s or the work of
 * the sinks and not its reader held it back.
 *
 * A tail is in one of these states.  Only tail_change_state, in tail.c, moves
 * it.
 *
 *	   +--> IDLE <------------------------+
 *	   |      | watch                     | `events` were sent
 *	   |      v                           |
 *	   |   SEEKING <----+                 |
 *	   |      |         | moved ahead,    |
 *	   |      v         | or deleted      |
 *	   |   SEARCHING ---+                 |
 *	   |      |         |                 |
 *	   |      v         |                 |
 *	   |   READING -----+<----------------+
 *	   |      | a frame |                 |
 *	   |      v was read|                 | it was sent
 *	   |   SENDING -----+-----------------+
 *
 * A watch leads from every state to SEEKING.
 *
 * All functions are called from the main thread.
 */
#ifndef BATCHD_TAIL_H
#define BATCHD_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/reader.h"
#include "libproto/chan.h"

#define TAIL_LIVE_LAG_BYTES (64 * MIB)
#define TAIL_LIVE_SHARE_MS 100
#define TAIL_HISTORY_SHARE_MS 1000
#define TAIL_BUSY_INTAKE_BYTES_PER_S (32 * MIB)
#define TAIL_BUSY_BYTES_PER_S (2 * MIB)

enum tail_state {
	TAIL_IDLE,      /* nothing was asked for, or all of it was sent */
	TAIL_SEEKING,   /* the reader must be moved to `position` */
	TAIL_SEARCHING, /* the reader searches the record of `position` */
	TAIL_READING,   /* the next frame can be read */
	TAIL_SENDING,   /* a frame was read and must be sent */
};

struct tail {
	struct store *store; /* borrowed */
	struct chan *chan;   /* borrowed from the peer */
	enum tail_state state;

	/* As the latest watch asked: */
	bool live;
	bool has_end;         /* events_left counts */
	uint64_t events_left; /* of `events` */
	uint64_t bytes_per_s; /* 0: no limit */

	struct reader reader;
	struct reader_savepoint place; /* SEEKING: where the reader must go */
	uint8_t *body;                 /* owned: FRAME_BODY_MAX bytes */
	struct batch_chunk chunk;      /* SENDING: the events to send */

	/*
	 * Every event below `sent` was sent or reported as skipped.  `position`
	 * is the next event to read or, in SENDING, the first event of `chunk`.
	 * The events between them must be reported as skipped.
	 */
	uint64_t sent, position;

	/* The limit now: bytes_per_s, or less while the intake is busy. */
	uint64_t rate;
	uint64_t measured_ms;    /* when the intake was measured last, */
	uint64_t measured_bytes; /* and what was appended until then */
	bool busy;

	/*
	 * The token bucket of `rate`, in thousandths of a byte.  A frame may be
	 * sent while it is above 0, and can make it negative.
	 */
	int64_t tokens;
	uint64_t tokens_ms; /* when it was filled last */

	bool held_back;  /* by bytes_per_s, since the last frame */
	uint64_t due_ms; /* it has a step then even if sinks have work */
};

/*
 * A tail that has sent no watch yet; it sends frames over chan.  Returns 0 or
 * -ENOMEM.
 */
MUST_USE int tail_init(struct tail *t, struct store *store, struct chan *chan);
void tail_fini(struct tail *t);

/* Begin what the watch frame asks for instead of what the one before did. */
void tail_watch(struct tail *t, const struct frame *watch, uint64_t now_ms);

/*
 * Close the file of a segment that was deleted, since it uses space until then.
 * Call it in every turn of the loop, even if the tail's socket is full.
 */
void tail_release(struct tail *t);

/*
 * Do one bounded piece of work, if the tail may have one now.  sinks_idle means
 * that no sink has work left in this turn, and `tails` is how many tails there
 * are, at least 1.  Returns
 *
 *  - 1 when it did something; there may be more to do;
 *  - 0 when it has to wait for an event, for the sinks, or until *wake_ms on
 *    the monotonic clock (UINT64_MAX: no time);
 *  - -EAGAIN when the socket is full;
 *  - another -errno, with which the peer must be closed.
 */
MUST_USE int tail_step(struct tail *t, size_t tails, uint64_t now_ms,
                       bool sinks_idle, uint64_t *wake_ms);

#endif
