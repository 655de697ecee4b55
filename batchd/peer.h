/*
 * peer - one connection to batchd: which frames it may send when, and what
 * batchd owes it.
 *
 * A peer is in one of these states.  Only peer_change_state moves it.
 *
 *	                     (connected)
 *	                          |
 *	                          v
 *	     +----------------- HELLO ----------------+
 *	     | hello,             | hello,            | hello, role control
 *	     | role ingest        | role sink         | or tail
 *	     v                    v                   v
 *	  INGEST                SINK            CONTROL, TAIL
 *	     |                    | start is sent     |
 *	     |                    v                   |
 *	     |                 STARTED                |
 *	     |                    | subscribe         |
 *	     |                    v                   |
 *	     |                SUBSCRIBED              |
 *	     |                    | halt is sent      |
 *	     |                    v                   |
 *	     |                 HALTING                |
 *	     |                    | halted: to SINK   |
 *	     +---------+----------+---------+---------+
 *	               |                    |
 *	               | disconnects,       | breaks the protocol,
 *	               | or the call fails  | is refused or evicted
 *	               v                    v
 *	                       CLOSING
 *
 * A peer in HELLO can go to CLOSING too.  A sink in STARTED can go to HALTING,
 * and one in SINK to SEEKING when seek is sent, and from there back to SINK
 *when it answers halted.  What a peer may send:
 *
 *	HELLO       hello
 *	INGEST      append
 *	STARTED     subscribe
 *	SUBSCRIBED  committed, flush
 *	HALTING     halted, and what STARTED and SUBSCRIBED allow
 *	SEEKING     halted
 *	TAIL        watch
 *	all but HELLO and CLOSING also: stats, control
 *
 * Any other frame is answered with an error frame, and the connection closes.
 *
 * A peer knows nothing of the event loop.  connections.c owns the peers and
 * waits for their sockets.  It calls peer_read (peer_input.h) when a socket can
 * be read, and the server calls peer_flush once in each turn of the loop.  All
 * functions are called from the main thread.
 */
#ifndef BATCHD_PEER_H
#define BATCHD_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "batchd/ack_queue.h"
#include "batchd/broker.h"
#include "batchd/tail.h"
#include "libproto/chan.h"
#include "libproto/report.h"

/* Longest map in a reply but that of the status. */
#define PEER_REPLY_MAX 256

enum peer_state {
	PEER_HELLO,      /* it has sent no hello yet */
	PEER_INGEST,     /* an ingestd: it sends events */
	PEER_SINK,       /* a sink that waits for start: its store is closed */
	PEER_STARTED,    /* a sink that has not subscribed yet */
	PEER_SUBSCRIBED, /* a sink that takes batches */
	PEER_HALTING,    /* a sink that was sent halt */
	PEER_SEEKING,    /* a sink that was sent seek */
	PEER_CONTROL,    /* a command, such as leat status */
	PEER_TAIL,       /* it watches events: leat tail, the dashboard */
	PEER_CLOSING,    /* its socket is closed; peer_fini must follow */
};

/* The reply to a control frame, which peer_flush sends. */
enum peer_reply {
	PEER_REPLY_NONE,
	PEER_REPLY_STATUS,
	PEER_REPLY_AWAITED, /* an order is in progress: peer_reply follows */
	PEER_REPLY_READY,   /* reply_text and reply_map */
};

struct peer {
	struct broker *broker; /* borrowed */
	struct chan chan;
	enum peer_state state;
	enum frame_role role; /* from hello; before that ROLE_CONTROL */
	char name[FRAME_NAME_MAX + 1]; /* from hello; before that empty */
	uint64_t pid;                  /* from hello: not verified */
	uid_t uid;                     /* from the kernel */
	uint64_t connected_ms;         /* on the monotonic clock */
	bool blocked; /* the socket is full: send nothing until it is not */
	bool done_this_turn;  /* read no more of it in this turn of the loop */
	bool has_report;      /* it has sent statistics */
	struct report report; /* the latest of them */
	enum peer_reply reply;
	uint64_t reply_id;                   /* of the control frame */
	char reply_text[FRAME_TEXT_MAX + 1]; /* not empty: a refusal */
	uint8_t reply_map[PEER_REPLY_MAX];
	size_t reply_map_bytes;

	/* For an ingestd. */
	struct ack_queue acks;         /* appends not acknowledged yet */
	bool intake_sent, intake_open; /* the latest intake frame */
	bool status_due;               /* the server sets it once a second */

	/* For a sink. */
	struct broker_sink *sink; /* borrowed; NULL before hello */

	/* For a tail. */
	struct tail *tail; /* owned; NULL before hello */
};

/*
 * Move the peer to another state, do what belongs to entering it, and log it.
 * Nothing else changes a peer's state.
 */
void peer_change_state(struct peer *p, enum peer_state state);

/* A connection that was accepted: fd, which the peer owns now, is of `uid`. */
void peer_init(struct peer *p, struct broker *b, int fd, uid_t uid);

/*
 * Enter PEER_CLOSING and log why: -errno of a call, -EPIPE when the peer has
 * disconnected, -ECONNABORTED when that was logged already.  The socket stays
 * open, so that the event loop can forget it first.  Does nothing in
 * PEER_CLOSING.
 */
void peer_close(struct peer *p, int why);

/*
 * Send an error frame with the reason, if the socket takes it, and log the
 * reason.  Returns -ECONNABORTED, for the caller to return.
 */
int peer_refuse(struct peer *p, enum frame_error code, const char *text);

/* Free the memory.  The peer must be in PEER_CLOSING. */
void peer_fini(struct peer *p);

/*
 * Send what batchd owes the peer.  If the reply is PEER_REPLY_STATUS, or
 * status_due is set, the caller must have updated broker->status.  Returns 0,
 * -EAGAIN when the socket is full, or another -errno, with which the caller
 * must peer_close.
 */
MUST_USE int peer_flush(struct peer *p);

/*
 * Answer the control frame that the peer has sent: with a refusal if the text
 * is not empty, else with a map of at most PEER_REPLY_MAX bytes.
 */
void peer_reply(struct peer *p, const char *refusal, const uint8_t *map,
                size_t bytes);

/* Return true if the socket holds something that has not been read. */
bool peer_has_sent(const struct peer *p);

/* Return true if frames of the peer should be read now. */
bool peer_may_read(const struct peer *p);

const char *peer_state_name(enum peer_state state);

#endif
