/*
 * peer_input - receive a peer's frames and do what they ask for.
 *
 * Which frames a peer may send in which state is in peer.h.  All functions are
 * called from the main thread.
 */
#ifndef BATCHD_PEER_INPUT_H
#define BATCHD_PEER_INPUT_H

#include "batchd/peer.h"

/*
 * Receive and handle one frame.  Returns 0; -EAGAIN when there is none, or when
 * the log has no room for an ingestd's events; or another -errno, with which
 * the caller must peer_close.
 *
 * A control frame or a report costs more work than its size suggests.  After
 * one of them the peer is done_this_turn and is not read until the next turn,
 * so that peers that send many of them cannot delay the others.
 */
MUST_USE int peer_read(struct peer *p);

/*
 * Receive and handle one report of an ingestd whose events cannot be received,
 * because the log has no room.  Returns as peer_read, with
 * -EAGAIN even if something else comes before the report.
 */
MUST_USE int peer_read_stats(struct peer *p);

/*
 * Read one frame of a peer that has disconnected.  A report is counted; any
 * other frame is skipped, since its answer could not be sent.  Returns 0, or
 * -errno when there are no more frames.
 */
MUST_USE int peer_read_last(struct peer *p);

#endif
