/*
 * sink - what a sink must provide, and the runtime that does the rest.
 *
 * A sink daemon is a blocking loop: receive a batch, write it, report it as
 * committed.  The runtime (sink_main) does everything but the writing.  It
 * connects and reconnects, resumes from the store's own position, retries with
 * a back-off, finds bad events by bisection or by the sink's probe, keeps the
 * dead-letter file, sends statistics, and handles signals.  A sink adds one
 * struct sink: a table of settings and a few functions.  docs/adding-a-sink.md
 * explains one step by step.
 *
 * sink_main calls the functions from one thread, one at a time.  They may
 * block, but never longer than common->timeout_ms for one operation.
 */
#ifndef LIBSINK_SINK_H
#define LIBSINK_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/conf.h"
#include "libproto/event.h"

enum sink_result {
	/* The events are stored durably, and the position with them. */
	SINK_DONE,
	/*
	 * The store cannot be reached, is slow or is restarting.  The runtime
	 * closes the state, waits, opens it again and retries, for ever.
	 */
	SINK_UNREACHABLE,
	/*
	 * The store refuses because of its configuration, which an operator
	 * must change.  The runtime retries as after SINK_UNREACHABLE; the
	 * status shows `misconfigured` and the error text.
	 */
	SINK_MISCONFIGURED,
	/*
	 * The store refuses the content of an event, whenever it comes.  The
	 * runtime bisects the batch and dead-letters that event.
	 */
	SINK_REJECT,
	/*
	 * Another writer has moved the position.  The runtime asks for the
	 * position and, unless that is the end of this batch, starts again
	 * from there.
	 */
	SINK_FENCED,
};

/* Long enough for the statements that an operator has to run. */
#define SINK_ERROR_TEXT 1000

/*
 * The largest batch that any settings allow.  A stable sink may receive a batch
 * that was cut before batch_events or batch_bytes were lowered, since it is
 * sent again unchanged.
 */
#define SINK_BATCH_EVENTS_MAX 1000000
#define SINK_BATCH_BYTES_MAX (16 * MIB)

/* Details of the result of a call.  The runtime zeroes it before the call. */
struct sink_error {
	/* the store's error text, without content of events */
	char text[SINK_ERROR_TEXT];
	char code[16]; /* the store's code, such as a SQLSTATE */
	/*
	 * With SINK_REJECT: the text for the dead letter, if it is not `text`.
	 * It may quote the event, and is never logged.
	 */
	char dead_letter[SINK_ERROR_TEXT];
	/*
	 * With SINK_REJECT: 1 + index of the event that the store named, or 0.
	 * It is a hint where to split.  An event is dead-lettered only when the
	 * store has refused it alone.
	 */
	size_t bad_event;
	/*
	 * With SINK_UNREACHABLE from write: the store may have failed because
	 * of the size of the batch (a limit of time or memory).  If the failure
	 * repeats, the runtime writes fewer events at once.
	 */
	bool too_much;
	/*
	 * With too_much, for a stable sink.  A half of a batch has other
	 * offsets, so the store does not recognize it as a repetition.  The
	 * runtime therefore does not halve a batch that may be stored: one
	 * whose earlier write ended with an unknown result, or for which this
	 * write sets may_be_stored.  If the store forgets what it has stored
	 * (`forgets`), the batch is halved in any case, since writing all of it
	 * again would be no better.
	 */
	bool may_be_stored;
	bool forgets;
	/*
	 * With SINK_DONE: the number of events of the batch that the store has
	 * already, by their id, and did not store again.
	 */
	size_t duplicates;
};

