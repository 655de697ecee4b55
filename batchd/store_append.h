/*
 * store_append - add records to the log: group commit.
 *
 * Records are collected in one group while the group before is written.  One
 * write and one sync then make a whole group durable, so that the rate of
 * events does not depend on how long a sync takes.
 *
 * The work that blocks is split into three: store_append_begin (main thread:
 * take the group), store_append_run (any thread: touch only the disk), and
 * store_append_end (main thread: use the result).  At most one append is
 * between begin and end at any time.
 */
#ifndef BATCHD_STORE_APPEND_H
#define BATCHD_STORE_APPEND_H

#include "batchd/store_state.h"

/*
 * Where to write the body of the next record: FRAME_BODY_MAX bytes, with
 * FRAME_APPEND_HEADER writable bytes before them.  NULL when there is no room
 * now.  Valid until the next call of a function of this header.
 */
uint8_t *store_append_buffer(struct store *s);

/*
 * Append the record whose body was written to store_append_buffer.  Returns
 * the offset of its first event.
 */
uint64_t store_append(struct store *s, uint32_t body_bytes, uint32_t count,
                      int64_t now_us);

/*
 * Make the spare the segment that the filling group starts.  Call only when a
 * spare is ready and the group is empty.
 */
void store_append_roll(struct store *s);

/* Return true if there is no room until segments are deleted. */
bool store_is_full(const struct store *s);

/*
 * Return true if senders may begin new requests.  False in the last half
 * segment of a log that is filling up, which is reserved for requests that are
 * already on their way when ingestd learns of it, so that these are kept as a
 * whole.
 */
bool store_accepts_requests(const struct store *s);

/*
 * Return true if there is something to write, or if the interval's sync is
 * due.  store_append_run and store_append_end must then follow.
 */
MUST_USE bool store_append_begin(struct store *s, int64_t now_us);

/* Returns 0 or the -errno of a write or a sync. */
MUST_USE int store_append_run(struct store *s);

/*
 * Call only after store_append_run has succeeded, because a failed write or
 * sync must end the daemon (I2).  Returns 0 or -ENOMEM.
 */
MUST_USE int store_append_end(struct store *s, int64_t now_us);

#endif
