/* chunked - see chunked.h. */
#include "libhttp/chunked.h"

#include <stdbool.h>
#include <string.h>

#include "libbase/hex.h"
#include "libhttp/head.h"

#define SIZE_DIGITS_MAX 16

enum chunked_state {
	CHUNKED_LINE,     /* in a line with a chunk's size */
	CHUNKED_BYTES,    /* in the bytes of a chunk */
	CHUNKED_BYTES_CR, /* at the CR after them */
	CHUNKED_BYTES_LF, /* at the LF after them */
	CHUNKED_TRAILER,  /* in a line after the last chunk */
	CHUNKED_COMPLETE,
};

static enum chunked_result
bad(struct chunked *c, const char *why)
{
	c->why = why;
	return CHUNKED_BAD;
}

static const char *
skip_token(const char *at, const char *end)
{
	while (at < end && head_is_token_byte(*at))
		at++;
	return at;
}

/*
 * Return the end of the quoted text that begins at `at`; or NULL if it is
 * malformed or does not end.
 */
static const char *
chunked_skip_quoted(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		unsigned char ch = (unsigned char)*at;

		if (ch == '"')
			return at + 1;
		if (ch == '\\' && ++at == end)
			return NULL;
		ch = (unsigned char)*at;
		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			return NULL;
	}
	return NULL;
}

/* Check extensions (RFC 9112, section 7.1.1); no white space is allowed. */
static bool
are_extensions(const char *at, const char *end)
{
	while (at && at < end) {
		const char *name = at + 1;

		if (*at != ';')
			return false;
		at = skip_token(name, end);
		if (at == name)
			return false;
		if (at == end || *at != '=')
			continue;
		name = ++at;
		if (at < end && *at == '"') {
			at = chunked_skip_quoted(at, end);
			continue;
		}
		at = skip_token(name, end);
		if (at == name)
			return false;
	}
	return at != NULL;
}

/* Parse the line that begins a chunk, without its CRLF. */
static bool
read_size_line(struct chunked *c)
{
	const char *at = c->line, *end = at + c->line_bytes;
	uint64_t size = 0;

	for (; at < end && *at != ';'; at++) {
		int digit = hex_digit(*at);

		if (digit < 0 || at - c->line == SIZE_DIGITS_MAX)
			return false;
		size = size << 4 | (unsigned)digit;
	}
	if (at == c->line || !are_extensions(at, end))
		return false;
	c->left = size;
	return true;
}

/*
 * Return true if the line is a header that may be a trailer.  One that frames
 * the request, for example, would change its meaning for software that adds
 * trailers to the headers (RFC 9110, section 6.5.1).
 */
static bool
chunked_is_trailer(const struct chunked *c)
{
	static const char *const forbidden[] = {
	    "Content-Length",
	    "Transfer-Encoding",
	    "Host",
	    "Connection",
	    "Trailer",
	    "TE",
	    "Upgrade",
	    "Expect",
	    "Keep-Alive",
	    "Content-Type",
	    "Content-Encoding",
	    "Authorization",
	    "Content-Range",
	    "Cookie",
	    "Proxy-Connection",
	};
	struct http_field field;

	if (head_parse_field(c->line, c->line_bytes, &field))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		if (slice_is_nocase(field.name, forbidden[i]))
			return false;
	}
	return true;
}

/* A line is complete; its CRLF is not in c->line. */
static enum chunked_result
chunked_end_line(struct chunked *c)
{
	if (c->state == CHUNKED_LINE) {
		if (!read_size_line(c))
			return bad(c, "a chunk's size is malformed");
		c->state = c->left > 0 ? CHUNKED_BYTES : CHUNKED_TRAILER;
	} else if (c->line_bytes == 0) {
		c->state = CHUNKED_COMPLETE;
		return CHUNKED_END;
	} else if (!chunked_is_trailer(c)) {
		return bad(c, "a trailer is malformed or not allowed");
	}
	c->line_bytes = 0;
	return CHUNKED_MORE;
}

/*
 * Add one byte to the line.  A CR stays in the line until its LF arrives; a CR
 * or LF anywhere else is refused.
 */
static enum chunked_result
add_to_line(struct chunked *c, char ch)
{
	bool after_cr = c->line_bytes > 0 && c->line[c->line_bytes - 1] == '\r';

	if (c->state == CHUNKED_TRAILER &&
	    ++c->trailer_bytes > CHUNKED_TRAILERS_MAX)
		return bad(c, "there are too many trailers");
	if (after_cr != (ch == '\n'))
		return bad(c, "a line of the chunked body must end with CRLF");
	if (after_cr) {
		c->line_bytes--;
		return chunked_end_line(c);
	}
	if (c->line_bytes == sizeof c->line)
		return bad(c, "a line of the chunked body is too long");
	if (c->state == CHUNKED_LINE && ch != '\r' && ch != '\t' &&
	    ((unsigned char)ch < 0x20 || ch == 0x7f))
		return bad(c, "a chunk's size is malformed");
	c->line[c->line_bytes++] = ch;
	return CHUNKED_MORE;
}

static void
chunked_advance(char **at, size_t *n, size_t by)
{
	*at += by;
	*n -= by;
}

enum chunked_result
chunked_read(struct chunked *c, char **at, size_t *n, char **data,
             size_t *data_bytes)
{
	enum chunked_result result = CHUNKED_MORE;

	while (*n > 0 && result == CHUNKED_MORE) {
		char ch = **at;

		switch ((enum chunked_state)c->state) {
		case CHUNKED_BYTES:
			*data = *at;
			*data_bytes = *n < c->left ? *n : (size_t)c->left;
			c->left -= *data_bytes;
			if (c->left == 0)
				c->state = CHUNKED_BYTES_CR;
			chunked_advance(at, n, *data_bytes);
			return CHUNKED_DATA;
		case CHUNKED_BYTES_CR:
		case CHUNKED_BYTES_LF:
			if (ch != (c->state == CHUNKED_BYTES_CR ? '\r' : '\n'))
				return bad(c, "a chunk must end with CRLF");
			c->state = c->state == CHUNKED_BYTES_CR
			               ? CHUNKED_BYTES_LF
			               : CHUNKED_LINE;
			break;
		case CHUNKED_LINE:
		case CHUNKED_TRAILER:
			result = add_to_line(c, ch);
			break;
		case CHUNKED_COMPLETE:
			return CHUNKED_END;
		}
		chunked_advance(at, n, 1);
	}
	return result;
}
