/*
 * frame - convert a protocol message between its bytes and a struct.
 *
 * A frame is a msgpack array (type, then the fields of that type) and, for
 * some types, a body directly after it: events without anything between them,
 * or one msgpack map.  docs/protocol.md is the contract, and frame.c is the
 * only code that knows the layout.  A change of the layout increments
 * FRAME_VERSION and edits that page.
 *
 * Decoding copies nothing: slices and body point into the bytes decoded.
 */
#ifndef LIBPROTO_FRAME_H
#define LIBPROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libproto/event.h"
#include "libproto/wire.h"

#define FRAME_VERSION 4

/* Most event bytes in one frame. */
#define FRAME_BODY_MAX EVENT_PACKED_MAX

/* Room for any header. */
#define FRAME_HEADER_MAX 512

/* Largest frame, bytes.  Linux's default SO_SNDBUF allows 212,960. */
#define FRAME_MAX (FRAME_BODY_MAX + FRAME_HEADER_MAX)

/*
 * Length of an append header, whatever its values.  batchd can therefore
 * receive the body at the place in memory from which it will write it.
 */
#define FRAME_APPEND_HEADER 16

#define FRAME_NAME_MAX 64         /* of a peer */
#define FRAME_STREAM_MAX 36       /* batchd's stream: a UUID as text */
#define FRAME_STREAM_NAME_MAX 360 /* of any stream */
#define FRAME_TEXT_MAX 300        /* of an error or a reason */

/* Most offsets in one `appended` frame. */
#define FRAME_APPENDED_MAX 1024

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_WELCOME = 2,
	FRAME_APPEND = 3,
	FRAME_APPENDED = 4,
	FRAME_SUBSCRIBE = 5,
	FRAME_BATCH = 6,
	FRAME_COMMITTED = 7,
	FRAME_STATS = 8,
	FRAME_ERROR = 9,
	FRAME_CONTROL = 10,
	FRAME_REPLY = 11,
	FRAME_INTAKE = 12,
	FRAME_FLUSH = 13,
	FRAME_STREAM = 14,
	/* 15 to 18 are reserved: see docs/protocol.md. */
	FRAME_HALT = 19,
	FRAME_HALTED = 20,
	FRAME_SEEK = 21,
	FRAME_WATCH = 22,
	FRAME_SKIPPED = 23,
	FRAME_RETRY = 24,
	FRAME_RETRIED = 25,
	FRAME_STATUS = 26,
	FRAME_START = 27,
};

enum frame_role {
	ROLE_INGEST = 1,
	ROLE_SINK = 2,
	ROLE_CONTROL = 3,
	ROLE_TAIL = 4,
};

/* What a sink is to do with dead letters. */
enum frame_retry {
	RETRY_STORE = 1, /* write them to the store again */
	RETRY_DROP = 2,
};

/* Why batchd closes a connection. */
enum frame_error {
	ERROR_NONE = 0,     /* no error; never in a frame */
	ERROR_VERSION = 1,  /* another protocol version */
	ERROR_PROTOCOL = 2, /* malformed, or not allowed in this state */
	ERROR_UNKNOWN = 3,  /* no such sink in batchd's settings */
	ERROR_BUSY = 4,     /* a sink of this name is connected already */
	ERROR_TOO_OLD = 5,  /* position is before the oldest event kept */
	ERROR_AHEAD = 6,    /* position is past the end of the log */
	ERROR_FULL = 7,     /* too many connections */
	ERROR_STOPPING = 8, /* batchd is shutting down */
};

/*
 * How many of the log's events below a sink's position its store has refused:
 * dead letters, and those for which there was no room or which an operator has
 * dropped.
 */
struct frame_refused {
	uint64_t dead_letters, dropped;
};

