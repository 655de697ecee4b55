/*
 * head - the request line and headers of an HTTP/1.1 request.
 *
 * The parser is strict: it implements RFC 9112 without the tolerances that the
 * RFC allows.  In particular it refuses
 *
 * - any line that does not end with CRLF, an empty line before the request
 *   line, folded lines, white space before a colon or before the first header;
 * - control characters, including NUL, except a tab in a header's value;
 * - a request line that is not `method SP target SP HTTP/1.x`, HTTP/0.9,
 *   other versions (505), and targets with bytes outside of ASCII, malformed
 *   percent escapes, %00 or a fragment;
 * - HTTP/1.1 without exactly one Host header; a Host that is not a host name,
 *   an IPv4 address, or an IPv6 address in brackets, followed by an optional
 *   colon and port (the port may be empty: RFC 9112, section 3.2);
 * - Content-Length that is repeated, a list, signed or above 2^64 - 1;
 * - Transfer-Encoding that is not exactly one `chunked`, that comes with a
 *   Content-Length, or that comes in HTTP/1.0;
 * - Expect other than 100-continue (417; HTTP/1.0 ignores the header);
 *   Connection with anything but tokens; the method CONNECT;
 * - methods above 32 bytes; targets with " < > \ (which browsers escape).
 *
 * Nothing is allocated and nothing is copied.
 */
#ifndef LIBHTTP_HEAD_H
#define LIBHTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libbase/base.h"
#include "libbase/slice.h"

#define HEAD_FIELDS_MAX 100 /* headers; more are refused with 431 */

struct http_field {
	struct slice name;  /* as sent */
	struct slice value; /* without the white space around it */
};

struct http_head {
	struct slice method;
	/*
	 * As sent, with its escapes.  It begins with '/', or is "*".  If the
	 * target is a URL without a path, it is a static "/".
	 */
	struct slice path;
	struct slice query; /* after the '?', as sent; data is NULL if none */
	unsigned minor;     /* HTTP/1.minor: 0 or 1 */
	bool keep_alive;    /* the client wants to send more requests */
	bool expect_continue;
	bool chunked;
	bool has_length;         /* there is a Content-Length */
	uint64_t content_length; /* 0 without one */
	unsigned field_count;
	struct http_field fields[HEAD_FIELDS_MAX];
};

/* How far head_scan has come in one head; the caller zeroes it first. */
struct head_scan {
	size_t done; /* bytes that were looked at */
	unsigned state;
};

#define HEAD_SCAN_BAD (-1)

/*
 * Look for the end of a head that begins at bytes, of which n have arrived.
 * Over all calls for one head, each byte is looked at once.  Returns the
 * length of the head, including the empty line that ends it; 0 if the head is
 * not complete; or HEAD_SCAN_BAD if it contains a byte that no head can have
 * at this point.
 */
MUST_USE ssize_t head_scan(struct head_scan *scan, const char *bytes, size_t n);

/*
 * Parse a head of n bytes, whose end head_scan has found.  The slices of *head
 * point into bytes, or to static text.  Returns 0; or the HTTP status with
 * which to refuse the request (400, 417, 431 or 505), with the reason, a
 * static text, in *why.
 */
MUST_USE int head_parse(const char *bytes, size_t n, struct http_head *head,
                        const char **why);

/*
 * Parse one header line without its CRLF.  Returns NULL, or the reason why it
 * is refused, a static text.  chunked.c parses trailers with it.
 */
const char *head_parse_field(const char *line, size_t n,
                             struct http_field *field);

/* Return true if the byte may be in a token, such as a name or a method. */
bool head_is_token_byte(char c);

/* The value of the first header of this name, or NULL. */
const struct slice *http_header(const struct http_head *head, const char *name);

/*
 * Copy the value of the query's first parameter of this name to out, which has
 * room for `size` bytes, with its escapes decoded, each '+' as a space, and a
 * NUL after it.  Returns its length, -ENOENT if there is no such parameter, or
 * -EMSGSIZE if the value does not fit.
 */
MUST_USE int http_query(const struct http_head *head, const char *name,
                        char *out, size_t size);

#endif
