/* uuid5 - see uuid5.h. */
#include "leat/uuid5.h"

#include <nettle/sha1.h>

void
uuid5_make(const uint8_t namespace[UUID_BYTES], const void *name,
           size_t name_bytes, const void *more, size_t more_bytes,
           uint8_t out[UUID_BYTES])
{
	struct sha1_ctx ctx;

	sha1_init(&ctx);
	sha1_update(&ctx, UUID_BYTES, namespace);
	sha1_update(&ctx, name_bytes, name);
	sha1_update(&ctx, more_bytes, more);
	sha1_digest(&ctx, UUID_BYTES, out); /* the first bytes of it */
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x50);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

const char *
uuid5_text(const uint8_t uuid[UUID_BYTES], char out[UUID_TEXT_BYTES + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *at = out;

	for (size_t i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[uuid[i] >> 4];
		*at++ = hex[uuid[i] & 15];
	}
	*at = '\0';
	return out;
}
