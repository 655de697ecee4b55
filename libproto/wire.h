/*
 * wire - read and write msgpack values of the few kinds that frames and events
 * use.  The bytes that are read come from another process.
 *
 * Each reading function reads the value at r->at and moves past it.  It returns
 * 0, or -EBADMSG if the value is of another kind, out of range, or incomplete;
 * the reader must not be used after that.  No function allocates memory, and
 * strings point into the bytes that were read.
 *
 * Integers and string headers of any width that msgpack has are accepted.
 * msgpack: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
#ifndef LIBPROTO_WIRE_H
#define LIBPROTO_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "libbase/base.h"
#include "libbase/slice.h"

struct wire_reader {
	const uint8_t *at, *end;
};

MUST_USE int wire_array(struct wire_reader *r, uint32_t *items);
MUST_USE int wire_map(struct wire_reader *r, uint32_t *pairs);
MUST_USE int wire_int(struct wire_reader *r, int64_t *value);
MUST_USE int wire_str(struct wire_reader *r, struct slice *text);

/* For wire_uint: read an integer of more than one byte. */
MUST_USE int wire_uint_wide(struct wire_reader *r, uint64_t *value);

/* Most integers in a header are small and need no call. */
MUST_USE static inline int
wire_uint(struct wire_reader *r, uint64_t *value)
{
	if (r->at == r->end || *r->at >= 0x80)
		return wire_uint_wide(r, value);
	*value = *r->at++;
	return 0;
}

MUST_USE static inline int
wire_bool(struct wire_reader *r, bool *value)
{
	if (r->at == r->end || (*r->at != 0xc2 && *r->at != 0xc3))
		return -EBADMSG;
	*value = *r->at++ == 0xc3;
	return 0;
}

/* Return true and move past the value if it is nil, else do not move. */
bool wire_nil(struct wire_reader *r);

/*
 * Move past one value of any kind with all that it contains, nested no deeper
 * than WIRE_DEPTH_MAX.  The bytes of each value in it are checked to be there,
 * so a decoder that allocates memory for each value is bounded by the number
 * of bytes.
 */
#define WIRE_DEPTH_MAX 16
MUST_USE int wire_skip(struct wire_reader *r);

/* Return true if the bytes are one such value, and nothing follows it. */
bool wire_is_one_value(const uint8_t *bytes, size_t n);

/*
 * Each of these writes one value and returns the end of it.  The first two
 * have a fixed width, so that a header has one length whatever its values;
 * the third takes the shortest form, at most 9 bytes.
 */
uint8_t *wire_put_u64(uint8_t *out, uint64_t value); /* 9 bytes */
uint8_t *wire_put_u32(uint8_t *out, uint32_t value); /* 5 bytes */
uint8_t *wire_put_uint_wide(uint8_t *out, uint64_t value);

static inline uint8_t *
wire_put_uint(uint8_t *out, uint64_t value)
{
	if (value >= 0x80)
		return wire_put_uint_wide(out, value);
	*out++ = (uint8_t)value;
	return out;
}

static inline uint8_t *
wire_put_nil(uint8_t *out)
{
	*out++ = 0xc0;
	return out;
}

static inline uint8_t *
wire_put_bool(uint8_t *out, bool value)
{
	*out++ = value ? 0xc3 : 0xc2;
	return out;
}

/* Writes at most 5 bytes more than the text has. */
static inline uint8_t *
wire_put_str(uint8_t *out, const struct slice *s)
{
	if (s->bytes < 32) {
		*out++ = (uint8_t)(0xa0 | s->bytes);
	} else if (s->bytes < 256) {
		*out++ = 0xd9;
		*out++ = (uint8_t)s->bytes;
	} else if (s->bytes < 65536) {
		*out++ = 0xda;
		*out++ = (uint8_t)(s->bytes >> 8);
		*out++ = (uint8_t)s->bytes;
	} else {
		*out++ = 0xdb;
		for (int shift = 24; shift >= 0; shift -= 8)
			*out++ = (uint8_t)(s->bytes >> shift);
	}
	memcpy(out, s->data, s->bytes);
	return out + s->bytes;
}

#endif
