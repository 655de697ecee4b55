/*
 * cursor - the file that holds how far one sink is (docs/log-format.md).
 *
 * The file has two slots, which are written in turn, so that a torn write
 * leaves the previous state intact.
 *
 * The main thread owns the fields.  cursor_begin copies them for cursor_write,
 * which may run on any thread, and cursor_end makes that copy the durable one.
 */
#ifndef BATCHD_CURSOR_H
#define BATCHD_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/disk.h"
#include "batchd/segment.h"
#include "libbase/ranges.h"
#include "libproto/frame.h"

#define CURSOR_FILE_BYTES 4096
#define CURSOR_NO_BATCH UINT64_MAX
#define CURSOR_NO_SEEK UINT64_MAX
#define CURSOR_WHY_MAX 200 /* bytes */

/* An operator has paused the sink: it is sent nothing until the end. */
struct cursor_pause {
	int64_t since_us; /* wall clock; 0: the sink is not paused */
	int64_t until_us; /* wall clock; 0: until an operator resumes it */
	uint32_t uid;     /* of the operator */
	char why[CURSOR_WHY_MAX + 1]; /* the operator's reason; may be empty */
};

struct cursor_slot {
	uint64_t sequence;
	uint64_t committed;     /* the offset that the sink needs next */
	uint64_t in_flight_end; /* or CURSOR_NO_BATCH */
	/* Of the events below committed: */
	struct ranges skipped; /* never sent: before its start, or lost */
	/* Refused by the store, as the sink last reported: */
	uint64_t pending_dead_letters; /* dead letters that can be retried */
	uint64_t dropped;              /* there was no room for a dead letter */
	/*
	 * A rejected position, which the store reported although it is after
	 * the end of the log; 0 if none.  Events that the log appends below it
	 * later are other events than those that the store has.
	 */
	uint64_t rejected_position;
	struct cursor_pause pause;
	/*
	 * An operator moves the position there, or CURSOR_NO_SEEK.  Until that
	 * is done, the store has either this position or `committed`.
	 */
	uint64_t seek_to;
	/*
	 * How often an operator has moved the position.  A store that
	 * recognizes repeated events by their offsets stores those of another
	 * generation again.
	 */
	uint64_t generation;
	uint64_t replayed_events; /* that were committed more than once */
};

struct cursor {
	char name[FRAME_NAME_MAX + 1]; /* of the sink */
	uint8_t stream[STREAM_ID_BYTES];
	int file;                   /* -1 when closed */
	struct cursor_slot now;     /* as the sink reported last */
	struct cursor_slot writing; /* being written */
	struct cursor_slot durable; /* on disk; retention relies on it */
	bool busy;                  /* between begin and end */
	bool dirty;                 /* now is newer than the other two */
};

/*
 * The offset up to which, according to the slot, the sink may have been sent
 * events.  All of them were durable when they were sent.
 */
static inline uint64_t
cursor_max_sent_offset(const struct cursor_slot *slot)
{
	return slot->in_flight_end == CURSOR_NO_BATCH ? slot->committed
	                                              : slot->in_flight_end;
}

/* Name of the sink's file, "cursors/<sink>.cursor". */
#define CURSOR_PATH_BYTES (8 + FRAME_NAME_MAX + 7 + 1)
void cursor_path(const char *sink, char out[CURSOR_PATH_BYTES]);

/*
 * Return true, and set the name of the sink, if a name in cursors/ is a
 * cursor's.
 */
MUST_USE bool cursor_name_parse(const char *name,
                                char sink[FRAME_NAME_MAX + 1]);

/*
 * Open the cursor of `sink`; cursor_close must follow.  Returns 0; -ENOENT when
 * the sink has no cursor file; -EBADMSG when neither slot is valid;
 * ERR_OTHER_LOG when it is of another stream; or -errno.  On failure c is
 * closed.
 */
MUST_USE int cursor_open(struct cursor *c, struct disk *d, const char *sink,
                         const uint8_t stream[STREAM_ID_BYTES]);

/* Read the stream of the cursor of `sink`.  Returns 0 or as cursor_open. */
MUST_USE int cursor_stream(struct disk *d, const char *sink,
                           uint8_t stream[STREAM_ID_BYTES]);

/*
 * Create the file of `sink` at `committed`, or replace a damaged one.  Returns
 * 0 when it is durable, or -errno with c closed.
 */
MUST_USE int cursor_create(struct cursor *c, struct disk *d, const char *sink,
                           const uint8_t stream[STREAM_ID_BYTES],
                           uint64_t committed);

void cursor_close(struct cursor *c, struct disk *d);

/* Return the number of events that were skipped. */
uint64_t cursor_skipped(const struct cursor *c);

/*
 * Return true if all events from `from` up to committed were skipped, at least
 * one.
 */
bool cursor_has_skipped(const struct cursor *c, uint64_t from);

/* Return true if the skipped events are on disk. */
bool cursor_skips_are_durable(const struct cursor *c);

/* Skipped events from `committed` on are forgotten: they come again. */
void cursor_set(struct cursor *c, uint64_t committed, uint64_t in_flight_end);
/* Move on to `to`, and count the events before it as skipped. */
void cursor_skip(struct cursor *c, uint64_t to);
/* n of the events that were skipped last are not skipped. */
void cursor_unskip(struct cursor *c, uint64_t n);
void cursor_set_dead_letters(struct cursor *c, uint64_t pending_dead_letters,
                             uint64_t dropped);
void cursor_set_rejected_position(struct cursor *c, uint64_t rejected_position);
void cursor_set_pause(struct cursor *c, const struct cursor_pause *pause);
void cursor_set_seek(struct cursor *c, uint64_t seek_to);
void cursor_set_replay(struct cursor *c, uint64_t generation,
                       uint64_t replayed_events);

/*
 * Have the cursor written even if nothing has changed.  Returns the sequence
 * number of that write: when durable.sequence has reached it, all that was set
 * before is on disk.
 */
uint64_t cursor_want_write(struct cursor *c);

/* Return true if the cursor is as cursor_create left it. */
MUST_USE bool cursor_is_new(const struct cursor *c);

/*
 * Return true if there is something to write and no write is under way.
 * cursor_write must then follow and, if it succeeds, cursor_end.
 */
MUST_USE bool cursor_begin(struct cursor *c);
MUST_USE int cursor_write(const struct cursor *c, struct disk *d);
void cursor_end(struct cursor *c);

#endif
