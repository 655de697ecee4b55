/* wire - see wire.h. */
#include "libproto/wire.h"

#include <errno.h>

/* The next `bytes` bytes as a big-endian number. */
static int
take(struct wire_reader *r, unsigned bytes, uint64_t *value)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < bytes)
		return -EBADMSG;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | *r->at++;
	*value = v;
	return 0;
}

static int
take_tag(struct wire_reader *r, uint8_t *tag)
{
	if (r->at == r->end)
		return -EBADMSG;
	*tag = *r->at++;
	return 0;
}

int
wire_array(struct wire_reader *r, uint32_t *items)
{
	uint64_t n;
	uint8_t tag;
	int rc = take_tag(r, &tag);

	if (rc < 0)
		return rc;
	if ((tag & 0xf0) == 0x90)
		n = tag & 0x0f;
	else if (tag == 0xdc || tag == 0xdd)
		rc = take(r, tag == 0xdc ? 2 : 4, &n);
	else
		return -EBADMSG;
	if (rc < 0)
		return rc;
	*items = (uint32_t)n;
	return 0;
}

int
wire_int(struct wire_reader *r, int64_t *value)
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
		rc = take(r, bytes, &v);
		if (rc < 0 || v > INT64_MAX)
			return -EBADMSG;
		*value = (int64_t)v;
		return 0;
	}
	if (tag >= 0xd0 && tag <= 0xd3) {
		bytes = 1U << (tag - 0xd0);
		rc = take(r, bytes, &v);
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
wire_uint(struct wire_reader *r, uint64_t *value)
{
	int64_t v;
	int rc;

	/* Values above INT64_MAX have no use here; wire_int refuses them. */
	rc = wire_int(r, &v);
	if (rc < 0 || v < 0)
		return -EBADMSG;
	*value = (uint64_t)v;
	return 0;
}

int
wire_bool(struct wire_reader *r, bool *value)
{
	uint8_t tag;
	int rc = take_tag(r, &tag);

	if (rc < 0 || (tag != 0xc2 && tag != 0xc3))
		return -EBADMSG;
	*value = tag == 0xc3;
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
		rc = take(r, 1U << (tag - 0xd9), &n);
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

static uint8_t *
put(uint8_t *out, uint8_t tag, uint64_t value, unsigned bytes)
{
	*out++ = tag;
	while (bytes-- > 0)
		*out++ = (uint8_t)(value >> (8 * bytes));
	return out;
}

uint8_t *
wire_put_u64(uint8_t *out, uint64_t value)
{
	return put(out, 0xcf, value, 8);
}

uint8_t *
wire_put_u32(uint8_t *out, uint32_t value)
{
	return put(out, 0xce, value, 4);
}
