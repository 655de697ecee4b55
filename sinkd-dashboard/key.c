/* key - see key.h. */
#include "sinkd-dashboard/key.h"

#include <string.h>
#include <xxhash.h>

void
key_make(struct key *key, struct slice name, uint64_t seed)
{
	size_t n = name.bytes;

	if (n > KEY_TEXT_BYTES) {
		/* Bytes 10xxxxxx continue a character: do not cut before one.
		 */
		n = KEY_TEXT_BYTES;
		while (n > 0 && ((unsigned char)name.data[n] & 0xC0) == 0x80)
			n--;
	}
	key->hash = XXH3_64bits_withSeed(name.data, name.bytes, seed);
	key->bytes = (uint8_t)n;
	if (n > 0)
		memcpy(key->text, name.data, n);
}
