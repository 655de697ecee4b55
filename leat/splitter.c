/* splitter - see splitter.h. */
#include "leat/splitter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (SPLITTER_PIECE_MAX + 1 + SPLITTER_READ_BYTES)

int
splitter_init(struct splitter *s)
{
	*s = (struct splitter){.position = {.line = 1}};
	s->data = malloc(BUFFER_BYTES);
	return s->data ? 0 : -ENOMEM;
}

void
splitter_fini(struct splitter *s)
{
	free(s->data);
	s->data = NULL;
}

void
splitter_seek(struct splitter *s, const struct splitter_position *position)
{
	s->position = *position;
	s->expected = position->in_array ? SPLITTER_COMMA : SPLITTER_LINE;
	s->looked = position->bytes > 0;
}

void *
splitter_room(struct splitter *s, size_t *bytes)
{
	if (s->at > 0 && BUFFER_BYTES - s->len < SPLITTER_READ_BYTES) {
		memmove(s->data, s->data + s->at, s->len - s->at);
		s->len -= s->at;
		s->at = 0;
	}
	*bytes = BUFFER_BYTES - s->len;
	if (*bytes > SPLITTER_READ_BYTES)
		*bytes = SPLITTER_READ_BYTES;
	return s->data + s->len;
}

void
splitter_add(struct splitter *s, size_t bytes)
{
	s->len += bytes;
	if (bytes == 0)
		s->ended = true;
}

static void
advance(struct splitter *s, size_t bytes, uint64_t newlines)
{
	s->at += bytes;
	s->position.bytes += bytes;
	s->position.line += newlines;
}

static void
expect(struct splitter *s, enum splitter_expected expected)
{
	s->expected = expected;
	s->position.in_array = expected != SPLITTER_LINE;
}

static enum splitter_result
broken(struct splitter *s, struct splitter_piece *piece, const char *why)
{
	piece->start = s->position;
	piece->why = why;
	return SPLITTER_BROKEN;
}

static bool
begins_with(const struct splitter *s, const char *bytes, size_t n)
{
	return s->len - s->at >= n && memcmp(s->data + s->at, bytes, n) == 0;
}

/*
 * Look at the first bytes of the stream: skip a byte order mark, and recognise
 * what is often sent by mistake.  Returns NULL, or why it cannot be read.
 */
static const char *
look(struct splitter *s)
{
	s->looked = true;
	if (begins_with(s, "\xef\xbb\xbf", 3))
		advance(s, 3, 0);
	else if (begins_with(s, "\x1f\x8b", 2))
		return "compressed with gzip; send the output of zcat instead";
	else if (begins_with(s, "\x28\xb5\x2f\xfd", 4))
		return "compressed with zstd; send the output of zstdcat "
		       "instead";
	else if (begins_with(s, "\xff\xfe", 2) || begins_with(s, "\xfe\xff", 2))
		return "UTF-16; JSON must be UTF-8, which iconv can make of it";
	return NULL;
}

/* Skip white space.  Returns false if that is all there is so far. */
static bool
skip_space(struct splitter *s)
{
	for (; s->at < s->len; advance(s, 1, s->data[s->at] == '\n'))
		if (!memchr(" \t\r\n", s->data[s->at], 4))
			return true;
	return false;
}

static void
begin_piece(struct splitter *s)
{
	s->scanning = true;
	s->scanned = 0;
	s->newlines = 0;
	s->in_string = s->escaped = false;
	s->depth = 0;
	s->skipping = false;
}

/* --- pieces --- */

enum scan {
	SCAN_MORE, /* all bytes were scanned, and the piece goes on */
	SCAN_DONE, /* the piece has s->scanned bytes */
	SCAN_BROKEN,
};

/* Scan one byte of a string. */
static enum scan
scan_string(struct splitter *s, char c, const char **why)
{
	if (c == '\n') {
		*why = "a string has no closing quote on its line";
		return SCAN_BROKEN;
	}
	if (s->escaped) {
		s->escaped = false;
	} else if (c == '\\') {
		s->escaped = true;
	} else if (c == '"') {
		s->in_string = false;
		return s->depth == 0 ? SCAN_DONE : SCAN_MORE;
	}
	return SCAN_MORE;
}

static enum scan
scan_bracket(struct splitter *s, char c, const char **why)
{
	if (c == '{' || c == '[') {
		if (s->depth == JSON_DEPTH_BREAK) {
			*why = "nested more than 1024 levels deep";
			return SCAN_BROKEN;
		}
		s->closing[s->depth++] = c == '{' ? '}' : ']';
		return SCAN_MORE;
	}
	if (s->closing[s->depth - 1] != c) {
		*why = c == '}' ? "'}' closes a '['" : "']' closes a '{'";
		return SCAN_BROKEN;
	}
	s->depth--;
	return s->depth == 0 ? SCAN_DONE : SCAN_MORE;
}

/*
 * Scan one byte outside of strings.  A number or a literal, which is no event,
 * ends before the byte that follows it.
 */
static enum scan
scan_plain(struct splitter *s, char c, const char **why)
{
	switch (c) {
	case '"':
		s->in_string = true;
		return SCAN_MORE;
	case '}':
	case ']':
		if (s->depth > 0)
			return scan_bracket(s, c, why);
		break;
	case '{':
	case '[':
		return scan_bracket(s, c, why);
	case '\n':
		s->newlines += s->depth > 0;
		break;
	default:
		break;
	}
	if (s->depth == 0 && memchr(" \t\r\n,}]", c, 7)) {
		s->scanned--;
		return SCAN_DONE;
	}
	return SCAN_MORE;
}

