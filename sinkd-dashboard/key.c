/* key - see key.h. */
#include "sinkd-dashboard/key.h"

#include <string.h>
#include <xxhash.h>

#include "libbase/printable.h"

void
key_make(struct key *key, struct slice name, uint64_t seed)
{
	const struct slice text = printable_cut(name, KEY_TEXT_BYTES);

	key->hash = XXH3_64bits_withSeed(name.data, name.bytes, seed);
	key->bytes = (uint8_t)text.bytes;
	if (text.bytes > 0)
		memcpy(key->text, text.data, text.bytes);
}
