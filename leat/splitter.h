/*
 * splitter - find the events in a stream of JSON.
 *
 * The stream has one event on each line (NDJSON), or arrays of events, one
 * after another; both may be mixed.  An array may span lines.  The splitter
 * finds only where an event begins and ends.  Whether it is an event is checked
 * elsewhere, with the rules of ingestd (libjson).
 *
 * A line is a piece of its own, so a line that is not valid JSON affects no
 * other line.  In an array the brackets and quotes have to be counted.  If they
 * do not match, nothing after that place can be trusted, and the splitter stops
 * there.
 *
 * The memory is bounded.  A piece that is longer than SPLITTER_PIECE_MAX is
 * skipped and reported.
 */
#ifndef LEAT_SPLITTER_H
#define LEAT_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libjson/json_report.h"
#include "libproto/event.h"

/* No longer event fits into a frame, so ingestd accepts none. */
#define SPLITTER_PIECE_MAX EVENT_PACKED_MAX

/* Bytes that one splitter_room returns at most. */
#define SPLITTER_READ_BYTES (256 * KIB)

/* A place of the stream from which reading can continue. */
struct splitter_position {
	uint64_t bytes; /* from the beginning of the stream */
	uint64_t line;  /* of that byte, from 1 */
	bool in_array;  /* after an element of an array */
};

/* What is expected at the position. */
enum splitter_expected {
	SPLITTER_LINE,    /* a line, or an array */
	SPLITTER_FIRST,   /* the first element of an array, or its end */
	SPLITTER_COMMA,   /* a comma, or the end of the array */
	SPLITTER_ELEMENT, /* the element after a comma */
};

struct splitter {
	struct splitter_position position; /* of data[at] */
	enum splitter_expected expected;
	bool ended;  /* nothing follows data[len] */
	bool looked; /* at the first bytes of the stream */

	uint8_t *data; /* owned; unread bytes are those from at to len */
	size_t at, len;

	/* The piece that begins at data[at], as far as it was scanned. */
	bool scanning;
	size_t scanned; /* bytes */
	uint64_t newlines;
	bool in_string, escaped;
	unsigned depth;
	char closing[JSON_DEPTH_BREAK]; /* the closing bracket of each level */
	/* The piece is too long, and its beginning has been dropped. */
	bool skipping;
	struct splitter_position skipped_from;
};

/* A piece of the stream that is an event, if it is valid. */
struct splitter_piece {
	const char *text; /* valid until the next call of any function */
	size_t bytes;
	struct splitter_position start; /* of its first byte */
	const char *why;                /* static text; see below */
};

enum splitter_result {
	SPLITTER_PIECE,    /* a piece was found */
	SPLITTER_TOO_LONG, /* a piece was skipped; piece->start is its place */
	SPLITTER_MORE,     /* add bytes, or the end, and call again */
	SPLITTER_END,      /* the stream has ended */
	/* The stream ends within the piece at piece->start, or in an array. */
	SPLITTER_UNFINISHED,
	/* piece->start is where the stream is wrong, and piece->why is why. */
	SPLITTER_BROKEN,
};

/* Returns 0 or -ENOMEM. */
MUST_USE int splitter_init(struct splitter *s);
void splitter_fini(struct splitter *s);

/* Begin at this position of a stream instead of its first byte. */
void splitter_seek(struct splitter *s,
                   const struct splitter_position *position);

/*
 * Return where the next bytes of the stream are to be put, and set *bytes to
 * how many there may be, at least one.  To be called after SPLITTER_MORE.
 */
void *splitter_room(struct splitter *s, size_t *bytes);

/* So many bytes were put there; 0 ends the stream. */
void splitter_add(struct splitter *s, size_t bytes);

/*
 * Find the next piece.  After SPLITTER_PIECE and SPLITTER_TOO_LONG, s->position
 * is that after the piece.  After the last three results further calls return
 * the same.
 */
enum splitter_result splitter_next(struct splitter *s,
                                   struct splitter_piece *piece);

#endif
