/* gzip - see gzip.h. */
#include "sinkd-clickhouse/gzip.h"

#include <assert.h>
#include <errno.h>

#include <zlib.h>

#define GZIP_WINDOW (MAX_WBITS + 16) /* selects the gzip format in zlib */
#define STEP_BYTES (256 * KIB)

int
ch_gzip_add(struct buf *out, const void *bytes, size_t n)
{
	/* zlib does not write through next_in. */
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes};
	size_t start = out->len, left = n;
	int rc = 0, state = Z_OK;

	/*
	 * Use the fastest level, since the network is seldom slower than one
	 * core.
	 */
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8,
	                 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	while (rc == 0 && state != Z_STREAM_END) {
		uInt in = left < STEP_BYTES ? (uInt)left : (uInt)STEP_BYTES;
		size_t room = deflateBound(&z, in);

		rc = buf_reserve(out, room);
		if (rc < 0)
			break;
		z.avail_in = in;
		z.next_out = out->data + out->len;
		z.avail_out = (uInt)room;
		state = deflate(&z, left == in ? Z_FINISH : Z_NO_FLUSH);
		assert(state == Z_OK || state == Z_STREAM_END);
		left -= in - z.avail_in;
		out->len += room - z.avail_out;
	}
	(void)deflateEnd(&z); /* fails only for an unfinished stream */
	if (rc < 0)
		out->len = start;
	return rc;
}
