/*
 * sink - what a sink must provide, and the runtime that does the rest.
 *
 * A sink daemon is a blocking loop: receive a batch, write it, report it
 * committed.  The runtime (sink_main) does everything but the writing: it
 * connects and reconnects, resumes from the store's own position, retries
 * with back-off, bisects a batch that holds bad events or has the sink find
 * them, keeps the
 * dead-letter file, sends statistics, and handles signals.  A sink adds one
 * struct sink: a table of settings and a handful of functions.
 * docs/adding-a-sink.md walks through one.
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
	SINK_DONE,        /* stored durably, with its position */
	SINK_UNREACHABLE, /* store down, slow or restarting: try again for ever
	                   */
	SINK_MISCONFIGURED, /* store refuses for its set-up: the same, said
	                       plainly */
	SINK_REJECT,        /* the content of an event can never be stored */
	SINK_FENCED, /* another writer has moved the position: start anew */
};

/* Room for the statements that an operator has to run. */
#define SINK_ERROR_TEXT 1000

/*
 * The largest batch of any settings.  A stable sink may get one that was cut
 * before batch_events or batch_bytes were lowered: it comes again as it was.
 */
#define SINK_BATCH_EVENTS_MAX 1000000
#define SINK_BATCH_BYTES_MAX (16 * MIB)

/* How a call has ended; zeroed by the runtime before. */
struct sink_error {
	char text[SINK_ERROR_TEXT]; /* the store's words; no event content */
	char code[16];              /* the store's code, such as a SQLSTATE */
	/*
	 * With SINK_REJECT: for the dead letter instead of text, or empty.  It
	 * may quote the event, and is never logged.
	 */
	char dead_letter[SINK_ERROR_TEXT];
	/*
	 * With SINK_REJECT: 1 + index of the event that the store named, or
	 * 0.  A hint where to split; it is never trusted for setting aside.
	 */
	size_t bad_event;
	/*
	 * With SINK_UNREACHABLE, of write: the store may have failed because of
	 * how much it was given (a limit of time or memory).  When that goes
	 * on, the runtime writes less at once.
	 */
	bool too_much;
	/*
	 * With too_much, of a stable sink.  A half has another name, so what
	 * may be stored is not halved: when an earlier write of it has ended
	 * otherwise, or when this one may be stored all the same.  Unless the
	 * store forgets names: then a half is no worse than the whole.
	 */
	bool may_be_stored;
	bool forgets;
	/*
	 * With SINK_DONE: events of the batch that the store has by their id
	 * already, and that it did not store again.
	 */
	size_t duplicates;
};

/* Where an event stands in a log. */
struct origin {
	struct slice stream; /* the log's UUID as text */
	uint64_t offset;
};

/*
 * Events to store in one go.  Their offsets follow each other from `offset`.
 * After success the store's position for `stream` is next_offset; it was
 * `position` before.  The three differ where events were set aside or lost.
 * Where the offsets do not follow each other there are origins.
 * count may be 0: then only the position moves.
 */
struct batch {
	const char *stream; /* UUID of the log; also other names, see retry */
	uint64_t position;
	uint64_t offset;
	uint64_t next_offset;
	const struct event *events; /* valid until the call returns */
	size_t count;
	bool again; /* for the runtime: to a stable sink, it was sent before */
	/*
	 * NULL: event i has offset + i in stream.  Otherwise event i came from
	 * origins[i]: dead letters are retried, under a name of their own, or
	 * some events between offset and next_offset have dead letters and
	 * are not in the batch.
	 */
	const struct origin *origins;
};

/* What to do with a refused event when the dead letters have no room. */
enum sink_dead_full {
	DEAD_FULL_COUNT, /* count it, and go on */
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
	int64_t drain_ms; /* at SIGTERM, for what the log has by then */
};

/* Where a sink's probe reports the events that the store refuses. */
struct sink_refused {
	/* why->dead_letter, or else why->text, goes into the dead letter. */
	void (*on_event)(void *arg, size_t event, const struct sink_error *why);
	void *arg;
};

struct sink {
	const char *name; /* [a-z0-9-]; section and program are sinkd-<name> */
	const char *summary;         /* one line, for --help */
	const struct conf_key *keys; /* its own settings, added to ours */
	size_t conf_bytes;           /* size of the struct they fill */
	/*
	 * Further sections of its own, such as one of free pairs; may be NULL.
	 * `into` is set to the struct of conf_bytes.
	 */
	const struct conf_table *more;
	size_t more_count;
	size_t state_bytes;       /* of its state; zeroed before first open */
	const char *batch_events; /* defaults of the shared settings */
	const char *batch_wait_ms;
	bool stable; /* wants the same batches again after a crash */
	/*
	 * Asking for the position shuts out whoever else writes to that stream
	 * (Kafka's transactions): --retry-dead asks batchd instead, lest it
	 * disturb the sink at work.
	 */
	bool position_fences;

	/*
	 * Checks across settings, and with --check of the files that they name
	 * (conf_check_file); may be NULL.  Returns 0, or -EINVAL after saying
	 * with conf_refuse what is wrong.
	 */
	int (*check)(const struct conf_source *source, const void *conf);

	/*
	 * Connect and check the set-up.  After anything but SINK_DONE, and
	 * after a later failure, the runtime calls close and, when its
	 * back-off has passed, open again.  A write that ends in SINK_REJECT
	 * is no failure: the state stays open and the next write follows.
	 */
	enum sink_result (*open)(void *state, const struct sink_common *common,
	                         const void *conf, struct sink_error *error);

	/*
	 * The next offset of `stream` that the store wants.  *found stays
	 * false when it remembers none.
	 */
	enum sink_result (*position)(void *state, const char *stream,
	                             bool *found, uint64_t *next_offset,
	                             struct sink_error *error);

	/*
	 * Store the whole batch and its position together, or nothing.  After
	 * SINK_UNREACHABLE, SINK_MISCONFIGURED and SINK_FENCED the runtime asks
	 * position what has become of the batch, so a write whose end is not
	 * known is SINK_UNREACHABLE.
	 */
	enum sink_result (*write)(void *state, const struct batch *batch,
	                          struct sink_error *error);

	/*
	 * Find all events of a batch that the store refuses for their content,
	 * in a few round trips where bisecting takes some for each of them.
	 * May be NULL.  Called after write has rejected the batch.  It leaves
	 * nothing in the store.  Once the answer is certain, it calls
	 * refused->on_event for each of them, in order: those that the store
	 * would refuse after it has taken the others that come before them.
	 *
	 * Returns SINK_DONE, with the number of events from the first on that
	 * have been looked at in *looked: 0 when it cannot tell, and then the
	 * batch is bisected.  Otherwise returns as write does, but never
	 * SINK_REJECT.
	 */
	enum sink_result (*probe)(void *state, const struct batch *batch,
	                          const struct sink_refused *refused,
	                          size_t *looked, struct sink_error *error);

	/* Let go of everything; state may be half open or closed already. */
	void (*close)(void *state);
};

/* Run the sink until SIGTERM.  Returns the exit status for main. */
int sink_main(int argc, char **argv, const struct sink *sink);

#endif
