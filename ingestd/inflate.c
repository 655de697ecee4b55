/* inflate - see inflate.h. */
#include "ingestd/inflate.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <zlib.h>
#include <zstd.h>

#define STEP_BYTES (64 * KIB)  /* buffer space for each call */
#define ZSTD_WINDOW_LOG_MAX 23 /* 8 MiB, what zstd -19 uses */
#define GZIP_WINDOW_BITS (15 + 16)

struct inflate {
	z_stream gzip;
	bool gzip_ready;
	ZSTD_DCtx *zstd;
};

enum encoding
encoding_of(const struct slice *header)
{
	if (!header || slice_is_nocase(*header, "identity"))
		return ENCODING_IDENTITY;
	if (slice_is_nocase(*header, "gzip") ||
	    slice_is_nocase(*header, "x-gzip"))
		return ENCODING_GZIP;
	if (slice_is_nocase(*header, "zstd"))
		return ENCODING_ZSTD;
	return ENCODING_OTHER;
}

struct inflate *
inflate_new(void)
{
	return calloc(1, sizeof(struct inflate));
}

void
inflate_free(struct inflate *f)
{
	if (!f)
		return;
	if (f->gzip_ready)
		(void)inflateEnd(&f->gzip);
	(void)ZSTD_freeDCtx(f->zstd);
	free(f);
}

/* Make room in out for the next step.  Returns its bytes, or -errno. */
static ssize_t
inflate_make_room(struct buf *out, size_t padding)
{
	size_t left = out->max_bytes - padding - out->len, step = STEP_BYTES;
	int rc;

	if (step > left)
		step = left;
	/*
	 * If the limit is reached exactly, one more byte shows whether the
	 * body ends there or is too large.
	 */
	if (step == 0)
		step = 1;
	assert(padding > 0);
	rc = buf_reserve(out, step);
	return rc < 0 ? rc : (ssize_t)step;
}

static bool
too_large(const struct buf *out, size_t padding)
{
	return out->len > out->max_bytes - padding;
}

static int
start_gzip(struct inflate *f)
{
	int rc;

	rc = f->gzip_ready ? inflateReset(&f->gzip)
	                   : inflateInit2(&f->gzip, GZIP_WINDOW_BITS);
	if (rc != Z_OK)
		return -ENOMEM;
	f->gzip_ready = true;
	return 0;
}

static int
gunzip(struct inflate *f, const uint8_t *bytes, size_t n, size_t padding,
       struct buf *out)
{
	z_stream *z = &f->gzip;
	ssize_t room;
	int rc = start_gzip(f);

	if (rc < 0)
		return rc;
	if (n > UINT32_MAX)
		return -EMSGSIZE;
	z->next_in = (Bytef *)(uintptr_t)bytes; /* zlib does not write there */
	z->avail_in = (uInt)n;
	for (;;) {
		room = inflate_make_room(out, padding);
		if (room < 0)
			return (int)room;
		z->next_out = out->data + out->len;
		z->avail_out = (uInt)room;
		rc = inflate(z, Z_NO_FLUSH);
		out->len += (size_t)room - z->avail_out;
		if (too_large(out, padding))
			return -EMSGSIZE;
		if (rc == Z_STREAM_END) {
			if (z->avail_in == 0)
				return 0;
			rc = inflateReset(z); /* the next member */
		}
		if (rc == Z_MEM_ERROR)
			return -ENOMEM;
		/* Z_BUF_ERROR: the input ends before the body does. */
		if (rc != Z_OK)
			return -EBADMSG;
	}
}

static int
start_zstd(struct inflate *f)
{
	size_t rc;

	if (!f->zstd)
		f->zstd = ZSTD_createDCtx();
	if (!f->zstd)
		return -ENOMEM;
	rc = ZSTD_DCtx_reset(f->zstd, ZSTD_reset_session_and_parameters);
	if (!ZSTD_isError(rc))
		rc = ZSTD_DCtx_setParameter(f->zstd, ZSTD_d_windowLogMax,
		                            ZSTD_WINDOW_LOG_MAX);
	return ZSTD_isError(rc) ? -ENOMEM : 0;
}

static int
unzstd(struct inflate *f, const uint8_t *bytes, size_t n, size_t padding,
       struct buf *out)
{
	ZSTD_inBuffer in = {bytes, n, 0};
	size_t left, before_in;
	ssize_t room;
	int rc = start_zstd(f);

	if (rc < 0)
		return rc;
	for (;;) {
		ZSTD_outBuffer o;

		room = inflate_make_room(out, padding);
		if (room < 0)
			return (int)room;
		o = (ZSTD_outBuffer){out->data + out->len, (size_t)room, 0};
		before_in = in.pos;
		left = ZSTD_decompressStream(f->zstd, &o, &in);
		if (ZSTD_isError(left))
			return -EBADMSG;
		out->len += o.pos;
		if (too_large(out, padding))
			return -EMSGSIZE;
		if (left == 0 && in.pos == n)
			return 0;
		/* No progress: the input ends before the body does. */
		if (o.pos == 0 && in.pos == before_in)
			return -EBADMSG;
	}
}

int
inflate_body(struct inflate *f, enum encoding encoding, const uint8_t *bytes,
             size_t n, size_t padding, struct buf *out)
{
	buf_clear(out);
	if (encoding == ENCODING_GZIP)
		return gunzip(f, bytes, n, padding, out);
	assert(encoding == ENCODING_ZSTD);
	return unzstd(f, bytes, n, padding, out);
}
