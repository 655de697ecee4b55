/*
 * inflate - decompress a request body, within a limit on the result.
 *
 * A gzip body may have several members in succession, and a zstd body several
 * frames, each with a window of at most 8 MiB.  A body that has other bytes
 * after the last of them, or that is incomplete, is refused.  The memory for
 * decompression is allocated for the first compressed body and then kept.
 */
#ifndef INGESTD_INFLATE_H
#define INGESTD_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libbase/buf.h"
#include "libbase/slice.h"

enum encoding {
	ENCODING_IDENTITY,
	ENCODING_GZIP,
	ENCODING_ZSTD,
	ENCODING_OTHER, /* one that we do not support */
};

/* Return the encoding that a Content-Encoding header names; NULL: none. */
enum encoding encoding_of(const struct slice *header);

struct inflate;

/* Returns NULL when out of memory. */
struct inflate *inflate_new(void);
void inflate_free(struct inflate *f);

/*
 * Decompress n bytes into out, which is emptied first.  Returns 0, -EMSGSIZE
 * if the result is longer than out->max_bytes less `padding`, -EBADMSG if the
 * body is not complete and valid, or -ENOMEM.
 */
MUST_USE int inflate_body(struct inflate *f, enum encoding encoding,
                          const uint8_t *bytes, size_t n, size_t padding,
                          struct buf *out);

#endif
