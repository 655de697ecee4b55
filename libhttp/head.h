/*
 * head - the request line and headers of an HTTP/1.1 request.
 *
 * The reading is strict: RFC 9112 without the tolerances that it allows.
 * Refused are, in particular:
 *
 * - any line that ends otherwise than with CRLF, an empty line before the
 *   request line, folded lines, white space before a colon or a first header;
 * - control characters, NUL included, other than a tab in a header's value;
 * - a request line that is not `method SP target SP HTTP/1.x`, HTTP/0.9,
 *   other versions (505), targets with bytes outside of ASCII, with
 *   malformed percent escapes, with %00 or with a fragment;
 * - HTTP/1.1 without exactly one Host; a Host that is not a host, or an IPv6
 *   address in brackets, and a port (it may be empty: RFC 9112, section 3.2);
 * - Content-Length that is repeated, listed, signed or above 2^64 - 1;
 * - Transfer-Encoding other than one `chunked`, with Content-Length, or in
 *   HTTP/1.0;
 * - Expect other than 100-continue (417), which HTTP/1.0 ignores; Connection
 *   with anything but tokens; CONNECT;
 * - methods above 32 bytes; targets with " < > \ (browsers escape these).
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
	 * As sent, with its escapes.  It begins with '/', or is "*".  Of a URL
	 * without a path it is a static "/".
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

/* How far head_scan has come in one head; zeroed at its start. */
struct head_scan {
	size_t done; /* bytes looked at */
	unsigned state;
};

#define HEAD_SCAN_BAD (-1)

/*
 * Look for the end of a head that begins at bytes, of which n have arrived.
 * Looks at each byte once over all calls.  Returns the length of the head,
 * with the empty line that ends it; 0 if it is not complete; or
 * HEAD_SCAN_BAD if a byte in it can be in no head.
 */
MUST_USE ssize_t head_scan(struct head_scan *scan, const char *bytes, size_t n);

/*
 * Read a head of n bytes, whose length head_scan found.  The slices of *head
 * point into bytes, or to static text.  Returns 0, or the HTTP status that
 * refuses it (400, 417, 431 or 505) with the reason, a static text, in *why.
 */
MUST_USE int head_parse(const char *bytes, size_t n, struct http_head *head,
                        const char **why);

/*
 * Read one header line without its CRLF.  Returns NULL, or why it is refused.
 * chunked.c reads trailers with it.
 */
const char *head_parse_field(const char *line, size_t n,
                             struct http_field *field);

/* Return true if the byte may be in a token, such as a name or a method. */
bool head_is_token_byte(char c);

/* The value of the first header of this name, or NULL. */
const struct slice *http_header(const struct http_head *head, const char *name);

/*
 * Unescape the value of a parameter of the query, in which '+' means a space,
 * into out, which has room for
 * `size` bytes, and put a NUL after it.  Returns its length, -ENOENT if there
 * is no such parameter, or -EMSGSIZE if it does not fit.
 */
MUST_USE int http_query(const struct http_head *head, const char *name,
                        char *out, size_t size);

#endif
