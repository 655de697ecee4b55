/* segment - see segment.h. */
#include "batchd/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "batchd/little_endian.h"
#include "libbase/error.h"

static const uint8_t segment_magic[8] = "LEATSEG1";
static const uint8_t record_magic[4] = "LREC";

void
segment_stream_text(const uint8_t stream[STREAM_ID_BYTES],
                    char out[STREAM_TEXT_BYTES])
{
	int n = 0;

	for (int i = 0; i < STREAM_ID_BYTES; i++)
		n += snprintf(out + n, STREAM_TEXT_BYTES - (size_t)n, "%s%02x",
		              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
		              stream[i]);
}

void
segment_name(uint64_t first_offset, char out[SEGMENT_NAME_BYTES])
{
	(void)snprintf(out, SEGMENT_NAME_BYTES, "%020" PRIu64 ".seg",
	               first_offset);
}

bool
segment_name_parse(const char *name, uint64_t *first_offset)
{
	char again[SEGMENT_NAME_BYTES];
	uint64_t v;

	if (sscanf(name, "%20" SCNu64 ".seg", &v) != 1)
		return false;
	segment_name(v, again);
	if (strcmp(name, again) != 0)
		return false;
	*first_offset = v;
	return true;
}

void
segment_header_put(const struct segment_header *h, uint8_t out[SEGMENT_HEADER])
{
	memcpy(out, segment_magic, sizeof segment_magic);
	put_le64(out + 8, h->first_offset);
	put_le64(out + 16, h->previous_first);
	put_le64(out + 24, (uint64_t)h->created_us);
	memcpy(out + 32, h->stream, STREAM_ID_BYTES);
	put_le64(out + 48, 0);
	put_le64(out + 56, XXH3_64bits(out, 56));
}

int
segment_header_read(const uint8_t bytes[SEGMENT_HEADER],
                    struct segment_header *h)
{
	if (memcmp(bytes, segment_magic, sizeof segment_magic) != 0 ||
	    get_le64(bytes + 56) != XXH3_64bits(bytes, 56))
		return -EBADMSG;
	h->first_offset = get_le64(bytes + 8);
	h->previous_first = get_le64(bytes + 16);
	h->created_us = (int64_t)get_le64(bytes + 24);
	memcpy(h->stream, bytes + 32, STREAM_ID_BYTES);
	return 0;
}

uint64_t
record_seed(const uint8_t stream[STREAM_ID_BYTES])
{
	return get_le64(stream);
}

void
record_seal(uint8_t *at, const struct record *r, uint64_t seed)
{
	size_t used = RECORD_HEADER + (size_t)r->body_bytes;

	memcpy(at + 8, record_magic, sizeof record_magic);
	put_le32(at + 12, r->body_bytes);
	put_le32(at + 16, r->count);
	put_le32(at + 20, 0);
	put_le64(at + 24, r->offset);
	put_le64(at + 32, r->durable);
	put_le64(at + 40, (uint64_t)r->appended_us);
	put_le64(at, XXH3_64bits_withSeed(at + 8, used - 8, seed));
	memset(at + used, 0, record_size(r->body_bytes) - used);
}

int
record_read(const uint8_t *bytes, size_t n, uint64_t seed, struct record *r)
{
	uint32_t body_bytes, count;

	if (n < RECORD_HEADER)
		return ERR_RECORD_TRUNCATED;
	body_bytes = get_le32(bytes + 12);
	count = get_le32(bytes + 16);
	if (memcmp(bytes + 8, record_magic, sizeof record_magic) != 0 ||
	    body_bytes == 0 || body_bytes > FRAME_BODY_MAX || count == 0 ||
	    count > body_bytes)
		return -EBADMSG;
	if (n < RECORD_HEADER + (size_t)body_bytes)
		return ERR_RECORD_TRUNCATED;
	if (get_le64(bytes) !=
	    XXH3_64bits_withSeed(bytes + 8,
	                         RECORD_HEADER - 8 + (size_t)body_bytes, seed))
		return -EBADMSG;
	*r = (struct record){
	    .body_bytes = body_bytes,
	    .count = count,
	    .offset = get_le64(bytes + 24),
	    .durable = get_le64(bytes + 32),
	    .appended_us = (int64_t)get_le64(bytes + 40),
	};
	/*
	 * The checksum is right, so a value out of range was written that way,
	 * by a fault of leat or by a forger.
	 */
	if (r->offset > OFFSET_MAX - count || r->durable > r->offset)
		return -EBADMSG;
	return 0;
}