/* Scan the element of an array at s->at. */
static enum scan
scan_element(struct splitter *s, const char **why)
{
	while (s->at + s->scanned < s->len) {
		char c = (char)s->data[s->at + s->scanned++];
		enum scan found = s->in_string ? scan_string(s, c, why)
		                               : scan_plain(s, c, why);

		if (found != SCAN_MORE)
			return found;
	}
	return SCAN_MORE;
}

/* Scan the line at s->at, without its end. */
static enum scan
scan_line(struct splitter *s)
{
	const uint8_t *from = s->data + s->at + s->scanned;
	const uint8_t *end = memchr(from, '\n', s->len - s->at - s->scanned);

	s->scanned += (size_t)((end ? end : s->data + s->len) - from);
	return end ? SCAN_DONE : SCAN_MORE;
}

/* The stream ends within a piece: return true if it is complete all the same.
 */
static bool
is_complete(struct splitter *s)
{
	const char *why;
	const size_t bytes = s->scanned;

	if (s->expected != SPLITTER_LINE)
		return false; /* the array has no end */
	/* The last line, without a newline: it may still be being written. */
	begin_piece(s);
	if (s->data[s->at] == '{' && scan_element(s, &why) == SCAN_MORE)
		return false;
	s->scanned = bytes;
	return true;
}

/* Drop what was scanned of a piece that is too long. */
static void
skip_scanned(struct splitter *s)
{
	if (!s->skipping)
		s->skipped_from = s->position;
	s->skipping = true;
	advance(s, s->scanned, s->newlines);
	s->scanned = 0;
	s->newlines = 0;
}

static enum splitter_result
end_piece(struct splitter *s, struct splitter_piece *piece)
{
	enum splitter_result result = SPLITTER_PIECE;

	piece->start = s->position;
	piece->text = (const char *)s->data + s->at;
	piece->bytes = s->scanned;
	if (s->skipping || s->scanned > SPLITTER_PIECE_MAX) {
		skip_scanned(s);
		piece->start = s->skipped_from;
		piece->text = NULL;
		piece->bytes = 0;
		result = SPLITTER_TOO_LONG;
	} else {
		advance(s, s->scanned, s->newlines);
	}
	s->scanning = false;
	expect(s,
	       s->expected == SPLITTER_LINE ? SPLITTER_LINE : SPLITTER_COMMA);
	return result;
}

static enum splitter_result
next_piece(struct splitter *s, struct splitter_piece *piece)
{
	const char *why = NULL;
	enum scan found =
	    s->expected == SPLITTER_LINE ? scan_line(s) : scan_element(s, &why);

	if (found == SCAN_BROKEN) {
		piece->start = s->skipping ? s->skipped_from : s->position;
		piece->why = why;
		s->scanned--; /* the next call finds the same */
		return SPLITTER_BROKEN;
	}
	if (found == SCAN_DONE)
		return end_piece(s, piece);
	if (s->scanned > SPLITTER_PIECE_MAX || s->skipping)
		skip_scanned(s);
	if (!s->ended)
		return SPLITTER_MORE;
	if (s->skipping && s->expected == SPLITTER_LINE)
		return end_piece(s, piece);
	if (!s->skipping && is_complete(s))
		return end_piece(s, piece);
	piece->start = s->skipping ? s->skipped_from : s->position;
	piece->why = "the input ends within it";
	return SPLITTER_UNFINISHED;
}

/* --- what is between the pieces --- */

/*
 * Begin the piece at s->at, or read the bracket or comma there.  Returns NULL,
 * or why neither is possible.
 */
static const char *
splitter_between(struct splitter *s)
{
	const char c = (char)s->data[s->at];

	if (s->expected == SPLITTER_COMMA && c != ',' && c != ']')
		return "expected ',' or ']'";
	if (c == ',' && s->expected == SPLITTER_COMMA) {
		advance(s, 1, 0);
		expect(s, SPLITTER_ELEMENT);
	} else if (c == ']' && (s->expected == SPLITTER_COMMA ||
	                        s->expected == SPLITTER_FIRST)) {
		advance(s, 1, 0);
		expect(s, SPLITTER_LINE);
	} else if (c == '[' && s->expected == SPLITTER_LINE) {
		advance(s, 1, 0);
		expect(s, SPLITTER_FIRST);
	} else if (s->expected != SPLITTER_LINE && memchr(",]}", c, 3)) {
		return "expected an event";
	} else {
		begin_piece(s);
	}
	return NULL;
}

enum splitter_result
splitter_next(struct splitter *s, struct splitter_piece *piece)
{
	const char *why;

	*piece = (struct splitter_piece){0};
	/* The longest mark at the beginning of a stream has four bytes. */
	if (!s->looked) {
		if (s->len - s->at < 4 && !s->ended)
			return SPLITTER_MORE;
		why = look(s);
		if (why) {
			s->looked = false;
			return broken(s, piece, why);
		}
	}
	while (!s->scanning) {
		if (!skip_space(s)) {
			if (!s->ended)
				return SPLITTER_MORE;
			if (s->expected == SPLITTER_LINE)
				return SPLITTER_END;
			piece->start = s->position;
			piece->why = "the array has no ']'";
			return SPLITTER_UNFINISHED;
		}
		why = splitter_between(s);
		if (why)
			return broken(s, piece, why);
	}
	return next_piece(s, piece);
}
