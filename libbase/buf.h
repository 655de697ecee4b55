/*
 * buf - a buffer that grows, up to a limit that its owner sets.
 *
 * Memory is kept between uses: buf_clear empties the buffer without freeing
 * it.  A struct buf of all zeros is empty and has a limit of 0 bytes, so call
 * buf_init before use.
 */
#ifndef LIBBASE_BUF_H
#define LIBBASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libbase/base.h"
#include "libbase/slice.h"

struct buf {
	uint8_t *data;    /* owned; may move on any growth */
	size_t len;       /* bytes in use */
	size_t cap;       /* bytes allocated */
	size_t max_bytes; /* len never exceeds this */
	int error;        /* the last failure since buf_clear, or 0 */
};

/* Allocates nothing. */
void buf_init(struct buf *b, size_t max_bytes);

/* Free the memory; b is empty afterwards and may be used again. */
void buf_fini(struct buf *b);

/* Forget the content and the error, keep the memory. */
static inline void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->error = 0;
}

/* The content as text, valid until the next change. */
static inline struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){(const char *)b->data, (uint32_t)b->len};
}

/*
 * Make room for `more` bytes after len.  Returns 0, -EMSGSIZE beyond
 * max_bytes, or -ENOMEM.  len does not change.
 */
MUST_USE int buf_reserve(struct buf *b, size_t more);

/*
 * Free the memory beyond `spare` bytes after len.  If the system cannot shrink
 * it, nothing changes.
 */
void buf_trim(struct buf *b, size_t spare);

/* Append n bytes.  Returns as buf_reserve; on failure nothing changes. */
MUST_USE int buf_add(struct buf *b, const void *bytes, size_t n);

/*
 * The functions below append a piece of a text.  They return as buf_reserve,
 * and a failure is also kept in b->error.  So a caller that appends many
 * pieces can ignore what each returns, and check b->error after the last one.
 */

/*
 * Append a text without its NUL.  It is inline so that the compiler computes
 * the lengths of constant texts, of which each HTTP response has several.
 */
static inline int
buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

/* Append a number in decimal digits. */
int buf_add_u64(struct buf *b, uint64_t value);

/* Append formatted text, without its NUL. */
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * Append n bytes of UTF-8 text as a JSON string, including the quotes.  Quotes,
 * backslashes and control characters are escaped; everything else is kept.
 */
int buf_add_json_string(struct buf *b, const char *text, size_t n);

#endif
