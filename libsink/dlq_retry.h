/*
 * dlq_retry - write the dead letters that an operator has selected to the store
 * again, after the cause of the rejections was fixed; or drop them.
 *
 * The sink itself does it, in small steps between two batches of the log, so
 * that the log goes on.  The dead letters stay in the sink's file, where they
 * are found (I10), until each of them is dealt with:
 *
 *	IDLE
 *	  | an order
 *	  v
 *	SELECTING   copy the dead letters that match into the selection
 *	  | it is recorded (dlq_selection.h)
 *	  v
 *	DELIVERING  write them to the store, a batch in each step
 *	  | all are stored, or refused again
 *	  v
 *	REMOVING    write the sink's file without those that were stored
 *	  | the new file is in place, and the selection is removed
 *	  v
 *	IDLE
 *
 * A drop goes from SELECTING to REMOVING.  An operator's order is lost if the
 * sink ends in SELECTING.  After that, the next start goes on where it was:
 *
 * - The position in the selection's stream, which the store keeps, decides what
 *   is stored.  If the store has none, or has lost it, a file decides,
 *   `<sink>.<stream>.progress`, which is synced after each batch.  A
 *   stable sink writes the same batches again, since their size is recorded,
 *   too.
 * - A dead letter that the store refuses again is in
 *   `<sink>.<stream>.kept.ndjson` with the new reason, synced before the
 *   position moves past it.  It is not written again.
 * - What REMOVING has done it may do again: it looks for events, not for lines.
 *
 * The log and a stop wait for a batch.  So the first one is small, and the next
 * ones become larger as long as the store is fast.  Those of a stable sink all
 * have the recorded size.
 *
 * What fails because of the disk, or because the store does not take a batch
 * for timeout_ms, suspends the retry for retry_max_ms, and the log goes on.
 */
#ifndef LIBSINK_DLQ_RETRY_H
#define LIBSINK_DLQ_RETRY_H

#include "libproto/dlq_filter.h"
#include "libsink/deliver.h"
#include "libsink/dlq_piece.h"
#include "libsink/dlq_retry_progress.h"
#include "libsink/dlq_rewrite.h"
#include "libsink/dlq_selection.h"

enum dlq_retry_phase {
	DLQ_RETRY_IDLE,
	DLQ_RETRY_SELECTING,
	DLQ_RETRY_DELIVERING,
	DLQ_RETRY_REMOVING,
};

struct dlq_retry_order {
	enum dlq_action action;
	struct dlq_filter filter;
	/*
	 * The log may send the events from here on again.  Their dead letters
	 * are not selected.
	 */
	uint64_t below;
	/*
	 * To be retried in place of the event of the dead letter, of which one
	 * may match; or NULL.  Valid until dlq_retry_order returns.
	 */
	const struct event *event;
};

/* What has become of an order.  All but the first are numbers of them. */
struct dlq_retry_result {
	char text[FRAME_TEXT_MAX + 1]; /* why it failed; "" if it did not */
	uint64_t selected;
	uint64_t stored, kept, dropped; /* of these */
	/* They match, and are not selected: */
	uint64_t waiting;         /* the sink's position is not past them */
	uint64_t without_payload; /* there is nothing to retry */
	uint64_t more;            /* there were more than the limit */
	uint64_t damaged;         /* lines that are no dead letters */
};

struct dlq_retry {
	/* Set by dlq_retry_init. */
	struct deliver *deliver; /* not owned */
	/*
	 * Called after each write, and returns 0 or what ends the step: as
	 * deliver's `step`, for a batch that is not from the log.
	 */
	int (*on_write)(void *arg);
	void *arg;

	enum dlq_retry_phase phase; /* dlq_retry_change_phase sets it */
	uint64_t not_before_ms;     /* suspended until then */
	struct dlq_retry_result result;
	bool has_result; /* and the owner has not taken it */
	struct dlq_selection selection;
	/* The offset after the last selected dead letter of this log, or 0. */
	uint64_t own_end;
	struct log_limit limit;

	/* SELECTING */
	struct dlq_retry_order order;
	struct buf event_bytes; /* of order.event, packed */
	struct event event;
	struct dlq_lines from; /* the lines of the sink's file */
	int from_fd;           /* -1: not open */
	struct buf text;       /* of one line */

	/* DELIVERING */
	bool *is_kept;     /* owned; of each line */
	bool has_position; /* the next two are right */
	uint64_t line;     /* lines before it are dealt with */
	uint64_t line_at;  /* where it begins in the file */
	struct dlq_retry_progress progress;
	struct dlq_file kept;
	char progress_path[PATH_MAX];
	uint64_t until_ms;      /* when a step has taken long enough */
	struct dlq_piece piece; /* empty unless DELIVERING */
	size_t piece_events;    /* most events of the next one */
	uint64_t event_us;      /* what each event of the last one has taken */
	struct delivery_calls log_calls; /* the deliverer's own */

	/* REMOVING */
	struct dlq_rewrite rewrite;
};

/* Returns 0 or -errno.  d must be complete and outlive r. */
MUST_USE int dlq_retry_init(struct dlq_retry *r, struct deliver *d);
void dlq_retry_fini(struct dlq_retry *r);

/*
 * The stream of the log is `log`, which the file of dead letters follows, and
 * the lock is held: go on with a retry that was interrupted, if there is one.
 * A drop is completed at once.  What fails is logged.
 */
void dlq_retry_resume(struct dlq_retry *r, const char *log);

/* Return true if there is something left to do. */
bool dlq_retry_is_active(const struct dlq_retry *r);

/*
 * Return true if a step can be taken now.  All events of the log below
 * `position` are dealt with.  If the position was moved back, the retry of
 * events above it waits until the log has passed them.
 */
bool dlq_retry_is_due(const struct dlq_retry *r, uint64_t position);

/*
 * Accept an order.  Its end is reported in r->result.  Returns false, with the
 * reason in r->result.text, if another one is not finished, or the dead letters
 * cannot be read.
 */
bool dlq_retry_accept(struct dlq_retry *r, const struct dlq_retry_order *order);

/*
 * Do a bounded part of the work.  The store must have been opened by
 * deliver_start.  Returns 0, or what deliver's wait or step gave up with; then
 * the retry goes on after deliver_start.
 */
MUST_USE int dlq_retry_step(struct dlq_retry *r);

#endif
