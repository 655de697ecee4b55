/*
 * chunked - the chunked transfer coding of a request's body, read as strictly
 * as heads are (head.h).
 *
 * Refused are chunk sizes with anything but hexadecimal digits or beyond 64
 * bits or 16 digits, lines above CHUNKED_LINE_MAX bytes (with the CR),
 * extensions that are not
 * `;name` or `;name=value` in tokens or quoted text, lines that end otherwise
 * than with CRLF, and trailers that are no headers, or that must not be
 * trailers (RFC 9110, section 6.5.1): those that frame or route the request,
 * describe its body or carry credentials.  Other trailers are read and
 * dropped, up to CHUNKED_TRAILERS_MAX bytes with the last empty line.
 */
#ifndef LIBHTTP_CHUNKED_H
#define LIBHTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

#define CHUNKED_LINE_MAX 256
#define CHUNKED_TRAILERS_MAX 4096

enum chunked_result {
	CHUNKED_DATA, /* there is a piece of the body */
	CHUNKED_MORE, /* all bytes are used; more are needed */
	CHUNKED_END,  /* the body is complete */
	CHUNKED_BAD,  /* malformed */
};

/* Where the reading of one body has come; zeroed at its start. */
struct chunked {
	unsigned state;
	uint64_t left;        /* bytes to come of this chunk */
	size_t trailer_bytes; /* so far */
	size_t line_bytes;    /* of the line that is being read */
	char line[CHUNKED_LINE_MAX];
	const char *why; /* CHUNKED_BAD: the reason, a static text */
};

/*
 * Read on at *at, of which *n bytes have arrived, and move both past what was
 * used.  CHUNKED_DATA: *data is the place of *data_bytes > 0 bytes of the
 * body, inside what was used.  After CHUNKED_END, *at is the first byte after
 * the request.
 */
enum chunked_result chunked_read(struct chunked *c, char **at, size_t *n,
                                 char **data, size_t *data_bytes);

#endif
