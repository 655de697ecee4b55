/*
 * session - a sink at work: connected to batchd, from the store's position on,
 * batch after batch, until a stop.
 *
 * Only session_change_state moves it from one of these states to another.
 *
 *	        start, or the wait is over
 *	                   |
 *	              CONNECTING
 *	                   | welcome
 *	                HALTED
 *	                   | start
 *	             OPENING_STORE
 *	                   | position, subscribed
 *	                   v
 *	  SIGTERM      RECEIVING <--+
 *	     +-------------+        |
 *	     |             | batch  | committed
 *	     |             v        |
 *	     |         DELIVERING --+
 *	     |             ^        |
 *	     |             | batch  | committed
 *	     |             |        v
 *	     +--------> DRAINING ---+
 *	                   | nothing is left, or drain_ms have passed
 *	                STOPPED
 *
 * After batchd's halt the session goes from any state in which it works to
 * HALTED.  After seek it goes from there to SEEKING and back.
 *
 * If batchd is unreachable, refuses the sink or closes the connection, the
 * session goes to BACKING_OFF, and from there to CONNECTING when the wait is
 * over.  If another writer has moved the position, it goes to FENCED, and from
 * there to CONNECTING.  A stop also ends each wait.
 *
 * While the store is unreachable, the session waits in OPENING_STORE or in
 * DELIVERING: deliver.c repeats the call with a back-off.  If batchd does not
 * know the sink, the session ends in SWITCHED_OFF instead of BACKING_OFF.
 */
#ifndef LIBSINK_SESSION_H
#define LIBSINK_SESSION_H

#include "libsink/deliver.h"
#include "libsink/dlq_retry.h"
#include "libsink/reporting.h"
#include "libsink/sink_conf.h"
#include "libsink/subscription.h"

enum session_state {
	SESSION_CONNECTING,    /* to batchd, up to its welcome */
	SESSION_HALTED,        /* the store is closed until batchd's start */
	SESSION_SEEKING,       /* moving the store's position */
	SESSION_OPENING_STORE, /* and asking for its position */
	SESSION_RECEIVING,     /* waiting for the next batch */
	SESSION_DELIVERING,    /* writing a batch to the store */
	SESSION_DRAINING,      /* receiving what is left, after SIGTERM */
	SESSION_BACKING_OFF,   /* batchd is unreachable, or refuses the sink */
	SESSION_FENCED,        /* another writer has moved the position */
	SESSION_SWITCHED_OFF,  /* [batchd] sinks does not name the sink */
	SESSION_STOPPED,
};

struct session {
	enum session_state state; /* session_change_state alone sets it */
	struct sink_conf *settings;
	struct subscription subscription;
	struct deliver deliver;
	struct dlq_file dlq;
	struct dlq_retry retry;
	/* A retry that was interrupted was looked for on this connection. */
	bool retry_resumed;
	struct stats stats;
	struct reporting reporting;
	bool has_position; /* what the store has is known: position */
	uint64_t position;
	uint64_t drain_until_ms; /* 0: not draining */
	uint64_t ready_ms;       /* 0: not ready yet on this connection */
	uint64_t parted;         /* events of the batch below it are reported */
	unsigned failures;       /* connections in a row that led to nothing */
	int why;                 /* what ended the last connection */
	uint64_t delay_ms;       /* the wait after it */
	struct log_limit unreachable_limit;
};

/* Returns 0 or -errno.  Call session_fini in either case. */
MUST_USE int session_init(struct session *s, struct sink_conf *settings);
void session_fini(struct session *s);

/*
 * Deliver events until a stop is requested, or until batchd answers that it has
 * no sink of this name.  Any other failure is logged, and the session goes on
 * after a delay.
 */
void session_run(struct session *s);

#endif
