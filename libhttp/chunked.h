/*
 * chunked - the chunked transfer coding of a request's body, which is parsed
 * as strictly as heads are (head.h).
 *
 * The parser refuses
 *
 * - chunk sizes that are not 1 to 16 hexadecimal digits;
 * - lines above CHUNKED_LINE_MAX bytes, counting the CR;
 * - extensions that are not `;name` or `;name=value`, in which the name is a
 *   token and the value a token or a quoted text;
 * - lines that do not end with CRLF;
 * - trailers that are no headers, or that must not be trailers (RFC 9110,
 *   section 6.5.1): those that frame or route the request, describe its body
 *   or carry credentials.
 *
 * Other trailers are parsed and dropped, up to CHUNKED_TRAILERS_MAX bytes
 * including the last empty line.
 */
#ifndef LIBHTTP_CHUNKED_H
#define LIBHTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

#define CHUNKED_LINE_MAX 256
#define CHUNKED_TRAILERS_MAX 4096

enum chunked_result {
	CHUNKED_DATA, /* there is data of the body */
	CHUNKED_MORE, /* all bytes are used; more are needed */
	CHUNKED_END,  /* the body is complete */
	CHUNKED_BAD,  /* malformed */
};

/* The progress in one body; the caller zeroes it first. */
struct chunked {
	unsigned state;
	uint64_t left;        /* bytes to come of this chunk */
	size_t trailer_bytes; /* so far */
	size_t line_bytes;    /* of the line that is being read */
	char line[CHUNKED_LINE_MAX];
	const char *why; /* CHUNKED_BAD: the reason, a static text */
};

/*
 * Parse from *at, where *n bytes have arrived, and advance both past what was
 * used.  With CHUNKED_DATA, *data points to *data_bytes > 0 bytes of the body,
 * which are among those that were used.  After CHUNKED_END, *at is the first
 * byte after the request.
 */
enum chunked_result chunked_read(struct chunked *c, char **at, size_t *n,
                                 char **data, size_t *data_bytes);

#endif
