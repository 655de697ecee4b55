/* test_inflate - compressed bodies: complete, cut, joined, too large. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "ingestd/inflate.h"
#include "tests/support/test.h"

#define PADDING 64
#define TEXT_BYTES 300000

static struct inflate *f;
static struct buf out;
static uint8_t text[TEXT_BYTES];
static uint8_t packed[2 * TEXT_BYTES + 1024];

static size_t
gzip(const uint8_t *from, size_t n, uint8_t *to, size_t cap)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
	              .avail_in = (uInt)n,
	              .next_out = to,
	              .avail_out = (uInt)cap};

	ck_assert_int_eq(
	    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
	    Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_int_eq(deflateEnd(&z), Z_OK);
	return cap - z.avail_out;
}

static size_t
zstd(const uint8_t *from, size_t n, uint8_t *to, size_t cap)
{
	size_t rc = ZSTD_compress(to, cap, from, n, 3);

	ck_assert(!ZSTD_isError(rc));
	return rc;
}

/* Both encodings run through every test. */
static const enum encoding encodings[] = {ENCODING_GZIP, ENCODING_ZSTD};

static size_t
pack(int i, const uint8_t *from, size_t n, uint8_t *to)
{
	size_t cap = sizeof packed - (size_t)(to - packed);

	return encodings[i] == ENCODING_GZIP ? gzip(from, n, to, cap)
	                                     : zstd(from, n, to, cap);
}

static int
unpack(int i, size_t n)
{
	return inflate_body(f, encodings[i], packed, n, PADDING, &out);
}

static void
setup(void)
{
	f = inflate_new();
	ck_assert_ptr_nonnull(f);
	buf_init(&out, TEXT_BYTES + PADDING);
	for (size_t i = 0; i < TEXT_BYTES; i++)
		text[i] = (uint8_t)(i * i >> 5);
}

static void
teardown(void)
{
	inflate_free(f);
	buf_fini(&out);
}

TEST_CASE(bodies, .setup = setup, .teardown = teardown);

TEST_LOOP(unpacks_up_to_the_limit, 2)
{
	size_t n = pack(_i, text, TEXT_BYTES, packed);

	for (int twice = 0; twice < 2; twice++) {
		ck_assert_int_eq(unpack(_i, n), 0);
		ck_assert_uint_eq(out.len, TEXT_BYTES);
		ck_assert_mem_eq(out.data, text, TEXT_BYTES);
	}
}

TEST_LOOP(refuses_one_byte_beyond_the_limit, 2)
{
	size_t n = pack(_i, text, TEXT_BYTES, packed);

	out.max_bytes--;
	ck_assert_int_eq(unpack(_i, n), -EMSGSIZE);
	/* It can be used again afterwards. */
	n = pack(_i, text, 1000, packed);
	ck_assert_int_eq(unpack(_i, n), 0);
	ck_assert_uint_eq(out.len, 1000);
}

TEST_LOOP(accepts_members_in_succession, 2)
{
	size_t n = pack(_i, text, 1000, packed);

	n += pack(_i, text + 1000, 500, packed + n);
	ck_assert_int_eq(unpack(_i, n), 0);
	ck_assert_uint_eq(out.len, 1500);
	ck_assert_mem_eq(out.data, text, 1500);
}

TEST_LOOP(unpacks_an_empty_text, 2)
{
	ck_assert_int_eq(unpack(_i, pack(_i, text, 0, packed)), 0);
	ck_assert_uint_eq(out.len, 0);
}

TEST_LOOP(refuses_a_body_cut_at_any_byte, 2)
{
	size_t n = pack(_i, text, 2000, packed);

	for (size_t cut = 0; cut < n; cut++)
		ck_assert_int_eq(unpack(_i, cut), -EBADMSG);
}

TEST_LOOP(refuses_bytes_after_the_end, 2)
{
	size_t n = pack(_i, text, 2000, packed);

	memcpy(packed + n, "garbage", 7);
	ck_assert_int_eq(unpack(_i, n + 7), -EBADMSG);
	ck_assert_int_eq(unpack(_i, n + 1), -EBADMSG);
}

TEST_LOOP(refuses_garbage_and_the_other_encoding, 2)
{
	memcpy(packed, "not packed at all", 17);
	ck_assert_int_eq(unpack(_i, 17), -EBADMSG);
	ck_assert_int_eq(unpack(_i, pack(1 - _i, text, 2000, packed)),
	                 -EBADMSG);
}

TEST_LOOP(survives_any_flipped_byte, 2)
{
	size_t n = pack(_i, text, 2000, packed);

	for (size_t at = 0; at < n; at++) {
		packed[at] ^= 0x55;
		/* zstd keeps no checksum by default: it may even succeed. */
		ck_assert_int_le(unpack(_i, n), 0);
		packed[at] ^= 0x55;
	}
}

TEST_LOOP(refuses_a_bomb_early, 2)
{
	static uint8_t zeros[8 << 20];
	size_t n = pack(_i, zeros, sizeof zeros, packed);

	ck_assert_int_eq(unpack(_i, n), -EMSGSIZE);
	ck_assert_uint_le(out.cap, TEXT_BYTES + PADDING);
}

static enum encoding
named(const char *value)
{
	struct slice header = slice_of(value);

	return encoding_of(&header);
}

TEST(names_encodings)
{
	ck_assert_int_eq(encoding_of(NULL), ENCODING_IDENTITY);
	ck_assert_int_eq(named("identity"), ENCODING_IDENTITY);
	ck_assert_int_eq(named("GZip"), ENCODING_GZIP);
	ck_assert_int_eq(named("x-gzip"), ENCODING_GZIP);
	ck_assert_int_eq(named("zstd"), ENCODING_ZSTD);
	ck_assert_int_eq(named("br"), ENCODING_OTHER);
	ck_assert_int_eq(named("gzip, zstd"), ENCODING_OTHER);
}
