/*
 * cursor - how far one sink is: a small file, written in two slots in turn,
 * so that a torn write leaves the one before (docs/log-format.md).
 *
 * The fields are the main thread's.  cursor_write runs on any thread, on a
 * copy of them: cursor_begin takes it, cursor_end says what is durable now.
 */
#ifndef BATCHD_CURSOR_H
#define BATCHD_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "batchd/disk.h"
#include "batchd/segment.h"
#include "libproto/frame.h"

#define CURSOR_FILE_BYTES 4096
#define CURSOR_NO_BATCH UINT64_MAX

struct cursor_slot {
	uint64_t sequence;
	uint64_t committed;     /* the next offset the sink wants */
	uint64_t in_flight_end; /* or CURSOR_NO_BATCH */
	/* Of the events below committed: */
	uint64_t skipped; /* never sent: before its start, or lost */
	/* Refused by the store; as the sink said last: */
	uint64_t
	    pending_dead_letters; /* there is a dead letter, to be retried */
	uint64_t dropped;         /* there was no room for one */
	/*
	 * A position beyond the log's end, with which its store came: what
	 * lies below it there is not what this log appends below it.  0: none.
	 */
	uint64_t rejected_position;
};

struct cursor {
	char name[FRAME_NAME_MAX + 1]; /* of the sink */
	uint8_t stream[STREAM_ID_BYTES];
	int file;                   /* -1 when closed */
	struct cursor_slot now;     /* what the sink has told */
	struct cursor_slot writing; /* being written */
	struct cursor_slot durable; /* on disk: decides what is deleted */
	bool busy;                  /* between begin and end */
	bool dirty;                 /* now is ahead of durable and writing */
};

/*
 * The highest offset that its sink may have been sent events up to, as far as
 * the slot tells; all of them were durable then.
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

/* Return true if a name in cursors/ is a cursor's, with the name of its sink.
 */
MUST_USE bool cursor_name_parse(const char *name,
                                char sink[FRAME_NAME_MAX + 1]);

/*
 * Open the cursor of `sink`.  Returns 0; -ENOENT when it has no file;
 * -EBADMSG when neither slot is valid; ERR_OTHER_LOG when it is of another
 * stream; or -errno.  c is closed unless 0.
 */
MUST_USE int cursor_open(struct cursor *c, struct disk *d, const char *sink,
                         const uint8_t stream[STREAM_ID_BYTES]);

/* The stream that the cursor of `sink` is of.  Returns 0 or as cursor_open. */
MUST_USE int cursor_stream(struct disk *d, const char *sink,
                           uint8_t stream[STREAM_ID_BYTES]);

/*
 * Create (or replace a damaged) file for `sink` at `committed`; durable when
 * this returns 0.
 */
MUST_USE int cursor_create(struct cursor *c, struct disk *d, const char *sink,
                           const uint8_t stream[STREAM_ID_BYTES],
                           uint64_t committed);

void cursor_close(struct cursor *c, struct disk *d);

void cursor_set(struct cursor *c, uint64_t committed, uint64_t in_flight_end);
void cursor_set_skipped(struct cursor *c, uint64_t skipped);
void cursor_set_dead_letters(struct cursor *c, uint64_t pending_dead_letters,
                             uint64_t dropped);
void cursor_set_rejected_position(struct cursor *c, uint64_t rejected_position);

/* Whether it is as cursor_create left it. */
MUST_USE bool cursor_is_new(const struct cursor *c);

/* Whether there is something to write now; then cursor_write must follow. */
MUST_USE bool cursor_begin(struct cursor *c);
MUST_USE int cursor_write(const struct cursor *c, struct disk *d);
void cursor_end(struct cursor *c);

#endif