/* Format error->text.  Returns `result`. */
enum sink_result sink_fail(struct sink_error *error, enum sink_result result,
                           const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Where an event is in a log. */
struct origin {
	struct slice stream; /* the log's UUID as text */
	uint64_t offset;
};

/*
 * Events to store together.  Their offsets are consecutive from `offset`, if
 * there are no origins.  After success the store's position for `stream` is
 * next_offset; before, it was `position`.  The three differ where events were
 * dead-lettered or lost.  count may be 0: then only the position moves.
 */
struct batch {
	/* UUID of the log; a retry of dead letters uses other names */
	const char *stream;
	uint64_t position;
	uint64_t offset;
	uint64_t next_offset;
	const struct event *events; /* valid until the call returns */
	size_t count;
	/* for the runtime: to a stable sink, it may have been sent before */
	bool again;
	/*
	 * How often an operator has moved the position in the stream.  A store
	 * that recognizes a repeated batch by its offsets must store a batch of
	 * another generation again.
	 */
	uint64_t generation;
	/*
	 * If NULL, event i has offset + i in stream.  Otherwise event i has
	 * origins[i].  That is so when dead letters are retried, under a stream
	 * name of their own, and when some events between offset and
	 * next_offset have dead letters and are not in the batch.
	 */
	const struct origin *origins;
};

/* What to do with a refused event when the dead letters have no room. */
enum sink_dead_full {
	DEAD_FULL_COUNT, /* only count it */
	DEAD_FULL_WAIT,  /* wait for an operator */
};

/* Settings that every sink has, from [leat] and its own section. */
struct sink_common {
	char *socket;
	int64_t batch_events;
	int64_t batch_bytes;
	int64_t batch_wait_ms;
	int64_t timeout_ms; /* of one operation on the store */
	int64_t retry_min_ms;
	int64_t retry_max_ms;
	char *dead_dir;
	int64_t dead_max_bytes;
	int dead_full;    /* enum sink_dead_full */
	int64_t drain_ms; /* after SIGTERM, for what is in the log by then */
};

/* Where a sink's probe reports the events that the store refuses. */
struct sink_refused {
	/* why->dead_letter, or else why->text, goes into the dead letter. */
	void (*on_event)(void *arg, size_t event, const struct sink_error *why);
	void *arg;
};

/* Which figures of a struct sink_count a store could tell. */
enum {
	COUNT_DISTINCT = 1 << 0,
	COUNT_BELOW = 1 << 1,
	COUNT_POSITION = 1 << 2,
};

/* What a store has of one log. */
struct sink_count {
	/* The request: UUID of the log, and what batchd has committed. */
	char stream[64];
	uint64_t upto;

	uint64_t rows; /* of this log, as far as the store can tell */
	unsigned has;  /* COUNT_* */
	/* DISTINCT: the same, with what is stored twice counted once */
	uint64_t distinct;
	/*
	 * BELOW: number of offsets from `from` to upto that the store has.
	 * `from` is 0 unless the store has removed old events by itself.
	 */
	uint64_t below, from;
	/* POSITION: the store's position when the rows were counted */
	uint64_t position;
	/* of the rows, at most so many may be of other logs */
	uint64_t others;
	bool unique_ids; /* an id that came before is not stored again */
	/* what the store cannot tell, and why; or empty */
	char note[SINK_ERROR_TEXT];
};

struct sink {
	const char *name; /* [a-z0-9-]; section and program are sinkd-<name> */
	const char *summary; /* one line, for --help */
	/* its own settings, in addition to the shared ones */
	const struct conf_key *keys;
	size_t conf_bytes; /* size of the struct they fill */
	/*
	 * Further sections of its own, such as one of free pairs; may be NULL.
	 * `into` is set to the struct of conf_bytes.
	 */
	const struct conf_table *more;
	size_t more_count;
	/* of its state; zeroed before the first open */
	size_t state_bytes;
	const char *batch_events; /* defaults of the shared settings */
	const char *batch_wait_ms;
	bool stable; /* must get the same batches again after a crash */

	/*
	 * Checks across settings, and with --check of the files that they name
	 * (conf_check_file); may be NULL.  Returns 0, or -EINVAL after
	 * conf_refuse was called with what is wrong.
	 */
	int (*check)(const struct conf_source *source, const void *conf);

	/*
	 * Connect and check the configuration of the store.  After any result
	 * but SINK_DONE, and after a later failure, the runtime calls close,
	 * waits, and calls open again.  SINK_REJECT from write is no failure:
	 * the state stays open, and the next write follows.
	 */
	enum sink_result (*open)(void *state, const struct sink_common *common,
	                         const void *conf, struct sink_error *error);

	/*
	 * Set *next_offset to the next offset of `stream` that the store needs.
	 * The first stream that is asked for after open is that of the log.
	 * When dead letters are retried, batches of another stream, with a
	 * position of its own, come between those of the log.
	 * *found stays false if the store remembers none; the runtime then
	 * starts at batchd's cursor.
	 */
	enum sink_result (*position)(void *state, const char *stream,
	                             bool *found, uint64_t *next_offset,
	                             struct sink_error *error);

	/*
	 * Store the whole batch and its position together, or nothing.  After
	 * SINK_UNREACHABLE, SINK_MISCONFIGURED and SINK_FENCED the runtime
	 * calls position to find out whether the batch was stored.  So return
	 * SINK_UNREACHABLE if the result of a write is unknown.
	 */
	enum sink_result (*write)(void *state, const struct batch *batch,
	                          struct sink_error *error);

	/*
	 * Find all events of a batch that the store refuses for their content,
	 * in a few round trips where bisection takes several for each of them.
	 * May be NULL.  Called after write has rejected the batch.
	 *
	 * It must leave nothing in the store.  When the result is certain, it
	 * calls refused->on_event for each of these events, in order: the ones
	 * that the store would refuse after it has accepted the others before
	 * them.
	 *
	 * Returns SINK_DONE, with *looked set to the number of events, from the
	 * first on, that were checked.  *looked is 0 if the probe cannot tell;
	 * the batch is bisected then.  Otherwise returns as write does, but
	 * never SINK_REJECT.
	 */
	enum sink_result (*probe)(void *state, const struct batch *batch,
	                          const struct sink_refused *refused,
	                          size_t *looked, struct sink_error *error);

	/*
	 * Look at the store with the code of open, and report what was found
	 * with finding_print (finding.h): whether it responds, whether it has
	 * what the sink needs, and what would become dead letters or be lost.
	 * May be NULL.  Called in place of open, and followed by close.  It
	 * must write nothing and must not disturb a sink that is at work.
	 * `stream` is the UUID of the log, or NULL if there is no log yet.
	 */
	void (*check_store)(void *state, const struct sink_common *common,
	                    const void *conf, const char *stream);

	/*
	 * Count the events in the store, under the same rules.  May be NULL.
	 * It must use little memory, however much there is to count, and end
	 * within a few times common->timeout_ms.  Returns SINK_DONE, or another
	 * result with error->text.
	 */
	enum sink_result (*count)(void *state, const struct sink_common *common,
	                          const void *conf, struct sink_count *count,
	                          struct sink_error *error);

	/* Release everything.  The state may be half open or closed already. */
	void (*close)(void *state);
};

/* Run the sink until SIGTERM.  Returns the exit status for main. */
int sink_main(int argc, char **argv, const struct sink *sink);

#endif