struct frame {
	enum frame_type type;
	union {
		struct {
			uint64_t version;
			enum frame_role role;
			struct slice name; /* 1..FRAME_NAME_MAX, [a-z0-9-] */
			uint64_t pid;
		} hello;
		struct {
			uint64_t version;
			uint64_t frame_max_bytes;
		} welcome;
		struct {
			uint64_t seq;   /* from 1, by one, per connection */
			uint32_t count; /* events in body, at least 1 */
		} append;
		struct {
			uint64_t seq; /* everything up to it is durable */
			/*
			 * Body: `count` msgpack integers, the first offsets
			 * of frames seq - count + 1 .. seq.  An offset may be
			 * nil; batchd never sends that.
			 */
			uint32_t count;
		} appended;
		struct {
			uint64_t stream_no; /* always 0, here and below */
			bool has_position;
			uint64_t position; /* next offset wanted */
			uint64_t max_events;
			uint64_t max_bytes;
			uint64_t wait_ms;
			bool stable; /* the same batches after a crash */
			struct frame_refused refused;
		} subscribe;
		struct {
			uint64_t stream_no;
			uint64_t offset; /* of the first event in body */
			uint32_t count;  /* 0: nothing to flush */
			bool last;       /* the last frame of this batch */
			uint64_t next;   /* if last: position after the batch */
			uint64_t generation; /* always 0 */
			bool again; /* stable: it may have been sent before */
		} batch;
		struct {
			uint64_t stream_no;
			uint64_t next_offset;
			struct frame_refused refused;
		} committed;
		struct {
			enum frame_error code;
			struct slice text;
		} error;
		struct {
			uint64_t id;       /* the reply carries it back */
			struct slice verb; /* body: a map of arguments */
		} control;
		struct {
			uint64_t id;
			bool ok; /* body: a map; or, if not ok, empty */
			struct slice text; /* why not ok */
		} reply;
		struct {
			bool open; /* the log accepts events */
			struct slice reason;
		} intake;
		struct {
			uint64_t stream_no;
		} flush;
		struct {
			uint64_t stream_no;
			struct slice name; /* 1..FRAME_STREAM_NAME_MAX */
			uint64_t first_offset;
			uint64_t next_offset;
		} stream;
		struct {
			bool has_from;   /* if not: the newest event */
			uint64_t from;   /* offset of the first event wanted */
			uint64_t events; /* at most so many; 0: no end */
			bool live;       /* skip events rather than lag */
			uint64_t bytes_per_s; /* at most so many; 0: no limit */
		} watch;
		struct {
			uint64_t from; /* the tail will not receive these */
			uint64_t to;   /* offset after the last of them */
		} skipped;
		struct {
			uint64_t id; /* `retried` carries it back */
			enum frame_retry action;
			/*
			 * The sink's position, as it is on disk.  Body: a map
			 * of arguments.
			 */
			uint64_t committed;
		} retry;
		struct {
			uint64_t id;
			bool ok;
			struct slice text; /* why not ok.  Body: a map */
		} retried;
		struct {
			uint64_t stream_no;
			uint64_t position; /* of batchd's cursor */
		} start;
		struct {
			uint64_t stream_no;
		} halt;
		struct {
			uint64_t stream_no;
			bool has_position; /* the store's is known */
			uint64_t position;
			struct frame_refused refused;
		} halted;
		struct {
			uint64_t stream_no;
			uint64_t from; /* the position that is moved */
			uint64_t to;   /* where it is moved */
		} seek;
	};
	/* append, batch: events; appended: see above; others: a map */
	const uint8_t *body;
	size_t body_bytes;
};

/* The hello frame of this process.  Keeps `name`. */
struct frame frame_hello(enum frame_role role, const char *name);

/*
 * Write the header of frame (not its body) to out.  Returns its length, or
 * -EINVAL when a field is out of its limits.
 */
MUST_USE int frame_put_header(const struct frame *frame,
                              uint8_t out[FRAME_HEADER_MAX]);

/*
 * Read a frame from bytes of unknown origin.  Returns 0, or -EBADMSG when
 * it is malformed or a field is out of its limits.  The body is not
 * checked.
 */
MUST_USE int frame_read(const void *bytes, size_t len, struct frame *frame);

/*
 * Copy the text of an error, a reply or an intake frame that was read, which
 * has at most FRAME_TEXT_MAX bytes, and end it with a NUL.
 */
void frame_copy_text(char out[FRAME_TEXT_MAX + 1], const struct slice *text);

/* Return the name of an error code or role, for messages. */
const char *frame_error_name(enum frame_error code);
const char *frame_role_name(enum frame_role role);

#endif
