/*
 * peer - one connection to batchd: what it may say when, and what it is
 * owed.
 *
 * The server owns the peers and their polling.  A peer's frame comes in
 * through peer_read; what is owed goes out through peer_flush, which the
 * server calls when the socket can be written and when something new is
 * owed.  Main thread only.
 */
#ifndef BATCHD_PEER_H
#define BATCHD_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "batchd/ack_queue.h"
#include "batchd/consumer.h"
#include "libbase/buf.h"
#include "libproto/chan.h"
#include "libproto/report.h"

struct server;

enum peer_state {
	PEER_HELLO,      /* nothing said yet */
	PEER_INGEST,     /* appends */
	PEER_SINK,       /* has not subscribed */
	PEER_SUBSCRIBED, /* takes batches */
	PEER_CONTROL,    /* asks */
	PEER_CLOSING,
};

struct peer {
	uv_poll_t poll; /* data: this peer */
	struct server *server;
	struct chan chan;
	enum peer_state state;
	enum frame_role role;
	char name[FRAME_NAME_MAX + 1];
	uint64_t pid;          /* as hello said */
	uid_t uid;             /* as the kernel says */
	uint64_t connected_ms; /* monotonic */
	int poll_events;       /* events that poll waits for now */
	bool blocked;          /* the socket is full: wait until writable */
	bool done_this_turn;   /* no more of its frames in this turn */
	bool has_report;       /* statistics have come */
	struct report report;  /* the last of them */
	struct buf reply;      /* a reply that did not fit the socket */

	/* ingest */
	struct ack_queue acks; /* frames that are not acknowledged */
	bool intake_sent, intake_open;
	bool status_due; /* once a second */

	/* sink */
	struct consumer *consumer; /* borrowed; NULL before hello */
};

/*
 * Receive and handle one frame.  Returns 0; -EAGAIN when there is none, or
 * no room for one; or -errno: the peer must be closed, and knows why.
 *
 * A question or a report costs more than its bytes say.  After one of them the
 * peer is `done_this_turn`, and not read until the next turn, so that peers
 * that send as many as they can do not hold up the others.
 */
MUST_USE int peer_read(struct peer *p);

/* Send what is owed.  Returns 0, -EAGAIN (socket full), or -errno. */
MUST_USE int peer_flush(struct peer *p);

/*
 * While the log has no place, an ingestd's events are not read; but read its
 * statistics, as far as no events are before them in the socket.  Returns as
 * peer_read.
 */
MUST_USE int peer_read_stats(struct peer *p);

/*
 * Read one frame of a peer that has disconnected.  A report is counted; any
 * other frame is skipped, since its answer could not be sent.  Returns 0, or
 * -errno when there are no more frames.
 */
MUST_USE int peer_read_last(struct peer *p);

/* Whether something waits to be read. */
bool peer_has_sent(const struct peer *p);

/* Whether frames should be read from it now. */
bool peer_may_read(const struct peer *p);

const char *peer_state_name(enum peer_state state);

#endif
