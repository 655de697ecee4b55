/* wire - see wire.h. */
#include "libproto/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Read the next `bytes` bytes, 1 to 8, as a big-endian number. */
static inline int
wire_take(struct wire_reader *r, unsigned bytes, uint64_t *value)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < bytes)
		return -EBADMSG;
	if ((size_t)(r->end - r->at) >= sizeof v) {
		memcpy(&v, r->at, sizeof v);
		v = be64toh(v) >> (64 - 8 * bytes);
		r->at += bytes;
	} else {
		for (unsigned i = 0; i < bytes; i++)
			v = v << 8 | *r->at++;
	}
	*value = v;
	return 0;
}

static inline int
take_tag(struct wire_reader *r, uint8_t *tag)
{
	if (r->at == r->end)
		return -EBADMSG;
	*tag = *r->at++;
	return 0;
}

/*
 * Read the header of an array or map: `fix` with the count in its low bits, or
 * the tags `wide` and `wide` + 1 with 2 or 4 bytes of count after them.
 */
static int
take_count(struct wire_reader *r, uint8_t fix, uint8_t wide, uint32_t *count)
{
	uint64_t n;
	uint8_t tag;
	int rc = take_tag(r, &tag);

	if (rc < 0)
		return rc;
	if ((tag & 0xf0) == fix)
		n = tag & 0x0f;
	else if (tag == wide || tag == wide + 1)
		rc = wire_take(r, tag == wide ? 2 : 4, &n);
	else
		return -EBADMSG;
	if (rc < 0)
		return rc;
	*count = (uint32_t)n;
	return 0;
}

int
wire_array(struct wire_reader *r, uint32_t *items)
{
	return take_count(r, 0x90, 0xdc, items);
}

int
wire_map(struct wire_reader *r, uint32_t *pairs)
{
	return take_count(r, 0x80, 0xde, pairs);
}

/* Inline: frames and events are full of integers. */
static inline int
take_int(struct wire_reader *r, int64_t *value)
{
	uint64_t v;
	uint8_t tag;
	unsigned bytes;
	int rc = take_tag(r, &tag);

	if (rc < 0)
		return rc;
	if (tag < 0x80 || tag >= 0xe0) {
		*value = tag < 0x80 ? tag : tag - 0x100;
		return 0;
	}
	if (tag >= 0xcc && tag <= 0xcf) {
		bytes = 1U << (tag - 0xcc);
		rc = wire_take(r, bytes, &v);
		if (rc < 0 || v > INT64_MAX)
			return -EBADMSG;
		*value = (int64_t)v;
		return 0;
	}
	if (tag >= 0xd0 && tag <= 0xd3) {
		bytes = 1U << (tag - 0xd0);
		rc = wire_take(r, bytes, &v);
		if (rc < 0)
			return rc;
		/* Sign-extend from the width that was sent. */
		if (bytes < 8 && v >> (8 * bytes - 1))
			v |= ~UINT64_C(0) << (8 * bytes);
		*value = (int64_t)v;
		return 0;
	}
	return -EBADMSG;
}

int
wire_int(struct wire_reader *r, int64_t *value)
{
	return take_int(r, value);
}

int
wire_uint_wide(struct wire_reader *r, uint64_t *value)
{
	int64_t v;
	int rc;

	/* No field needs values above INT64_MAX, and take_int refuses them. */
	rc = take_int(r, &v);
	if (rc < 0 || v < 0)
		return -EBADMSG;
	*value = (uint64_t)v;
	return 0;
}

int
wire_str(struct wire_reader *r, struct slice *text)
{
	uint64_t n = 0;
	uint8_t tag;
	int rc = take_tag(r, &tag);

	if (rc < 0)
		return rc;
	if ((tag & 0xe0) == 0xa0)
		n = tag & 0x1f;
	else if (tag >= 0xd9 && tag <= 0xdb)
		rc = wire_take(r, 1U << (tag - 0xd9), &n);
	else
		return -EBADMSG;
	if (rc < 0 || n > (uint64_t)(r->end - r->at))
		return -EBADMSG;
	*text = (struct slice){(const char *)r->at, (uint32_t)n};
	r->at += n;
	return 0;
}

bool
wire_nil(struct wire_reader *r)
{
	if (r->at == r->end || *r->at != 0xc0)
		return false;
	r->at++;
	return true;
}

