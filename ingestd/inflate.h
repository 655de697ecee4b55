/*
 * inflate - unpack a request body, within a limit on what comes out.
 *
 * gzip may have several members one behind the other; zstd several frames,
 * each with a window of at most 8 MiB.  Anything behind the last one, and a
 * body cut short, is refused.  The memory for unpacking is allocated at the
 * first packed body and kept.
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
	ENCODING_OTHER, /* that we do not know */
};

/* The encoding that a Content-Encoding header names; NULL: no header. */
enum encoding encoding_of(const struct slice *header);

struct inflate;

/* Returns NULL when out of memory. */
struct inflate *inflate_new(void);
void inflate_free(struct inflate *f);

/*
 * Unpack n bytes into out, which is emptied first.  Returns 0, -EMSGSIZE
 * when it would pass out->max_bytes less `padding`, -EBADMSG when the body is
 * not whole and well-formed, or -ENOMEM.
 */
MUST_USE int inflate_body(struct inflate *f, enum encoding encoding,
                          const uint8_t *bytes, size_t n, size_t padding,
                          struct buf *out);

#endif