/* Move past a value that contains no others. */
static int
skip_scalar(struct wire_reader *r)
{
	uint64_t n = 0; /* bytes after the tag, and after a length */
	uint8_t tag;
	int rc = take_tag(r, &tag);

	if (rc < 0)
		return rc;
	if ((tag & 0xe0) == 0xa0)
		n = tag & 0x1f; /* string, as d9..db */
	else if (tag >= 0xd9 && tag <= 0xdb)
		rc = wire_take(r, 1U << (tag - 0xd9), &n);
	else if (tag >= 0xc4 && tag <= 0xc6) /* binary */
		rc = wire_take(r, 1U << (tag - 0xc4), &n);
	else if (tag >= 0xc7 && tag <= 0xc9) /* extension, as d4..d8 */
		rc = wire_take(r, 1U << (tag - 0xc7), &n);
	else if (tag == 0xca || tag == 0xcb)
		n = 4U << (tag - 0xca); /* float */
	else if (tag >= 0xcc && tag <= 0xcf)
		n = 1U << (tag - 0xcc); /* integer, as d0..d3 */
	else if (tag >= 0xd0 && tag <= 0xd3)
		n = 1U << (tag - 0xd0);
	else if (tag >= 0xd4 && tag <= 0xd8)
		n = 1U << (tag - 0xd4);
	else if (tag >= 0x80 && tag < 0xe0 && tag != 0xc0 && tag != 0xc2 &&
	         tag != 0xc3)
		return -EBADMSG;
	if ((tag >= 0xc7 && tag <= 0xc9) || (tag >= 0xd4 && tag <= 0xd8))
		n++; /* the extension's type */
	if (rc < 0 || n > (uint64_t)(r->end - r->at))
		return -EBADMSG;
	r->at += n;
	return 0;
}

/* If there is an array or map, read its header and count its values. */
static int
take_container(struct wire_reader *r, bool *found, uint64_t *values)
{
	uint8_t tag = r->at < r->end ? *r->at : 0;
	bool map = (tag & 0xf0) == 0x80 || tag == 0xde || tag == 0xdf;
	bool array = (tag & 0xf0) == 0x90 || tag == 0xdc || tag == 0xdd;
	uint32_t n = 0;
	int rc = 0;

	if (map)
		rc = wire_map(r, &n);
	else if (array)
		rc = wire_array(r, &n);
	*found = map || array;
	*values = map ? 2 * (uint64_t)n : n;
	return rc < 0 || *values > (uint64_t)(r->end - r->at) ? -EBADMSG : 0;
}

int
wire_skip(struct wire_reader *r)
{
	uint64_t left[WIRE_DEPTH_MAX + 1] = {1}; /* values to come, by depth */
	size_t depth = 0;

	for (;;) {
		uint64_t values;
		bool found;
		int rc;

		while (left[depth] == 0) {
			if (depth-- == 0)
				return 0;
		}
		left[depth]--;
		rc = take_container(r, &found, &values);
		if (rc == 0 && !found)
			rc = skip_scalar(r);
		if (rc < 0)
			return rc;
		if (!found)
			continue;
		if (depth == WIRE_DEPTH_MAX)
			return -EBADMSG;
		left[++depth] = values;
	}
}

bool
wire_is_one_value(const uint8_t *bytes, size_t n)
{
	struct wire_reader r = {bytes, bytes + n};

	return wire_skip(&r) == 0 && r.at == r.end;
}

uint8_t *
wire_put_u64(uint8_t *out, uint64_t value)
{
	*out++ = 0xcf;
	value = htobe64(value);
	memcpy(out, &value, sizeof value);
	return out + sizeof value;
}

uint8_t *
wire_put_u32(uint8_t *out, uint32_t value)
{
	*out++ = 0xce;
	value = htobe32(value);
	memcpy(out, &value, sizeof value);
	return out + sizeof value;
}

uint8_t *
wire_put_uint_wide(uint8_t *out, uint64_t value)
{
	if (value > UINT32_MAX)
		return wire_put_u64(out, value);
	if (value > UINT16_MAX)
		return wire_put_u32(out, (uint32_t)value);
	*out++ = value > UINT8_MAX ? 0xcd : 0xcc;
	if (value > UINT8_MAX)
		*out++ = (uint8_t)(value >> 8);
	*out++ = (uint8_t)value;
	return out;
}
